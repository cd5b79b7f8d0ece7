"""Laws of the executor: rows equal hand-written loops, compile once, differentiate, and never mix samples."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.core.linear import Matrix
from duhamel.rows.pattern import Pattern, Row
from duhamel.rows.plan import Plan, Segment
from duhamel.rows.run import run, scan_segment

t = np.linspace(1.0, 0.2, 13) ** 2  # falls, unevenly
h = np.diff(t)
steps = len(h)
ones = np.ones(1)
x0 = jax.random.normal(jax.random.key(1), (5, 3))


def F(tau, x):
    return jnp.sin(x) * tau - 0.3 * x


def G(tau, x):
    return jnp.cos(x + tau)


def one(pattern, coef, tau, name="plan", grid=t):
    return Plan(name, (Segment(pattern, tuple(coef), np.reshape(tau, (len(grid) - 1, pattern.calls))),), grid)


euler = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "x"))), keep=(("x", "next"),))
ab2 = Pattern((Row("y", ("x",), "F"), Row("next", ("F1", "F", "x"))), keep=(("x", "next"), ("F1", "F")))
heun = Pattern(
    (Row("y", ("x",), "k1"), Row("y2", ("k1", "x"), "k2"), Row("next", ("k1", "k2", "x"))), keep=(("x", "next"),)
)
noisy = Pattern(
    (Row("y", ("z", "x"), "F"), Row("next", ("w", "F", "y"))), keep=(("x", "next"),), draws=("z", "w"), consts=()
)
two_slots = Pattern((Row("y", ("x",), "F"), Row("next", ("F", "y", "far"))), keep=(("x", "next"), ("far", "y")))
verlet = Pattern(
    (Row("q1", ("p", "x")), Row("y", ("q1",), "f", model=1), Row("p1", ("f", "p")), Row("q2", ("p1", "q1"))),
    keep=(("x", "q2"), ("p", "p1")),
)


def euler_plan():
    return one(euler, [ones, h, ones], t[:-1])


def ab2_plan():
    r = np.concatenate([[0.0], h[1:] / h[:-1] / 2])  # the first step is Euler: a zero, not another pattern
    return one(ab2, [ones, -h * r, h * (1 + r), ones], t[:-1])


def heun_plan():
    return one(heun, [ones, h, ones, h / 2, h / 2, ones], np.stack([t[:-1], t[1:]], 1))


def two_slot_plan():
    return one(two_slots, [ones, h, 0.3 * ones, 0.7 * np.linspace(0.9, 1.1, steps)], t[:-1])


def loop_euler(x):
    states = [x]
    for n in range(steps):
        states.append(h[n] * F(t[n], states[-1]) + states[-1])
    return states


def loop_ab2(x):
    states, old = [x], None
    for n in range(steps):
        new = F(t[n], states[-1])
        r = h[n] / h[n - 1] / 2 if n else 0.0
        states.append(states[-1] + h[n] * ((1 + r) * new - (r * old if n else 0.0)))
        old = new
    return states


def loop_heun(x):
    states = [x]
    for n in range(steps):
        k1 = F(t[n], states[-1])
        k2 = F(t[n + 1], states[-1] + h[n] * k1)
        states.append(states[-1] + h[n] * (k1 + k2) / 2)
    return states


def loop_two_slots(x):
    states, far = [x], jnp.zeros_like(x)
    for n in range(steps):
        y = states[-1]
        states.append(h[n] * F(t[n], y) + 0.3 * y + 0.7 * np.linspace(0.9, 1.1, steps)[n] * far)
        far = y
    return states


def noisy_plan():
    return one(noisy, [0.1 * ones, ones, 0.2 * np.sqrt(-h), h, ones], t[:-1], "noisy")


PAIRS = [(euler_plan, loop_euler), (ab2_plan, loop_ab2), (heun_plan, loop_heun), (two_slot_plan, loop_two_slots)]


@pytest.mark.parametrize("build, loop", PAIRS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("options", [{}, {"checkpoint": False}, {"unroll": 4}], ids=str)
def test_a_plan_is_the_loop_written_by_hand(build, loop, options):
    expected = jnp.stack(loop(x0))
    got = build().run(F, x0, save="steps", **options)
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(build().run(F, x0, **options), got[-1], rtol=1e-14, atol=1e-15)  # two programs


def test_two_models_and_two_states_make_leapfrog():
    plan = Plan("leapfrog", (Segment(verlet, (0.05 * ones, ones, ones, -0.1 * ones, ones, 0.05 * ones, ones),
                                     np.zeros((20, 1))),), np.linspace(0, 2, 21))  # fmt: skip
    q, p = x0, 0.5 * x0
    out = plan.run((None_model, lambda tau, q: q**3), q, slots={"p": p}, save="slots")
    for _ in range(20):
        q = q + 0.05 * p
        p = p - 0.1 * q**3
        q = q + 0.05 * p
    np.testing.assert_allclose(out["x"], q, rtol=1e-13)
    np.testing.assert_allclose(out["p"], p, rtol=1e-13)
    assert plan.models == 2


def None_model(tau, x):
    raise AssertionError("model 0 is not called by this pattern")


class Net(eqx.Module):
    A: jax.Array

    def __call__(self, tau, x):
        return jnp.tanh(x @ self.A) * tau


def net(seed=0):
    return Net(jax.random.normal(jax.random.key(seed), (3, 3)))


def test_other_numbers_and_other_weights_run_without_compiling_again():
    traces = []

    class Counting(eqx.Module):
        A: jax.Array

        def __call__(self, tau, x):
            traces.append(1)
            return jnp.tanh(x @ self.A) * tau

    plan = ab2_plan()
    other = plan.with_numbers([(tuple(1.01 * c for c in coef), 0.9 * tau) for coef, tau in plan.numbers])
    plan.run(Counting(jnp.eye(3)), x0)
    first = len(traces)
    other.run(Counting(2 * jnp.eye(3)), 2 * x0)
    other.run(Counting(3 * jnp.eye(3)), x0, slots={})
    assert first > 0
    assert len(traces) == first
    plan.run(Counting(jnp.eye(3)), x0[:2])  # another shape is another program
    assert len(traces) > first


@pytest.mark.parametrize("build", [euler_plan, heun_plan, two_slot_plan], ids=lambda f: f.__name__)
def test_the_model_stands_in_the_program_as_often_as_plan_copies_says(build):
    plan = build()
    traces = []

    def marked(tau, x):
        traces.append(1)
        return F(tau, x)

    plan.run(marked, x0, checkpoint=False)
    per_trace = len(traces)
    assert per_trace == plan.copies  # not times steps
    assert plan.nfe == plan.copies * steps


@pytest.mark.parametrize("checkpoint", [True, False])
def test_gradient_is_the_finite_difference(checkpoint):
    plan, key = noisy_plan(), jax.random.key(2)

    def loss(model, x, numbers):
        return jnp.sum(jnp.sin(plan.with_numbers(numbers).run(model, x, key=key, checkpoint=checkpoint)))

    point = (net(), x0, jax.tree.map(jnp.asarray, plan.numbers))
    direction = jax.tree.map(lambda a: 0.1 * jax.random.normal(jax.random.key(a.size), a.shape), point)
    gradient = jax.grad(loss, argnums=(0, 1, 2))(*point)
    slope = sum(jnp.vdot(g, v) for g, v in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    along = jax.jit(lambda s: loss(*jax.tree.map(lambda a, v: a + s * v, point, direction)))
    eps = 1e-3
    difference = (8 * (along(eps) - along(-eps)) - (along(2 * eps) - along(-2 * eps))) / (12 * eps)
    np.testing.assert_allclose(slope, difference, rtol=1e-8)
    _, tangent = jax.jvp(loss, point, direction)
    np.testing.assert_allclose(tangent, slope, rtol=1e-12)


def test_checkpointed_steps_need_less_memory_for_the_same_gradient():
    class Wide(eqx.Module):
        A: jax.Array
        B: jax.Array

        def __call__(self, tau, x):
            return jnp.sin(jnp.tanh(x @ self.A) * tau) @ self.B

    n = 200
    grid = np.linspace(0, 1, n + 1)
    plan = one(euler, [ones, np.diff(grid), ones], grid[:-1], grid=grid)
    model = Wide(jnp.ones((8, 256)) / 8, jnp.ones((256, 8)) / 256)
    x = jnp.ones((16, 8))

    def temporary(checkpoint):
        grad = jax.jit(jax.grad(lambda m: jnp.sum(plan.run(m, x, checkpoint=checkpoint) ** 2)))
        compiled = grad.lower(model).compile()
        return compiled.memory_analysis().temp_size_in_bytes, compiled(model).A

    (small, g), (large, g_all) = temporary(True), temporary(False)
    np.testing.assert_allclose(g, g_all, rtol=1e-12)
    assert large > 6 * small


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.complex64, jnp.complex128])
def test_dtype_in_is_dtype_out(dtype):
    seen = []

    def model(tau, x):
        seen.append(tau.dtype)
        return jnp.sin(x) * tau

    out = heun_plan().run(model, x0.astype(dtype), save="steps")
    assert out.dtype == dtype
    assert set(seen) == {jnp.finfo(dtype).dtype}


def test_complex_coefficients_per_mode():
    """Exponential Euler on dx/dt = L x + N with L = i k: one complex number a mode, the same in every step."""
    k = np.arange(3) + 0.5
    hh = 0.1
    flow, phi1 = np.exp(1j * k * hh), (np.exp(1j * k * hh) - 1) / (1j * k * hh)
    plan = one(euler, [ones, (hh * phi1)[None], flow[None]], np.zeros((10, 1)), grid=np.linspace(0, 1, 11))
    x = x0[0].astype(complex)
    out = plan.run(lambda tau, x: jnp.full_like(x, 2.0), x)
    exact = np.exp(1j * k) * x + 2 * (np.exp(1j * k) - 1) / (1j * k)
    np.testing.assert_allclose(out, exact, rtol=1e-13)
    with pytest.raises(ValueError, match=r"complex"):
        plan.run(lambda tau, x: x, x0[0])


def test_matrix_coefficients_and_traced_numbers_in_scan_segment():
    A = jax.random.normal(jax.random.key(0), (3, 3))

    def final(A):
        P = jax.scipy.linalg.expm(0.1 * A)
        coef = [jnp.ones(1), jnp.zeros(1), Matrix(P[None])]
        slots, saved = scan_segment(euler, coef, jnp.zeros((10, 1)), {"x": x0[0]}, [lambda tau, x: x], save=True)
        assert saved.shape == (10, 3)
        return slots["x"]

    np.testing.assert_allclose(jax.jit(final)(A), jax.scipy.linalg.expm(A) @ x0[0], rtol=1e-12)


def test_pytrees_are_states_too():
    """Each leaf is combined in its own precision, and each has noise of its own."""
    x = {"q": x0, "p": (x0[:, 0], x0.astype(jnp.float32))}
    key = jax.random.key(1)
    out = noisy_plan().run(lambda tau, s: jax.tree.map(jnp.sin, s), x, key=key)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), out) == jax.tree.map(lambda a: (a.shape, a.dtype), x)
    first = noisy_plan().run(lambda tau, s: jnp.sin(s), x["p"][0], key=key)  # leaves in jax order: p before q
    np.testing.assert_allclose(out["p"][0], first, rtol=1e-13)
    assert not np.allclose(out["q"], out["p"][1], atol=1e-2)
    states = heun_plan().run(lambda tau, s: jax.tree.map(lambda a: F(tau, a).astype(a.dtype), s), x, save="steps")
    np.testing.assert_allclose(states["q"], jnp.stack(loop_heun(x0)), rtol=1e-13)


def test_every_sample_may_have_its_own_grid():
    plan = heun_plan()
    scale = jnp.linspace(0.5, 1.5, 5)
    numbers = jax.vmap(lambda s: jax.tree.map(lambda c: c * s, plan.numbers))(scale)
    got = jax.vmap(lambda nums, x: plan.with_numbers(nums).run(F, x))(numbers, x0)
    for i in range(5):
        own = plan.with_numbers(jax.tree.map(lambda c, i=i: c * float(scale[i]), plan.numbers))
        np.testing.assert_allclose(got[i], own.run(F, x0[i]), rtol=1e-13)


def test_progress_reports_now_and_then_and_ends_with_the_total():
    seen = []
    grid = np.linspace(0, 1, 501)
    plan = one(euler, [ones, np.diff(grid), ones], grid[:-1], grid=grid)
    np.testing.assert_array_equal(plan.run(F, x0, progress=lambda n, total: seen.append((n, total))), plan.run(F, x0))
    assert seen[-1] == (500, 500)
    assert 40 <= len(seen) <= 60
    assert seen == sorted(seen)


def test_constants_are_read_by_name():
    pattern = Pattern((Row("y", ("x",), "F"), Row("next", ("mu", "F", "x"))), (("x", "next"),), consts=("mu",))
    plan = one(pattern, [ones, 0.1 * ones, h, ones], t[:-1])
    x = x0
    for n in range(steps):
        x = 0.1 * 2.0 * jnp.ones(3) + h[n] * F(t[n], x) + x
    np.testing.assert_allclose(plan.run(F, x0, consts={"mu": 2.0 * jnp.ones(3)}), x, rtol=1e-13)


BAD = [
    (lambda: euler_plan().run(F, x0.at[0, 0].set(jnp.nan)), ValueError, "x holds NaN"),
    (lambda: euler_plan().run(F, jnp.arange(3)), TypeError, "x must hold float"),
    (lambda: euler_plan().run(lambda t, x: x[:2], x0), TypeError, r"float64\[2,3\] for a state of float64\[5,3\]"),
    (lambda: euler_plan().run(lambda t, x: x.astype(jnp.float32), x0), TypeError, r"float32\[5,3\]"),
    (lambda: euler_plan().run(lambda t, x: (x, x), x0), TypeError, "model 0 returned"),
    (lambda: noisy_plan().run(F, x0), ValueError, "pass key=jax.random.key"),
    (lambda: noisy_plan().run(F, x0, key=3), TypeError, "key=jax.random.key"),
    (lambda: noisy_plan().run(F, x0, key=jax.random.split(jax.random.key(0), 4)), ValueError, "5 samples"),
    (lambda: noisy_plan().run(F, x0[0, 0], key=jax.random.key(0)), ValueError, "count samples"),
    (lambda: two_slot_plan().run(F, x0, slots={"fat": x0}), ValueError, "did you mean 'far'"),
    (lambda: two_slot_plan().run(F, x0, slots={"far": x0[:1]}), ValueError, "slot 'far' starts as"),
    (lambda: two_slot_plan().run(F, x0, consts={"mu": x0}), ValueError, "no constant 'mu'"),
    (lambda: euler_plan().run(F, x0, save="all"), ValueError, "save must be"),
    (lambda: one(verlet, [ones] * 7, np.zeros((3, 1)), grid=np.arange(4.0)).run(F, x0), ValueError, "calls 2 models"),
    (
        lambda: one(euler, [ones, np.ones((1, 4)), ones], np.zeros((1, 1)), grid=np.arange(2.0)).run(F, x0[:, :1]),
        ValueError,
        "coefficients do not fit",
    ),
]


@pytest.mark.parametrize("call, kind, words", BAD, ids=[words for *_, words in BAD])
def test_bad_input_is_one_sentence(call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_run_is_the_method():
    np.testing.assert_array_equal(run(euler_plan(), F, x0), euler_plan().run(F, x0))
