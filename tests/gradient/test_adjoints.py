"""Every adjoint against the same truths: closed forms, variational equations solved by SciPy, finite differences."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm, expm_frechet

import duhamel as dh
from duhamel.methods.base import Method

TIGHT = dh.PID(rtol=1e-12, atol=1e-12)
ADJOINTS = {
    "Tape": dh.Tape(),
    "Backsolve": dh.Backsolve(),
    "Backsolve, full norm": dh.Backsolve(seminorm=False),
    "Interpolating": dh.Interpolating(),
    "Interpolating, state": dh.Interpolating(quadrature="state"),
    "Direct": dh.Direct(),
}
CONTINUOUS = {name: ADJOINTS[name] for name in ("Backsolve", "Interpolating")}
every_adjoint = pytest.mark.parametrize("adjoint", ADJOINTS.values(), ids=ADJOINTS.keys())
continuous = pytest.mark.parametrize("adjoint", CONTINUOUS.values(), ids=CONTINUOUS.keys())


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def relative(a, b):
    a, b = flat(a), flat(b)
    return np.max(np.abs(a - b)) / np.max(np.abs(b))


def slope(f, x, step=0.02):
    """df/dx of a function of one number, by differences of order 8."""
    weights = np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])
    pairs = [float(f(x + j * step)) - float(f(x - j * step)) for j in (1, 2, 3, 4)]
    return float(weights @ pairs) / step


# Closed forms


@every_adjoint
def test_matrix_of_a_linear_equation(adjoint):
    rng = np.random.default_rng(0)
    A, x0, c, t1 = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=3), 1.5

    def loss(A, x0, t1):
        sol = dh.solve(lambda t, x, A: A @ x, x0, t1, args=A, control=TIGHT, adjoint=adjoint, max_steps=1024)
        return c @ sol.x

    grads = jax.grad(loss, (0, 1, 2))(jnp.asarray(A), jnp.asarray(x0), t1)
    E = np.zeros((3, 3))
    exact = np.zeros((3, 3))
    for i, j in np.ndindex(3, 3):
        E[:] = 0.0
        E[i, j] = t1
        exact[i, j] = c @ expm_frechet(A * t1, E, compute_expm=False) @ x0
    flow = expm(A * t1)
    assert relative(grads, (exact, flow.T @ c, c @ A @ flow @ x0)) < 1e-9


def lotka_volterra(t, x, p):
    a, b, c, d = p
    return jnp.stack([x[0] * (a - b * x[1]), x[1] * (d * x[0] - c)])


P, U0 = jnp.array([1.5, 1.0, 3.0, 1.0]), jnp.array([1.0, 1.0])


def lotka_volterra_by_scipy(ts):
    """d/d(x0, p) of the sum over ts of weight |x|^2, from the variational equation."""

    def rhs(t, y):
        x, S = y[:2], y[2:].reshape(2, 6)
        a, b, c, d = np.asarray(P)
        J = np.array([[a - b * x[1], -b * x[0]], [d * x[1], d * x[0] - c]])
        F = np.array([[x[0], -x[0] * x[1], 0, 0], [0, 0, -x[1], x[0] * x[1]]])
        dS = J @ S
        dS[:, 2:] += F
        return np.concatenate([[x[0] * (a - b * x[1]), x[1] * (d * x[0] - c)], dS.ravel()])

    S0 = np.concatenate([np.eye(2), np.zeros((2, 4))], axis=1)
    y0 = np.concatenate([np.asarray(U0), S0.ravel()])
    y = solve_ivp(rhs, (0.0, ts[-1]), y0, t_eval=ts, method="DOP853", rtol=1e-13, atol=1e-14).y.T
    weights = np.arange(1.0, len(ts) + 1)
    return sum(w * 2 * row[:2] @ row[2:].reshape(2, 6) for w, row in zip(weights, y, strict=True))


@every_adjoint
def test_lotka_volterra_at_times(adjoint):
    ts = jnp.array([0.4, 0.41, 1.0, 2.0])

    def loss(x0, p):
        how = {"control": dh.PID(1e-13, 1e-13), "adjoint": adjoint, "max_steps": 2048}
        x = dh.solve(lotka_volterra, x0, ts, args=p, **how).x
        return jnp.arange(1.0, 5.0) @ jnp.sum(x**2, axis=1)

    assert relative(jax.grad(loss, (0, 1))(U0, P), lotka_volterra_by_scipy(np.asarray(ts))) < 1e-9


# Finite differences: a pytree, times, closures, functions of the state


def pendulum(t, x, args):
    return {"q": x["p"], "p": -args["k"] * jnp.sin(x["q"]) - args["c"] * x["p"] + 0.1 * jnp.cos(t)}


@pytest.mark.parametrize(
    ("name", "direction"),
    [("Tape", 1.0), ("Backsolve", 1.0), ("Interpolating", 1.0), ("Direct", 1.0), ("Backsolve", -1.0)],
)
def test_everything_at_once_along_a_line(name, direction):
    """Initial state, arguments, a captured array, weights of fn, t0 and the save times all move with one number."""
    adjoint = ADJOINTS[name]
    x0 = {"q": jnp.array([0.7, -0.2]), "p": jnp.array([0.1, 0.4])}

    @jax.jit
    def loss(e):
        b, w = 0.3 + 0.2 * e, jnp.array([0.3, 1.7]) * (1 + e)
        x = jax.tree.map(lambda leaf: leaf * (1 + 0.1 * e), x0)
        args = {"k": 1.3 + 0.5 * e, "c": jnp.array([0.1, 0.2]) + 0.1 * e}
        ts = direction * (jnp.array([0.2, 0.5, 0.9, 1.4]) + jnp.array([0.1, 0.2, 0.3, 0.4]) * e)
        field = lambda t, x, a: {"q": x["p"] + b, "p": pendulum(t, x, a)["p"]}  # noqa: E731
        save = dh.Save(fn=lambda t, x, a: jnp.tanh(w * x["q"]) * a["k"] + t * x["p"])
        how = {"control": TIGHT, "adjoint": adjoint, "max_steps": 1024}
        sol = dh.solve(field, x, ts, t0=direction * (0.1 - 0.05 * e), args=args, save=save, **how)
        return jnp.sum(jnp.arange(1.0, 5.0)[:, None] * sol.x) + jnp.sum(sol.x1["q"])

    truth = slope(loss, 0.0)
    # Direct differentiates the step that ends at t1, which knows the derivative in time to its own order.
    tolerance = 1e-7 if name == "Direct" else 1e-9
    assert abs(float(jax.grad(loss)(0.0)) - truth) < tolerance * abs(truth)


def test_a_complex_state(adjoint=CONTINUOUS["Interpolating"]):
    def loss(w, x0):
        f = lambda t, x, a: 1j * a * x - 0.1 * x * jnp.abs(x) ** 2  # noqa: E731
        sol = dh.solve(f, x0 * (1 + 0.5j), 2.0, args=w, control=TIGHT, adjoint=adjoint, max_steps=1024)
        return jnp.sum(jnp.abs(sol.x) ** 2 + sol.x.real)

    point = jnp.array(0.7), jnp.array([1.0, 0.3])
    exact = jax.grad(lambda w, x: loss(w, x), (0, 1))(*point)
    truth = slope(jax.jit(lambda e: loss(point[0] + e, point[1] * (1 + e))), 0.0)
    assert abs(float(exact[0] + exact[1] @ point[1]) - truth) < 1e-9 * abs(truth)


@continuous
def test_a_save_time_at_the_start(adjoint):
    def grads(adjoint):
        def loss(x0, p):
            how = {"control": TIGHT, "adjoint": adjoint, "max_steps": 1024}
            return jnp.sum(jnp.sin(dh.solve(lotka_volterra, x0, jnp.array([0.0, 0.5]), args=p, **how).x))

        return jax.grad(loss, (0, 1))(U0, P)

    assert relative(grads(adjoint), grads(dh.Tape())) < 1e-9


@pytest.mark.parametrize("adjoint", [dh.Tape(), *CONTINUOUS.values()], ids=["Tape", *CONTINUOUS.keys()])
def test_every_step_inside_jit_counts_once_more_in_the_rows_that_repeat_the_last(adjoint):
    """Inside jit there are max_steps + 1 rows; a mean over them sees the last state many times."""
    rows = 257

    def loss(p):
        save = dh.Save(steps=True)
        how = {"control": dh.PID(1e-10, 1e-10), "adjoint": adjoint, "max_steps": rows - 1}
        sol = dh.solve(lotka_volterra, U0, 1.0, args=p, save=save, **how)
        return jnp.sum(sol.x), sol.stats.accepted

    (_, accepted), grad = jax.jit(jax.value_and_grad(loss, has_aux=True))(P)

    def few(p):
        how = {"control": dh.PID(1e-10, 1e-10), "save": dh.Save(steps=True), "max_steps": rows - 1}
        sol = dh.solve(lotka_volterra, U0, 1.0, args=p, adjoint=dh.Forward(), **how)
        weights = jnp.where(jnp.arange(rows) == accepted, rows - accepted, 1.0) * (jnp.arange(rows) <= accepted)
        return jnp.sum(weights[:, None] * sol.x)

    assert relative(grad, jax.jit(jax.jacfwd(few))(P)) < 1e-7


# Ensembles

LANES = 12
W = jnp.asarray(np.random.default_rng(1).normal(size=(2, 2))) * 0.5
SPEED = jnp.linspace(0.5, 3.0, LANES)
STATES = jnp.asarray(np.random.default_rng(2).normal(size=(LANES, 2)))


def network(t, x, args):
    return jnp.tanh(args["w"] @ x) * args["speed"] + jnp.sin(t)


def of_ensemble(adjoint, chunk, control):
    def loss(w, speed, x0, ts):
        args, axes = {"w": w, "speed": speed}, {"w": None, "speed": 0}
        how = {"control": control, "adjoint": adjoint, "chunk": chunk, "max_steps": 512}
        sol = dh.ensemble(network, x0, ts, args=args, in_axes=axes, **how)
        return jnp.mean(sol.x**2) + jnp.mean(jnp.cos(sol.x1))

    return jax.grad(loss, (0, 1, 2, 3))(W, SPEED, STATES, jnp.array([0.0, 0.7, 0.8, 2.0]))


PRECISE = dh.PID(1e-11, 1e-11)


@cache
def tape_of_ensemble():
    return of_ensemble(dh.Tape(), 16, PRECISE)


@pytest.mark.parametrize(
    ("name", "chunk", "control"),
    [
        ("Backsolve", 16, PRECISE),
        ("Backsolve", 5, PRECISE),
        ("Backsolve", 5, dh.Fixed(200)),
        ("Interpolating", 16, PRECISE),
        ("Interpolating", 5, PRECISE),
        ("Direct", 16, PRECISE),
    ],
)
def test_an_ensemble(name, chunk, control):
    for a, b in zip(of_ensemble(ADJOINTS[name], chunk, control), tape_of_ensemble(), strict=True):
        assert relative(a, b) < 3e-8


@pytest.mark.parametrize("adjoint", [dh.Backsolve(), dh.Interpolating()], ids=["Backsolve", "Interpolating"])
def test_shared_weights_get_one_cotangent(adjoint):
    """The compiled gradient holds no array of lanes x weights."""
    lanes, width = 64, 32
    rng = np.random.default_rng(3)
    w = {"a": jnp.asarray(rng.normal(size=(width, 3))), "b": jnp.asarray(rng.normal(size=(3, width))) * 0.1}
    x0 = jnp.asarray(rng.normal(size=(lanes, 3)))

    def f(w):
        field = lambda t, x, w: w["b"] @ jnp.tanh(w["a"] @ x)  # noqa: E731
        return jnp.sum(dh.ensemble(field, x0, 1.0, args=w, adjoint=adjoint, throw=False).x)

    text = jax.jit(jax.grad(f)).lower(w).compile().as_text()
    for shape in (f"[{lanes},{width},3]", f"[{width},3,{lanes}]", f"[{lanes},3,{width}]", f"[3,{width},{lanes}]"):
        assert shape not in text


# Reversible


class Coupled(Method):
    """Two copies of the state, each moved by a step from the other (McCallum, Foster, arXiv 2410.11648):

    y1 = l y + (1 - l) z + Psi_h(z),  z1 = z - Psi_-h(y1),  Psi the increment of the midpoint rule
    """

    l: float = 0.999

    order = property(lambda self: 2)
    error_order = property(lambda self: 1)
    dense_order = property(lambda self: 2)
    carried = property(lambda self: ("z",))
    calls = property(lambda self: 4)

    def fields(self, problem):
        return (problem.field,)

    def psi(self, bound, t, h, x):
        half = jax.tree.map(lambda a, f: a + 0.5 * h * f, x, bound.call(0, t, x))
        return jax.tree.map(lambda f: h * f, bound.call(0, t + 0.5 * h, half))

    def start(self, bound, t, x):
        return {"x": x, "z": x}

    def attempt(self, bound, at, slots):
        y, z = slots["x"], slots["z"]
        push = self.psi(bound, at.t, at.h, z)
        y1 = jax.tree.map(lambda y, z, p: self.l * y + (1 - self.l) * z + p, y, z, push)
        z1 = jax.tree.map(jnp.subtract, z, self.psi(bound, at.t + at.h, -at.h, y1))
        error = jax.tree.map(lambda f, p: at.h * f - p, bound.call(0, at.t, z), push)
        return {"x": y, "x1": y1, "z1": z1, "error": error}

    def keep(self, env):
        return {"x": env["x1"], "z": env["z1"]}

    def inverse(self, bound, at, slots):
        y1, z1 = slots["x"], slots["z"]
        z = jax.tree.map(jnp.add, z1, self.psi(bound, at.t + at.h, -at.h, y1))
        push = self.psi(bound, at.t, at.h, z)
        y = jax.tree.map(lambda y, z, p: (y - (1 - self.l) * z - p) / self.l, y1, z, push)
        return {"x": y, "z": z}


@pytest.mark.parametrize("control", [dh.Fixed(150), dh.PID(1e-4, 1e-4)], ids=["fixed", "adaptive"])
def test_reversible_equals_the_tape(control):
    ts = jnp.array([0.3, 1.0, 2.0])

    def grads(adjoint):
        def loss(x0, p, ts):
            how = {"control": control, "method": Coupled(), "adjoint": adjoint, "max_steps": 512}
            return jnp.sum(jnp.sin(dh.solve(lotka_volterra, x0, ts, args=p, **how).x))

        return jax.grad(loss, (0, 1, 2))(U0, P, ts)

    assert relative(grads(dh.ReversibleAdjoint()), grads(dh.Tape())) < 1e-12


def test_reversible_ensemble_in_chunks(chunk=5):
    def grads(adjoint):
        def loss(w, x0):
            args, axes = {"w": w, "speed": SPEED}, {"w": None, "speed": 0}
            how = {"control": dh.PID(1e-4, 1e-4), "adjoint": adjoint, "chunk": chunk, "method": Coupled()}
            sol = dh.ensemble(network, x0, jnp.array([0.5, 2.0]), args=args, in_axes=axes, max_steps=256, **how)
            return jnp.mean(sol.x**2)

        return jax.grad(loss, (0, 1))(W, STATES)

    assert relative(grads(dh.ReversibleAdjoint()), grads(dh.Tape())) < 1e-12


# Memory


def memory(adjoint, steps, **how):
    """Bytes of temporaries in the gradient of a solve with 1000 components."""

    def loss(x0, w):
        sol = dh.solve(lambda t, x, w: jnp.sin(w * x), x0, 1.0, args=w, adjoint=adjoint, control=dh.Fixed(steps), **how)
        return jnp.sum(sol.x)

    x = jnp.ones(1000)
    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(x, x).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize(
    ("adjoint", "how"),
    [(dh.Backsolve(), {}), (dh.ReversibleAdjoint(), {"method": Coupled()})],
    ids=["Backsolve", "Reversible"],
)
def test_memory_grows_by_the_times_of_the_steps_only(adjoint, how):
    """A state is 8000 bytes, a time 8."""
    few, many = (memory(adjoint, n, **how) for n in (100, 10_000))
    assert few < 60 * 8000
    assert many - few <= 3 * 8 * 9900
    assert memory(dh.Tape(), 10_000) > 2000 * 8000  # in segments


# What they refuse


def test_a_reconstruction_that_went_astray_is_not_used():
    """Backwards, diffusion blows up: Backsolve says NaN, Interpolating does not mind."""

    def grad(adjoint):
        def loss(k):
            x = jnp.linspace(0.0, 1.0, 8)
            f = lambda t, x, k: k * (jnp.roll(x, 1) - 2 * x + jnp.roll(x, -1)) - 0.1 * x**3  # noqa: E731
            how = {"control": dh.PID(1e-8, 1e-8), "adjoint": adjoint, "throw": False}
            return jnp.sum(dh.solve(f, x, 8.0, args=k, **how).x ** 2)

        return float(jax.grad(loss)(2.0))

    assert np.isnan(grad(dh.Backsolve()))
    np.testing.assert_allclose(grad(dh.Interpolating()), grad(dh.Tape()), rtol=1e-5)


class Noisy(Coupled):
    """Stands for any method of an SDE."""

    noise = property(lambda self: ("dW",))


def end(x0=1.0, how=None, adjoint=None, **more):
    return dh.solve(lambda t, x, a: -a * x, x0, 1.0, args=1.0, adjoint=adjoint, **(how or {}), **more)


@continuous
def test_what_a_continuous_adjoint_refuses(adjoint):
    sde = dh.SDE(lambda t, x, a: -x, lambda t, x, a: 0.1 * x)
    with pytest.raises(ValueError, match="noise"):
        dh.solve(sde, 1.0, 1.0, key=jax.random.key(0), adjoint=adjoint, control=dh.Fixed(4), method=Noisy())
    with pytest.raises(NotImplementedError, match="events"):
        end(adjoint=adjoint, events=dh.Event(lambda t, x: x - 0.5))
    with pytest.raises(NotImplementedError, match=r"sol\.error"):
        jax.grad(lambda x: end(x, adjoint=adjoint).error)(1.0)


def test_what_else_is_refused():
    with pytest.raises(ValueError, match="no inverse"):
        end(adjoint=dh.ReversibleAdjoint())
    with pytest.raises(ValueError, match="gauss"):
        dh.Interpolating(quadrature="simpson")
    with pytest.raises(ValueError, match="no error estimate"):
        jax.grad(lambda x: end(x, adjoint=dh.Backsolve(method=dh.RK4())).x)(1.0)
    with pytest.raises(NotImplementedError, match="seminorm"):
        jax.grad(lambda w: jnp.sum(dh.ensemble(lambda t, x, w: -w * x, jnp.ones((3, 1)), 1.0, args=w,
                                               adjoint=dh.Backsolve(seminorm=False)).x))(1.0)  # fmt: skip
    with pytest.raises(NotImplementedError, match="Tape"):
        end(adjoint=dh.Backsolve(), control=dh.PID(stops=jnp.array([0.5])))


def test_a_method_and_a_control_of_its_own():
    def grad(adjoint):
        how = {"control": dh.PID(1e-11, 1e-11), "max_steps": 1024}
        return jax.grad(lambda p: jnp.sum(dh.solve(lotka_volterra, U0, 1.0, args=p, adjoint=adjoint, **how).x))(P)

    loose = dh.Interpolating(method=dh.Bosh3(), control=dh.PID(1e-4, 1e-4))
    assert 1e-9 < relative(grad(loose), grad(dh.Tape())) < 1e-3
