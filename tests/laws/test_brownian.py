"""Brownian motion: the law of what steps draw, one path whatever the steps, and the Levy areas."""

from functools import cache
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import duhamel as dh
from duhamel.core.brownian import VARIANCE
from duhamel.core.levy import METHODS, area

SIZES = (("dW",), ("dW", "H"), ("dW", "H", "K"))
NOISES = (dh.Counter(), dh.VirtualTree(12))
SCALAR = jax.ShapeDtypeStruct((), jnp.float64)
MANY = 10_000


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


@cache
def draw(noise, names, intervals, samples=MANY, span=2.0, dtype=jnp.float64):
    """{name: (samples, intervals)} of the same samples on several steps (index, s, h)."""

    @jax.jit
    @jax.vmap
    def one(key):
        bound = noise.bind(key, jax.ShapeDtypeStruct((), dtype), jnp.asarray(span, dtype), names)
        return jax.vmap(bound.increment)(index, s, u - s)

    index = jnp.asarray([i for i, _ in intervals])
    s, u = jnp.asarray([pair for _, pair in intervals], dtype).T
    return {name: np.asarray(v) for name, v in one(keys(samples)).items()}


def same_law(sample, cdf, level=1e-3):
    assert stats.kstest(np.asarray(sample, float), cdf).pvalue > level


STEPS = ((0, (0.0, 2.0)), (1, (0.0, 0.01)), (2, (0.3, 0.9)), (3, (1.0, 1.5)), (4, (1.3337, 1.3409)), (5, (1.99, 2.0)))


@pytest.mark.parametrize("names", SIZES, ids=str)
@pytest.mark.parametrize("noise", NOISES, ids=("counter", "tree"))
def test_every_step_has_the_law_of_brownian_motion_and_its_areas(noise, names):
    drawn = draw(noise, names, STEPS)
    for i, (_, (s, u)) in enumerate(STEPS):
        for name in names:
            same_law(drawn[name][:, i] / np.sqrt(VARIANCE[name] * (u - s)), "norm")
        together = np.stack([drawn[name][:, i] / np.sqrt(VARIANCE[name] * (u - s)) for name in names])
        assert np.max(np.abs(np.cov(together) - np.eye(len(names)))) < 0.06


@pytest.mark.parametrize("names", SIZES, ids=str)
@pytest.mark.parametrize("noise", NOISES, ids=("counter", "tree"))
def test_steps_that_do_not_overlap_are_independent(noise, names):
    times = (0.0, 0.1, 0.1004, 0.77, 1.0, 1.0007, 2.0)
    steps = tuple(enumerate(pairwise(times)))
    drawn = draw(noise, names, steps)
    length = np.diff(times)
    z = np.concatenate([drawn[name] / np.sqrt(VARIANCE[name] * length) for name in names], axis=1)
    assert np.max(np.abs(np.corrcoef(z.T) - np.eye(z.shape[1]))) < 0.05
    same_law(np.sum(z, axis=1) / np.sqrt(z.shape[1]), "norm")


def moments(drawn, i, start, h):
    """int (r - start)^n dW, n = 0, 1, 2, of step i, from its areas; zero where an area was not drawn."""
    zero = np.zeros_like(drawn["dW"])
    w, H, K = (drawn.get(name, zero)[:, i] for name in ("dW", "H", "K"))
    m1 = h * (w / 2 - H)
    m2 = 2 * h * h * (K + m1 / (2 * h) - w / 12)
    return w, m1 + start * w, m2 + 2 * start * m1 + start * start * w


@pytest.mark.parametrize("names", SIZES, ids=str)
def test_the_tree_is_one_path_whatever_the_steps(names):
    times = (0.0371, 0.21, 0.2101, 0.9, 1.0, 1.6180339)
    steps = tuple((0, pair) for pair in pairwise(times))
    drawn = draw(dh.VirtualTree(16), names, (*steps, (0, (times[0], times[-1]))), samples=50)
    whole = moments(drawn, len(steps), 0.0, times[-1] - times[0])
    parts = [moments(drawn, i, s - times[0], u - s) for i, (_, (s, u)) in enumerate(steps)]
    for n in range(len(names)):
        np.testing.assert_allclose(sum(p[n] for p in parts), whole[n], atol=2e-14)


def test_areas_are_integrals_of_the_tree_s_own_path():
    s, u, n = 0.61, 1.37, 2048
    h = u - s

    @jax.jit
    @jax.vmap
    def one(key):
        bound = dh.VirtualTree(16).bind(key, SCALAR, 2.0, ("dW", "H", "K"))
        r = s + h * (jnp.arange(n) + 0.5) / n
        W = jax.vmap(bound.path)(r) - bound.path(jnp.asarray(s))
        found = bound.increment(0, s, h)
        B = W - (r - s) / h * found["dW"]
        return found["H"] - jnp.mean(B), found["K"] - jnp.mean(B * (0.5 - (r - s) / h))

    H, K = one(keys(20))
    assert np.max(np.abs(H)) < 5e-4 and np.max(np.abs(K)) < 5e-4  # a Riemann sum's error: n^-1 in the mean square


@pytest.mark.parametrize("names", SIZES, ids=str)
@pytest.mark.parametrize("rho", (0.5, 0.3, 0.983))
def test_a_rejected_step_leaves_a_bridge(names, rho):
    s, h = 0.123, 0.71
    drawn = draw(dh.VirtualTree(16), names, ((0, (s, s + h)), (1, (s, s + rho * h))))
    w = drawn["dW"][:, 1]
    mean, variance = rho * drawn["dW"][:, 0], rho - rho**2
    if "H" in names:
        mean = mean + 6 * rho * (1 - rho) * drawn["H"][:, 0]
        variance -= 3 * (rho * (1 - rho)) ** 2
    if "K" in names:
        mean = mean + 60 * rho * (1 - rho) * (1 - 2 * rho) * drawn["K"][:, 0]
        variance -= 5 * (rho * (1 - rho) * (1 - 2 * rho)) ** 2
    rest = (w - mean) / np.sqrt(variance * h)
    same_law(rest, "norm")
    for name in names:
        assert abs(np.corrcoef(rest, drawn[name][:, 0])[0, 1]) < 0.045


@pytest.mark.parametrize("dtype", (jnp.float32, jnp.float64))
@pytest.mark.parametrize(("span", "s", "h"), ((1e3, 999.5, 1e-1), (1.0, 1e-5, 1e-5), (1e-9, 7e-10, 1e-12)))
def test_short_steps_late_in_a_solve_keep_their_digits(dtype, span, s, h):
    names = ("dW", "H", "K")
    drawn = draw(dh.VirtualTree(20), names, ((0, (s, s + h)),), samples=4000, span=span, dtype=dtype)
    for name in names:
        assert drawn[name].dtype == dtype
        same_law(drawn[name][:, 0] / np.sqrt(VARIANCE[name] * h), "norm")


def test_float32_follows_float64():
    """The weights of a short step late in a solve, in float32, against float64's at the same times."""
    from duhamel.core.wavelets import weights

    s, u = np.float32(0.7251), np.float32(0.7253)
    at = jax.jit(lambda span, s, u: weights(20, 3, span, s, u))
    both = [at(*(jnp.asarray(x, kind) for x in (1.0, s, u))) for kind in (jnp.float32, jnp.float64)]
    np.testing.assert_array_equal(both[0][1], both[1][1])
    np.testing.assert_allclose(np.array(both[0][2]), np.array(both[1][2]), atol=2e-5)


@pytest.mark.parametrize("names", SIZES, ids=str)
@pytest.mark.parametrize("levels", (1, 20, 29))
def test_weights_are_orthonormal(names, levels):
    """The exact covariance of (dW, H, K) on any step, without sampling."""
    from duhamel.core.wavelets import weights

    k = len(names)

    @jax.jit
    @jax.vmap
    def gram(s, u):
        W = jnp.stack([jnp.stack(row) for row in weights(levels, k, jnp.asarray(3.0), s, u)[2]])
        return jnp.einsum("jin,kin->jk", W, W)

    rng = np.random.default_rng(0)
    s, u = np.sort(rng.uniform(0, 3, (2, 200)), axis=0)
    s = np.concatenate([s, [0.0, 0.0, 1.5, 2.25, 0.0, 1.5 - 1e-9, 2.9999]])
    u = np.concatenate([u, [3.0, 1.5, 3.0, 2.625, 1e-8, 1.5 + 1e-9, 3.0]])
    np.testing.assert_allclose(gram(s, u), np.broadcast_to(np.eye(k), (len(s), k, k)), atol=1e-12)


@pytest.mark.parametrize("noise", NOISES, ids=("counter", "tree"))
def test_pytrees_of_any_shape_and_dtype(noise):
    shape = {
        "a": jax.ShapeDtypeStruct((2, 3), jnp.float32),
        "b": [jax.ShapeDtypeStruct((), jnp.float64), jax.ShapeDtypeStruct((0,), jnp.float64)],
        "big": jax.ShapeDtypeStruct((1500,), jnp.float64),
    }
    bound = noise.bind(jax.random.key(0), shape, 1.0, ("dW", "H"))
    found = eqx.filter_jit(bound.increment)(0, 0.25, 0.5)
    assert set(found) == {"dW", "H"}
    for value in found.values():
        assert jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), value) == shape
    same_law(found["dW"]["big"] / np.sqrt(0.5), "norm")
    same_law(found["H"]["big"] / np.sqrt(0.5 / 12), "norm")
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])
    assert len(np.unique(flat)) == len(flat)  # no two draws are the same draw


@pytest.mark.parametrize("noise", (dh.Counter(), dh.VirtualTree(20)), ids=("counter", "tree"))
@pytest.mark.parametrize("size", (5, 2000))
def test_a_sample_does_not_depend_on_its_batch(noise, size):
    """The draws are the same bit for bit; the tree's sums of them are rounded as the compiler groups them."""

    def one(key, s, h):
        return noise.bind(key, jax.ShapeDtypeStruct((size,), jnp.float64), 1.0, ("dW", "H")).increment(3, s, h)

    s, h = np.array([0.0, 0.125, 0.3, 0.7, 0.9]), np.array([0.1, 0.0, 0.01, 0.2, 0.1])
    single, exact = jax.jit(one), isinstance(noise, dh.Counter)
    batch = jax.jit(jax.vmap(one, out_axes=-1))(keys(5), s, h)
    for i, each in enumerate(single(k, *each) for k, *each in zip(keys(5), s, h, strict=True)):
        for name in each:
            np.testing.assert_allclose(each[name], batch[name][..., i], rtol=0, atol=0 if exact else 1e-15)


@pytest.mark.parametrize("noise", NOISES, ids=("counter", "tree"))
def test_raw_and_typed_keys_agree(noise):
    raw = jax.random.PRNGKey(7)
    one = jax.jit(lambda key: noise.bind(key, SCALAR, 1.0, ("dW",)).increment(0, 0.0, 0.5)["dW"])
    found = [one(key) for key in (raw, jax.random.wrap_key_data(raw))]
    assert found[0] == found[1]


@pytest.mark.parametrize("noise", NOISES, ids=("counter", "tree"))
def test_an_idle_lane_draws_zero_and_differentiates_to_zero(noise):
    bound = noise.bind(jax.random.key(0), SCALAR, 1.0, ("dW", "H", "K"))
    values, slopes = jax.jit(lambda h: jax.jvp(lambda h: bound.increment(0, 0.5, h), (h,), (1.0,)))(0.0)
    assert not any(values.values()) and not any(slopes.values())


def test_counted_draws_ignore_h_but_for_its_scale_and_names_but_their_own():
    bound = [dh.Counter().bind(jax.random.key(1), SCALAR, 1.0, names) for names in (("dW",), ("dW", "H", "K"))]
    a, b = bound[0].increment(4, 0.1, 0.25)["dW"], bound[1].increment(4, 0.7, 1.0)["dW"]
    np.testing.assert_allclose(2 * a, b, rtol=1e-15)
    assert bound[0].increment(5, 0.1, 0.25)["dW"] != a


def test_the_path_starts_at_zero_and_is_continuous():
    bound = dh.VirtualTree(20).bind(jax.random.key(0), SCALAR, 2.0, ("dW", "H"))
    path = jax.jit(lambda r: jax.vmap(bound.path)(r))
    W = path(jnp.asarray([0.0, 0.4, 1.3, *(1.0 + np.array([-1e-9, -1e-12, 0.0, 1e-12, 1e-9]))]))
    assert W[0] == 0.0 and np.max(np.abs(np.diff(W[3:]))) < 1e-3
    np.testing.assert_allclose(W[2] - W[1], eqx.filter_jit(bound.increment)(0, 0.4, 0.9)["dW"], atol=1e-14)


def test_it_runs_in_a_scan_under_jit_and_has_no_gradient_of_its_own():
    bound = dh.VirtualTree(10).bind(jax.random.key(0), SCALAR, 1.0, ("dW", "H"))

    @jax.jit
    def total(a):
        def body(x, i):
            return x + a * bound.increment(i, i / 16, 1 / 16)["dW"], None

        return jax.lax.scan(body, 0.0, jnp.arange(16.0))[0]

    np.testing.assert_allclose(jax.grad(total)(2.0), eqx.filter_jit(bound.path)(1.0), atol=1e-14)


# Levy areas

h = 0.3


@cache
def areas(method, m=2, samples=60_000, given=None):
    """(dW, H, A) of many steps; given: dW and H that all of them share."""

    @jax.jit
    @jax.vmap
    def one(key):
        a, b, c = jax.random.split(key, 3)
        dW = jnp.sqrt(h) * jax.random.normal(a, (m,)) if given is None else jnp.asarray(given[0])
        H = (
            jnp.sqrt(h / 12) * jax.random.normal(b, (m,))
            if given is None or given[1] is None
            else jnp.asarray(given[1])
        )
        return dW, H, area(c, dW, H, h, method=method, terms=12)

    return tuple(map(np.asarray, one(keys(samples, seed=3))))


@cache
def truth(m=2, samples=20_000, n=200):
    """(dW, H, A) by sums over a fine grid; NumPy knows nothing of expansions."""
    rng = np.random.default_rng(5)
    d = rng.normal(size=(n, samples, m)) * np.sqrt(h / n)
    W = np.cumsum(d, axis=0) - d / 2
    A = np.einsum("nsi,nsj->sij", W, d)
    dW = d.sum(0)
    return dW, W.mean(0) - dW / 2, (A - A.transpose(0, 2, 1)) / 2


@pytest.mark.parametrize("method", METHODS)
def test_areas_are_antisymmetric_with_the_right_moments(method):
    dW, H, A = areas(method, m=3)
    np.testing.assert_allclose(A, -A.transpose(0, 2, 1), atol=1e-15)
    np.testing.assert_allclose(np.var(A, axis=0), h * h / 4 * (1 - np.eye(3)), rtol=0.03, atol=1e-30)
    for V, value in ((H[:, 0] * dW[:, 1] - dW[:, 0] * H[:, 1], h * h / 6), (dW[:, 0] * dW[:, 1], 0.0)):
        assert abs(np.mean(A[:, 0, 1] * V) - value) < 0.03 * h * h
    assert abs(np.mean(A[:, 0, 1] * A[:, 0, 2])) < 0.01 * h * h


def test_the_grid_s_areas_agree_with_the_formulas():
    dW, H, A = truth()
    mean = H[:, 0] * dW[:, 1] - dW[:, 0] * H[:, 1]
    rest = A[:, 0, 1] - mean
    assert abs(np.mean(rest * mean)) < 0.002 * h * h
    squares = np.stack([np.ones(len(H)), np.sum(H**2, 1)], 1)
    found = np.linalg.lstsq(squares, rest**2, rcond=None)[0]
    np.testing.assert_allclose(found, [h * h / 20, h / 5], rtol=0.08)


@pytest.mark.parametrize("method", ("foster", "series"))
def test_areas_given_increment_and_space_time_area(method):
    dW, H = np.array([0.4, -0.9, 0.1]), np.array([0.3, 0.05, -0.2])
    A = areas(method, m=3, given=(tuple(dW), tuple(H)))[2]
    mean = np.outer(H, dW) - np.outer(dW, H)
    np.testing.assert_allclose(np.mean(A, 0), mean, atol=1.5e-3)
    rest = A - mean
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.testing.assert_allclose(np.var(rest[:, i, j]), h * h / 20 + h / 5 * (H[i] ** 2 + H[j] ** 2), rtol=0.02)
        np.testing.assert_allclose(np.mean(rest[:, i, j] * rest[:, i, k]), h / 5 * H[j] * H[k], atol=3e-4)


@pytest.mark.parametrize("method", METHODS)
def test_areas_given_the_increment_alone(method):
    dW = np.array([0.4, -0.9])
    A = areas(method, given=(tuple(dW), None))[2][:, 0, 1]
    np.testing.assert_allclose(np.var(A), h * h / 12 + h * dW @ dW / 12, rtol=0.02)
    if method == "series":
        for lam in (2.0, 6.0, 12.0):  # Levy's formula
            x = lam * h / 2
            value = x / np.sinh(x) * np.exp(-dW @ dW / (2 * h) * (x / np.tanh(x) - 1))
            assert abs(np.mean(np.cos(lam * A)) - value) < 0.01


def test_the_series_has_levy_s_law():
    """Density sech(pi a / h) / h."""
    A = areas("series")[2][:, 0, 1] / h
    same_law(A, lambda a: 2 / np.pi * np.arctan(np.exp(np.pi * a)))
    np.testing.assert_allclose(np.mean(A**4), 5 / 16, rtol=0.04)
    wrong = areas("davie")[2][:, 0, 1] / h
    assert stats.kstest(wrong, lambda a: 2 / np.pi * np.arctan(np.exp(np.pi * a))).pvalue < 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("names", (("dW", "A"), ("dW", "H", "K", "A")), ids=str)
def test_the_counter_draws_areas_that_fit_its_other_draws(method, names):
    shape = jax.ShapeDtypeStruct((2,), jnp.float64)
    noise = dh.Counter(area=method, terms=8)
    found = jax.jit(jax.vmap(lambda key: noise.bind(key, shape, 1.0, names).increment(2, 0.0, h)))(keys(50_000))
    assert set(found) == set(names) and found["A"].shape == (50_000, 2, 2)
    np.testing.assert_allclose(np.var(found["A"][:, 0, 1]), h * h / 4, rtol=0.03)
    if "K" in names:  # the third term of the expansion is known: 36 (K_0 H_1 - H_0 K_1) in Legendre coefficients
        H, K, A = (np.asarray(found[name]) for name in ("H", "K", "A"))
        term = -12 * (H[:, 0] * K[:, 1] - K[:, 0] * H[:, 1])
        np.testing.assert_allclose(np.mean(A[:, 0, 1] * term), h * h / 30, rtol=0.08)


def test_an_idle_step_has_no_area():
    assert not np.any(area(jax.random.key(0), jnp.zeros(2), jnp.zeros(2), 0.0))


@pytest.mark.parametrize(
    ("make", "words"),
    (
        (lambda: dh.Counter(area="wiktorsson"), "area must be one of davie, foster, series"),
        (lambda: dh.VirtualTree(0), "levels must be 1 to 29"),
        (lambda: dh.VirtualTree().bind(jax.random.key(0), SCALAR, 1.0, ("dW", "A")), "VirtualTree has no Levy area"),
        (lambda: dh.Counter().bind(jax.random.key(0), SCALAR, 1.0, ("dW", "A")), "Levy areas are of one vector"),
        (lambda: dh.Counter().bind(jax.random.key(0), SCALAR, 1.0, ("w",)), "names must be among dW, H, K, A"),
        (
            lambda: dh.Counter().bind(jax.random.key(0), jax.ShapeDtypeStruct((), jnp.complex128), 1.0, ("dW",)),
            "Brownian motion is real",
        ),
        (lambda: area(jax.random.key(0), jnp.zeros(2), jnp.zeros(2), 0.1, method="exact"), "method must be one of"),
        (lambda: area(jax.random.key(0), jnp.zeros(2), jnp.zeros(2), 0.1, terms=0), "terms must be at least 1"),
    ),
)
def test_bad_input_is_refused_in_a_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
