"""SDE methods through solve and ensemble: adaptive steps, exact laws, exact reversal, lanes, precision, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.methods.base import Moment
from duhamel.methods.exponential_sde import spread
from duhamel.problems.stochastic import STOCHASTIC
from duhamel.testing import Given

METHODS = {
    "EulerMaruyama": dh.EulerMaruyama(),
    "EulerHeun": dh.EulerHeun(),
    "StochasticHeun": dh.StochasticHeun(),
    "StochasticMidpoint": dh.StochasticMidpoint(),
    "Milstein": dh.Milstein(),
    "Milstein(areas)": dh.Milstein(areas=True),
    "SRA1": dh.SRA1(),
    "ShARK": dh.ShARK(),
    "SRIW1": dh.SRIW1(),
    "SOSRI": dh.SOSRI(),
    "SPaRK": dh.SPaRK(),
    "SlowRK": dh.SlowRK(),
    "DRI1": dh.DRI1(),
    "ReversibleHeun": dh.ReversibleHeun(),
    "ExponentialEulerMaruyama": dh.ExponentialEulerMaruyama(),
    "ExponentialHeun": dh.ExponentialHeun(),
}
ADAPTIVE = [name for name, method in METHODS.items() if method.error_order is not None]


def pair(noise, calculus, dtype=float):
    """A nonlinear equation in two dimensions with a noise of each kind."""
    drift = lambda t, x, a: jnp.stack([-a * x[0] + jnp.sin(x[1]), x[0] * jnp.cos(t) - x[1]])  # noqa: E731
    like = lambda t, x, a: 0.3 + 0.2 * jnp.cos(x)  # noqa: E731
    constant = jnp.asarray([[0.3, 0.1], [0.0, 0.4]], dtype)
    diffusion = {
        "additive": lambda t, x, a: constant,
        "scalar": like,
        "diagonal": like,
        "commutative": lambda t, x, a: jnp.diag(like(t, x, a)),
        "general": lambda t, x, a: jnp.stack([like(t, x, a), 0.2 * x[::-1]], axis=-1),
    }
    return dh.SDE(drift, diffusion[noise], noise=noise, calculus=calculus)


def suited(name, noise=None):
    """An equation that the method takes."""
    method = METHODS[name]
    kinds = [k for k in ("diagonal", "commutative", "additive") if k in method.strong]
    return pair(kinds[0] if noise is None else noise, method.calculus)


X0 = jnp.array([0.4, -0.3])


@pytest.mark.parametrize("name", ADAPTIVE)
def test_tighter_tolerances_cost_steps_and_give_accuracy(name):
    method = METHODS[name]
    exact = STOCHASTIC["additive" if "scalar" not in method.strong else "cubic"]
    noise = "additive" if "scalar" not in method.strong else "scalar"
    strength = 100.0 if noise == "additive" else 1.0  # the library's additive noise hardly shows

    def drift(t, x):
        ito = exact.drift(t, x[0])
        return jnp.stack([0.0 * ito if method.calculus == "stratonovich" and noise == "scalar" else ito, 0.0 * x[1]])

    def diffusion(t, x):
        g = jnp.stack([strength * exact.diffusion(t, x[0]) * jnp.ones_like(x[0]), jnp.ones_like(x[1])])
        return g[:, None] if noise == "additive" else g

    def ends(tolerance):
        problem = dh.SDE(drift, diffusion, noise=noise, calculus=method.calculus)
        x0s = jnp.tile(jnp.array([exact.x0, 0.0]), (64, 1))
        control = dh.PID(rtol=tolerance, atol=tolerance)
        return dh.ensemble(problem, x0s, 1.0, method=method, control=control, key=jax.random.key(3), dt0=0.1)

    errors, steps = [], []
    for tolerance in (1e-2, 1e-4):
        sols = ends(tolerance)
        x, W = np.asarray(sols.x).T
        errors.append(np.sqrt(np.mean((x - exact.exact(1.0, strength * W)) ** 2)))
        steps.append(float(jnp.mean(sols.stats.accepted)))
        np.testing.assert_allclose(np.var(W), 1.0, atol=0.4)
    assert steps[1] > 2 * steps[0]
    assert errors[1] < errors[0] / 4
    assert errors[1] < 3e-3


@pytest.mark.parametrize("name", METHODS)
def test_float32_stays_float32_and_lanes_are_alone(name):
    """A lane of an ensemble is the solve with its key, whoever stands beside it."""
    method, problem = METHODS[name], suited(name)
    x0s = jnp.tile(X0, (3, 1)).astype(jnp.float32) * jnp.array([[1.0], [0.5], [-1.0]], jnp.float32)
    keys = jax.random.split(jax.random.key(1), 3)
    how = {"args": jnp.float32(0.7), "method": method, "control": dh.Fixed(8)}
    sols = dh.ensemble(problem, x0s, 1.0, key=keys, **how)
    one = dh.solve(problem, x0s[1], 1.0, key=keys[1], **how)
    assert sols.x.dtype == one.x.dtype == jnp.float32
    if name == "SOSRI":
        two = dh.ensemble(problem, x0s[1:], 1.0, key=keys[1:], **how)
        np.testing.assert_array_equal(sols.x[1:], two.x)
    np.testing.assert_allclose(sols.x[1], one.x, rtol=2e-6, atol=1e-6)
    assert jnp.abs(sols.x[0] - sols.x[2]).max() > 0.01


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if "diagonal" in m.strong])
def test_a_state_of_several_arrays(name):
    """Diagonal noise on a dictionary is the same on its parts side by side."""
    method = METHODS[name]
    flat = pair("diagonal", method.calculus)
    drift = lambda t, x, a: dict(zip("qp", flat.N(t, jnp.stack([x["q"], x["p"]]), a), strict=True))  # noqa: E731
    diffusion = lambda t, x, a: jax.tree.map(lambda v: 0.3 + 0.2 * jnp.cos(v), x)  # noqa: E731
    tree = dh.SDE(drift, diffusion, calculus=method.calculus)
    h, lanes = jnp.full(1, 0.1), {"q": X0[:1], "p": X0[1:]}
    draws = {"dW": jnp.array([0.2, -0.1]), "H": jnp.array([0.05, 0.02])}
    found = {}
    for key, problem, x, cut in (
        ("flat", flat, X0[:, None], lambda d: d[:, None]),
        ("tree", tree, lanes, lambda d: {"q": d[:1], "p": d[1:]}),
    ):
        given = {k: jax.tree.map(lambda leaf: leaf[None], cut(draws[k])) for k in method.noise}
        bound = Given(method, problem, given, args=0.7)
        slots = method.start(bound, 0.0 * h, x)
        found[key] = method.attempt(bound, Moment(0, 0.0 * h, 0.0 * h, h), slots)["x1"]
    np.testing.assert_allclose(jnp.stack([found["tree"]["q"], found["tree"]["p"]]), found["flat"], rtol=1e-14)


@pytest.mark.parametrize("noise", ["additive", "diagonal", "general"])
def test_reversible_heun_rebuilds_its_path(noise):
    method, problem, n = dh.ReversibleHeun(), pair(noise, "stratonovich"), 200
    h = jnp.full(1, 0.01)
    dW = 0.1 * jnp.asarray(np.random.default_rng(0).normal(size=(n, 2, 1)))

    def walk(draws, times, h, slots):
        bound = Given(method, problem, {"dW": draws}, args=0.7)

        def one(slots, i):
            at = Moment(i, times[i], times[i], h)
            return method.keep(method.attempt(bound, at, slots)), slots["x"]

        return jax.lax.scan(one, slots, jnp.arange(n))

    times = jnp.arange(n + 1)[:, None] * h
    first = method.start(Given(method, problem, {"dW": dW}, args=0.7), times[0], X0[:, None])
    end, path = jax.jit(walk)(dW, times, h, first)
    again, back = jax.jit(walk)(-dW[::-1], times[::-1], -h, end)
    np.testing.assert_allclose(again["x"], first["x"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(back[:0:-1], path[1:], rtol=0, atol=1e-10)


@pytest.mark.parametrize("rate", [-50.0, -1.0, 0.5, -2.0 + 30.0j])
def test_exponential_euler_has_the_law_of_ornstein_and_uhlenbeck(rate):
    """Variance after n steps with N = 0 and G = 1, against (e^(2 Re(L) T) - 1) / (2 Re L); and for L(t)."""
    for L in (dh.Diagonal(np.array([rate])), dh.Scalar(rate)):
        variance, h = 0.0, 0.25
        for _ in range(4):
            flow = abs(np.asarray(L.flow(0.0, h)).item())
            variance = flow**2 * variance + h * np.asarray(spread(L, 0.0, h)).item() ** 2
        exact = np.expm1(2 * np.real(rate)) / (2 * np.real(rate))
        np.testing.assert_allclose(variance, exact, rtol=1e-13)


def test_exponential_euler_has_the_law_of_a_varying_rate():
    L = dh.Scalar(lambda t: -2.0 * t, lambda t: -(t**2))
    s, w = np.polynomial.legendre.leggauss(40)
    t, h = 0.3, 0.5
    r = t + h * (s + 1) / 2
    exact = h / 2 * w @ np.exp(2 * (r**2 - (t + h) ** 2))
    np.testing.assert_allclose(h * float(spread(L, t, h)) ** 2, exact, rtol=1e-12)


@pytest.mark.parametrize(
    ("exponential", "plain"), [("ExponentialEulerMaruyama", "EulerMaruyama"), ("ExponentialHeun", "StochasticHeun")]
)
def test_exponential_methods_without_a_linear_part_are_the_plain_ones(exponential, plain):
    how = {"args": 0.7, "control": dh.Fixed(6), "key": jax.random.key(0)}
    a, b = (dh.solve(suited(name), X0, 1.0, method=METHODS[name], **how) for name in (exponential, plain))
    np.testing.assert_allclose(a.x, b.x, rtol=1e-13)


@pytest.mark.parametrize("name", ["ExponentialEulerMaruyama", "ExponentialHeun"])
def test_exponential_methods_take_a_stiff_linear_part_in_their_stride(name):
    """L = -1e4 with steps of 0.1: the slow component is right, the fast one stays where its noise keeps it."""
    method = METHODS[name]
    problem = dh.SDE(
        lambda t, x: jnp.stack([jnp.cos(x[0]), 0.0 * x[1]]),
        lambda t, x: jnp.full_like(x, 0.1),
        noise="additive",
        calculus=method.calculus,
        L=dh.Diagonal(np.array([-1.0, -1e4])),
    )
    sol = dh.solve(problem, X0, 5.0, method=method, control=dh.Fixed(50), key=jax.random.key(0))
    assert abs(float(sol.x[0]) - 0.739) < 0.5
    assert abs(float(sol.x[1])) < 0.1


def test_counts_of_evaluations():
    """Of the drift and of the diffusion: SRIW1 2 + 4 a step, SOSRI 4 + 4, SlowRK 2 + 5."""
    found = {name: METHODS[name].calls for name in ("EulerMaruyama", "SRA1", "SRIW1", "SOSRI", "SPaRK", "SlowRK")}
    assert found == {"EulerMaruyama": 2, "SRA1": 4, "SRIW1": 6, "SOSRI": 8, "SPaRK": 6, "SlowRK": 7}


STIFF = dh.SDE(lambda t, x, a: -x, lambda t, x, a: 0.1 * x, L=dh.Diagonal(np.array([-1e4, -1.0])))
REFUSED = [
    (dh.SRA1(), STIFF, "use ExponentialEulerMaruyama.., SOSRI"),
    (dh.ShARK(), pair("diagonal", "ito"), "ShARK, which is for additive noise, .* use SOSRI"),
    (dh.SOSRI(), pair("general", "ito"), "Ito's sense.*general noise.*use Milstein.areas=True"),
    (dh.SOSRI(), pair("diagonal", "stratonovich"), "Ito's sense.*Stratonovich, diagonal.*use SlowRK"),
    (dh.SlowRK(), pair("diagonal", "ito"), "Stratonovich's sense.*use SOSRI"),
    (dh.EulerMaruyama(), pair("general", "stratonovich"), "use .*SPaRK"),
    (dh.Milstein(), pair("general", "ito"), "without Levy areas.*use Milstein.areas=True"),
    (dh.Milstein(areas=True), pair("diagonal", "ito"), "noise with columns.*use SOSRI"),
    (dh.SPaRK(), dh.ODE(lambda t, x, a: -x), "SPaRK, which needs a noise.*ordinary differential equation.*Tsit5"),
    (dh.Milstein(), dh.ODE(lambda t, x, a: -x), "Milstein, which needs a noise.*Tsit5"),
    (dh.Tsit5(), pair("diagonal", "ito"), "cannot solve a stochastic equation .Ito, diagonal noise.*SOSRI"),
]


@pytest.mark.parametrize(("method", "problem", "message"), REFUSED)
def test_a_method_that_does_not_fit_names_those_that_do(method, problem, message):
    key = jax.random.key(0) if isinstance(problem, type(pair("diagonal", "ito"))) else None
    with pytest.raises(ValueError, match=message):
        dh.solve(problem, X0, 1.0, args=0.7, method=method, control=dh.Fixed(4), key=key)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ADAPTIVE])
def test_adaptive_steps_need_an_error_estimate(name):
    with pytest.raises(ValueError, match="no error estimate"):
        dh.solve(suited(name), X0, 1.0, args=0.7, method=METHODS[name], control=dh.PID(), key=jax.random.key(0))
