"""Laws of the forward solve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh
from duhamel.core.status import Status
from duhamel.testing import traces

X0 = jnp.array([1.0, 0.5])


def spiral(t, x, args=None):
    rate = 1.0 if args is None else args
    return jnp.stack([-0.3 * x[0] - rate * x[1], rate * x[0] - 0.3 * x[1]])


def exact(t):
    z = (1 + 0.5j) * np.exp((-0.3 + 1j) * np.asarray(t))
    return np.stack([z.real, z.imag], axis=-1)


def test_a_bare_function_is_enough():
    np.testing.assert_allclose(dh.solve(lambda t, x: -x, 1.0, 5.0).x, np.exp(-5.0), rtol=1e-5)


def test_save_times_steps_and_dense_output_agree_with_the_closed_form():
    ts = jnp.linspace(0.0, 4.0, 9)
    dense = dh.solve(spiral, X0, 4.0, save=dh.Save(dense=True))
    steps = dh.solve(spiral, X0, 4.0, save=dh.Save(steps=True))
    times = dh.solve(spiral, X0, ts)
    assert steps.t.shape == (int(steps.stats.accepted) + 1,)
    assert steps.t[0] == 0.0 and steps.t[-1] == 4.0
    np.testing.assert_allclose(times.x, exact(ts), atol=1e-5)
    np.testing.assert_allclose(steps.x, exact(steps.t), atol=1e-5)
    np.testing.assert_allclose(dense(ts), times.x, atol=1e-14)
    np.testing.assert_array_equal(times.x[0], X0)


def test_several_save_times_in_one_step_and_one_save_time_in_many_steps():
    ts = jnp.concatenate([jnp.linspace(1.0, 1.001, 30), jnp.array([9.0])])
    sol = dh.solve(spiral, X0, ts)
    np.testing.assert_allclose(sol.x, exact(ts), atol=1e-5)
    assert int(sol.stats.accepted) > 10


def test_a_function_of_the_state():
    sol = dh.solve(
        spiral, X0, jnp.array([1.0, 2.0]), args=2.0, save=dh.Save(fn=lambda t, x, args: {"r2": x @ x, "a": args * t})
    )
    np.testing.assert_allclose(sol.x["r2"], 1.25 * np.exp(-0.6 * np.array([1.0, 2.0])), rtol=1e-5)
    np.testing.assert_allclose(sol.x["a"], [2.0, 4.0])


def test_forth_and_back_returns():
    forth = dh.solve(spiral, X0, 3.0, t0=1.0)
    back = dh.solve(spiral, forth.x, 1.0, t0=3.0)
    np.testing.assert_allclose(back.x, X0, atol=2e-5)
    ts = jnp.array([2.5, 2.0, 1.0])
    np.testing.assert_allclose(
        dh.solve(spiral, forth.x, ts, t0=3.0).x[1], dh.solve(spiral, X0, 2.0, t0=1.0).x, atol=2e-5
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_precision_in_is_precision_out(dtype):
    sol = dh.solve(lambda t, x: -x, jnp.ones(2, dtype), 1.0, control=dh.PID(1e-5, 1e-5), save=dh.Save(dense=True))
    real = jnp.finfo(dtype).dtype
    assert sol.x.dtype == sol(0.5).dtype == dtype
    assert sol.t.dtype == sol.error.dtype == real


def test_a_pytree_equals_its_concatenation():
    tree = {"a": jnp.array([1.0]), "b": jnp.array([[0.5]])}

    def f(t, x):
        return {"a": -0.3 * x["a"] - x["b"][0], "b": (x["a"] - 0.3 * x["b"][0])[None]}

    one, other = dh.solve(f, tree, 2.0), dh.solve(spiral, X0, 2.0)
    np.testing.assert_allclose(jnp.concatenate([one.x["a"], one.x["b"][0]]), other.x, rtol=1e-13)
    assert int(one.stats.accepted) == int(other.stats.accepted)


def test_vmap_equals_a_loop_and_so_does_each_lanes_step_count():
    rates = jnp.array([0.5, 3.0, 20.0])
    f = lambda r: dh.solve(spiral, X0, 2.0, args=r)  # noqa: E731
    together = jax.vmap(f)(rates)
    for i, r in enumerate(rates):
        alone = f(r)
        np.testing.assert_allclose(together.x[i], alone.x, rtol=1e-12)
        assert int(together.stats.accepted[i]) == int(alone.stats.accepted)
        assert int(together.stats.rejected[i]) == int(alone.stats.rejected)


def test_other_numbers_do_not_compile_again():
    f, count = traces(lambda t, x, rate: spiral(t, x, rate))
    for rate, rtol in ((1.0, 1e-5), (2.0, 1e-6), (3.0, 1e-7)):
        dh.solve(f, X0, 1.0 + rate, args=rate, control=dh.PID(rtol, 1e-9))
    assert count() == 1
    jitted = jax.jit(lambda x, a, t: dh.solve(f, x, t, args=a).x)
    for rate in (1.0, 2.0, 3.0):
        jitted(X0, rate, 1.0 + rate)
    assert count() <= 2


def test_evaluations_are_counted():
    """Seen from the field itself: a host callback counts."""
    seen = [0]

    def hit(t):
        seen[0] += 1
        return np.zeros_like(t)

    def f(t, x):
        return -x + jax.pure_callback(hit, jax.ShapeDtypeStruct((), jnp.float64), t)

    sol = dh.solve(f, 1.0, 2.0, throw=False)
    jax.block_until_ready(sol.x)
    assert int(sol.stats.nfe) == seen[0]
    assert seen[0] == 3 + 6 * int(sol.stats.accepted + sol.stats.rejected)


def test_small_steps_at_large_times_in_float32():
    x0, t0 = jnp.float32(1.0), jnp.float32(1000.0)
    sol = dh.solve(lambda t, x: -50 * x, x0, t0 + jnp.float32(0.0625), t0=t0, control=dh.PID(1e-5, 1e-6), dt0=1e-4)
    np.testing.assert_allclose(sol.x, np.exp(-50 * 0.0625), rtol=1e-4)


def test_times_of_order_1e_minus_9():
    sol = dh.solve(lambda t, x: -1e9 * x, 1.0, 2e-9, save=dh.Save(dense=True))
    np.testing.assert_allclose(sol(1e-9), np.exp(-1.0), rtol=1e-5)


def test_a_blow_up_is_a_status():
    sol = dh.solve(lambda t, x: x**2, 1.0, 2.0, throw=False)
    assert int(sol.status) in (Status.nonfinite, Status.step_too_small, Status.max_steps_reached)
    assert float(sol.t1) == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(dh.SolveError, match=r"t = 1.*: (nonfinite|step_too_small|max_steps_reached)\. "):
        dh.solve(lambda t, x: x**2, 1.0, 2.0)


def test_a_field_that_turns_nan_is_a_status():
    sol = dh.solve(lambda t, x: jnp.where(t > 0.5, jnp.nan, -x), 1.0, 2.0, throw=False)
    assert Status(int(sol.status)) is Status.nonfinite
    assert float(sol.t1) == pytest.approx(0.5, abs=1e-6)
    assert np.isfinite(sol.x1)


def test_nan_on_a_fixed_grid_is_a_status():
    sol = dh.solve(lambda t, x: jnp.where(t > 0.5, jnp.nan, -x), 1.0, 2.0, control=dh.Fixed(10), throw=False)
    assert Status(int(sol.status)) is Status.nonfinite


def test_max_steps_keeps_what_was_computed():
    with pytest.raises(dh.SolveError, match="max_steps_reached") as caught:
        dh.solve(spiral, X0, jnp.linspace(0, 50, 11), max_steps=60)
    sol = caught.value.solution
    done = np.isfinite(np.asarray(sol.x)).all(axis=1)
    assert 1 < done.sum() < 11 and done[: done.sum()].all()
    np.testing.assert_allclose(sol.x[done], exact(sol.t[done]), atol=1e-5)


def test_exponential_methods_on_a_fixed_grid_are_exact_for_linear_problems():
    problem = dh.Semilinear(dh.Dense(np.array([[-0.3, -1.0], [1.0, -0.3]])), lambda t, x: jnp.zeros_like(x))
    sol = dh.solve(problem, X0, jnp.array([1.0, 2.0]), method=dh.ETDRK4(), control=dh.Fixed(4))
    np.testing.assert_allclose(sol.x, exact(sol.t), rtol=1e-13)


def test_a_grid_of_times():
    grid = np.array([0.0, 0.1, 0.15, 0.7, 1.0])
    sol = dh.solve(spiral, X0, 1.0, method=dh.RK4(), control=dh.Fixed(grid=grid), save=dh.Save(steps=True))
    np.testing.assert_allclose(sol.t, grid, atol=1e-15)
    np.testing.assert_allclose(sol.x, exact(grid), atol=2e-3)


def test_a_linear_part_is_part_of_the_field_for_runge_kutta():
    A = np.array([[-0.3, -1.0], [1.0, -0.3]])
    for L in (dh.Dense(A), dh.Dense(jnp.asarray(A))):
        sol = dh.solve(dh.Semilinear(L, lambda t, x: jnp.zeros_like(x)), X0, 2.0)
        np.testing.assert_allclose(sol.x, exact(2.0), atol=1e-5)


def test_gradient_to_the_linear_part_through_tabulated_coefficients():
    from duhamel.testing import gradient_error

    def f(values, x0):
        problem = dh.Semilinear(dh.Diagonal(values), lambda t, x: jnp.sin(x))
        return jnp.sum(dh.solve(problem, x0, 1.0, method=dh.ETDRK4(), control=dh.Fixed(8)).x ** 2)

    assert gradient_error(jax.jit(f), jnp.array([-1.0, -3.0]), X0) < 1e-7


def test_tolerance_of_each_component():
    """A component of size 1e-9 beside one of size 1: one atol for both loses the small one."""
    f = lambda t, x: jnp.stack([-x[0], -x[1] * (1 + 1e9 * x[1])])  # noqa: E731
    x0, T = jnp.array([1.0, 1e-9]), 3.0
    exact = 1.0 / ((1 / 1e-9 + 1e9) * np.exp(T) - 1e9)
    each = dh.PID(1e-8, jnp.array([1e-8, 1e-17]))
    for x in (dh.solve(f, x0, T, control=each).x, dh.ensemble(f, x0[None], T, control=each).x[0]):
        np.testing.assert_allclose(x, [np.exp(-T), exact], rtol=1e-6)
    assert abs(dh.solve(f, x0, T, control=dh.PID(1e-12, 1e-3)).x[1] / exact - 1) > 1e-4
    with pytest.raises(ValueError, match="atol has shape"):
        dh.solve(f, x0, T, control=dh.PID(1e-8, jnp.ones(3)))


def test_the_unit_of_time_does_not_matter():
    """The same problem in seconds and in nanoseconds takes the same steps."""
    slow = dh.solve(lambda t, x: jnp.cos(5 * x) - x, jnp.array([0.3]), 4.0)
    fast = dh.solve(lambda t, x: 1e9 * (jnp.cos(5 * x) - x), jnp.array([0.3]), 4e-9)
    assert slow.stats.accepted == fast.stats.accepted and slow.stats.rejected == fast.stats.rejected
    np.testing.assert_allclose(slow.x, fast.x, rtol=1e-10)
