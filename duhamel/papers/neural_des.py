"""On Neural Differential Equations: the thesis behind diffrax.

| the thesis has | here | its test |
|---|---|---|
| Runge-Kutta tableaux | `methods/tableaux` | tests/order/test_explicit.py, test_tableaux.py |
| discretise-then-optimise, checkpoints | `Tape` | tests/gradient/test_solve.py |
| optimise-then-discretise, seminorm | `Backsolve` | tests/gradient/test_adjoints.py |
| reversible Heun, its exact adjoint | `ReversibleHeun`, `ReversibleAdjoint` | tests/gradient/test_adjoints.py |
| events | `Event` | tests/laws/test_events.py |
| one Brownian path for any steps | `VirtualTree` | tests/laws/test_brownian.py |
| neural CDEs, log-ODEs, signatures | `CDE`, `LogODE`, `nde/cde` | tests/nde/test_cde.py, tests/exact |
| neural ODEs on data | `nde` | tests/nde/test_hare_lynx.py |
"""

from collections.abc import Sequence
from typing import Any

from duhamel.core.precision import enable_x64

from .card import Card, Context, Measurement, Verdict

LOW = ("Euler", "Midpoint", "Heun", "Ralston", "Bosh3", "RK4")
HIGH = ("Dopri5", "Tsit5", "Verner6", "Verner7", "Dopri8", "Verner8", "Verner9")


def check(context: Context) -> Sequence[Measurement]:

    context.progress("slopes of the tableaux", 0.0)
    excess = {name: _slope(name) for name in (*LOW, *HIGH)}
    with enable_x64(True):
        context.progress("gradients", 0.2)
        difference, unrolled = _gradients()
        stochastic = _stochastic(context)
    seen, forecast = _hare_and_lynx(context)
    vowels = _vowels(context)
    ours, theirs = vowels["neural CDE"], vowels["GRU-dt"]
    return [
        Measurement(
            "six methods up to order 4: largest distance of the slope from the order",
            max(abs(excess[name]) for name in LOW),
            high=0.2,
        ),
        Measurement(
            "seven methods of order 5 to 9: smallest excess of the slope over the order",
            min(excess[name] for name in HIGH),
            low=-0.2,
            note="their leading coefficients are so small that the next order shows first, so no upper end is asked",
        ),
        Measurement(
            "gradient of a neural ODE, adaptive steps, against central differences, relative", difference, high=1e-6
        ),
        Measurement(
            "gradient of a neural ODE, fixed steps, against backpropagation through a plain loop, relative",
            unrolled,
            high=1e-10,
        ),
        *stochastic,
        Measurement(
            "Japanese vowels, half of the points dropped: accuracy of the neural CDE over that of a GRU with time "
            "differences, in points",
            100 * (ours.mean - theirs.mean),
            low=-2.0,
            note=f"{100 * ours.mean:.1f} % ({ours.weights} weights) and {100 * theirs.mean:.1f} % ({theirs.weights})",
        ),
        Measurement("hare and lynx: error of the neural ODE's logarithms in years seen", seen, high=0.2),
        Measurement(
            "hare and lynx: error four years ahead over that of repeating the last count",
            forecast,
            high=0.5,
            note="years it did not see, from each of several years",
        ),
    ]


def _slope(name: str) -> float:
    """Measured order minus stated order, on 40 starts of a planar field with a closed form, in extended precision

    r' = r (1 - r^2),  theta' = 1 + r^2,   1/r^2 = 1 + c e^(-2t),  theta = t + log((e^(2t) + c) / (1 + c)) / 2
    """
    import numpy as np

    import duhamel as dh
    from duhamel.rows.step import kept, step
    from duhamel.testing import measured_order

    method, T = getattr(dh, name)(), np.longdouble(2)
    r0 = np.linspace(0.15, 1.6, 40).astype(np.longdouble)

    def field(t: Any, x: Any) -> Any:
        r2 = x[0] ** 2 + x[1] ** 2
        return np.stack([-x[1] * (1 + r2) + x[0] * (1 - r2), x[0] * (1 + r2) + x[1] * (1 - r2)])

    c = 1 / r0**2 - 1
    r, theta = 1 / np.sqrt(1 + c * np.exp(-2 * T)), T + np.log((np.exp(2 * T) + c) / (1 + c)) / 2
    exact = np.stack([r * np.cos(theta), r * np.sin(theta)])

    def error(steps: int) -> float:
        h, slots = T / steps, {"x": np.stack([r0, 0 * r0])}
        if method.fsal:
            slots["F"] = field(0.0, slots["x"])
        coef, tau = method.coef(dh.Zero(), 0.0, h), method.tau(0.0, h)  # the field does not know the time
        for _ in range(steps):
            slots = kept(method.pattern, step(method.pattern, coef, tau, slots, [field]))
        return float(np.sqrt(np.mean((slots["x"] - exact) ** 2)))

    grid = np.geomspace(10, 1200 if method.order < 3 else 300, 10) if method.order < 5 else np.arange(10, 70, 4)
    return measured_order(error, [int(n) for n in grid], ceiling=0.05, floor=1e-12, points=5) - method.order


def _neural_ode() -> tuple[Any, Any, Any]:
    """(field(t, x, weights), weights, x0) of a small network in four dimensions."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from duhamel.nn.mlp import MLP

    weights, rest = eqx.partition(MLP(4, 4, width=16, depth=1, key=jax.random.key(0)), eqx.is_array)
    x0 = jax.random.normal(jax.random.key(1), (4,))
    return (lambda t, x, w: eqx.combine(w, rest)(x) - 0.1 * jnp.cos(t) * x), weights, x0


def _gradients() -> tuple[float, float]:
    """Relative errors of the taped gradient by weights and start: against differences, and a plain loop."""
    import jax
    import jax.numpy as jnp

    import duhamel as dh
    from duhamel.testing import gradient_error

    field, weights, x0 = _neural_ode()
    tight = dh.PID(rtol=1e-11, atol=1e-11)
    adaptive = jax.jit(lambda w, x: jnp.sum(dh.solve(field, x, 2.0, args=w, control=tight).x ** 2))

    def taped(w: Any, x: Any) -> Any:
        return jnp.sum(dh.solve(field, x, 2.0, args=w, method=dh.RK4(), control=dh.Fixed(40)).x ** 2)

    def plain(w: Any, x: Any) -> Any:
        def step(x: Any, t: Any) -> tuple[Any, None]:
            h = 0.05
            k1 = field(t, x, w)
            k2 = field(t + h / 2, x + h / 2 * k1, w)
            k3 = field(t + h / 2, x + h / 2 * k2, w)
            k4 = field(t + h, x + h * k3, w)
            return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

        return jnp.sum(jax.lax.scan(step, x, 0.05 * jnp.arange(40))[0] ** 2)

    flat = lambda f: jnp.concatenate([g.ravel() for g in jax.tree.leaves(jax.grad(f, (0, 1))(weights, x0))])  # noqa: E731
    a, b = flat(taped), flat(plain)
    return gradient_error(adaptive, weights, x0), float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))


def _stochastic(context: Context) -> list[Measurement]:
    """Reversible Heun and the Brownian path under it."""
    context.progress("reversible Heun", 0.3)
    rebuilt, apart = _rebuilt(), _reversible_gradients()
    few, many = (_reversible_memory(steps) for steps in (100, 10_000))
    context.progress("one Brownian path", 0.4)
    path = _brownian()
    return [
        Measurement("reversible Heun, path rebuilt backwards: largest distance from the path", rebuilt, high=1e-10),
        Measurement(
            "reversible Heun, neural SDE: gradient on the rebuilt path against that of the stored one, relative",
            apart,
            high=1e-8,
        ),
        Measurement(
            "bytes that gradient keeps for each further step, of a state of 512",
            (many - few) / 9900,
            high=16,
            note="the step's time; nothing that grows with the state",
        ),
        Measurement(
            "one Brownian path: W at ten times from four sequences of steps, largest difference", path, high=1e-12
        ),
    ]


def _neural_sde(steps: int) -> tuple[Any, tuple]:
    """(a loss of (weights, x0, adjoint), (weights, x0)) of a neural SDE in 64 dimensions, reversible Heun."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    import duhamel as dh
    from duhamel.nn.mlp import MLP

    drift, rest = eqx.partition(MLP(64, 64, width=16, depth=1, key=jax.random.key(0)), eqx.is_array)
    weights, x0 = (drift, 0.3 * jnp.ones(64)), jax.random.normal(jax.random.key(1), (64,))
    sde = dh.SDE(
        lambda t, x, w: eqx.combine(w[0], rest)(x) - x,
        lambda t, x, w: w[1] * jnp.tanh(1 + x),
        calculus="stratonovich",
    )

    def loss(weights: Any, x0: Any, adjoint: Any) -> Any:
        how = {"method": dh.ReversibleHeun(), "control": dh.Fixed(steps), "key": jax.random.key(2)}
        return jnp.sum(dh.solve(sde, x0, 1.0, args=weights, adjoint=adjoint, **how).x ** 2)

    return loss, (weights, x0)


def _reversible_gradients() -> float:
    """Relative distance of the gradients on the rebuilt and on the stored path."""
    import jax
    import jax.numpy as jnp

    import duhamel as dh

    loss, at = _neural_sde(100)
    flat = lambda adjoint: jnp.concatenate(  # noqa: E731
        [leaf.ravel() for leaf in jax.tree.leaves(jax.jit(jax.grad(lambda *p: loss(*p, adjoint), (0, 1)))(*at))]
    )
    a, b = flat(dh.ReversibleAdjoint()), flat(dh.Tape())
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))


def _reversible_memory(steps: int) -> float:
    """Bytes that the compiled gradient needs beside its arguments and results."""
    import jax

    import duhamel as dh

    loss, at = _neural_sde(steps)
    gradient = jax.jit(jax.grad(lambda *p: loss(*p, dh.ReversibleAdjoint()), (0, 1)))
    analysis: Any = gradient.lower(*at).compile().memory_analysis()
    return float(analysis.temp_size_in_bytes)


def _rebuilt(steps: int = 1000) -> float:
    """dx = (sin t - x) dt + 0.3 tanh(1 + x) dW on eight paths: there step by step, and back by the method's inverse."""
    import jax
    import jax.numpy as jnp

    import duhamel as dh
    from duhamel.methods.base import Moment
    from duhamel.testing import Given

    method, h = dh.ReversibleHeun(), jnp.full(8, 1.0 / steps)
    sde = dh.SDE(lambda t, x: jnp.sin(t) - x, lambda t, x: 0.3 * jnp.tanh(1 + x), calculus="stratonovich")
    bound = Given(method, sde, {"dW": jnp.sqrt(h) * jax.random.normal(jax.random.key(2), (steps, 1, 8))})
    moment = lambda i: Moment(i, i * h, i * h, h)  # noqa: E731
    first = method.start(bound, 0.0 * h, jax.random.normal(jax.random.key(1), (1, 8)))

    def there(slots: Any, i: Any) -> tuple[Any, Any]:
        return method.keep(method.attempt(bound, moment(i), slots)), slots["x"]

    def back(slots: Any, i: Any) -> tuple[Any, Any]:
        before = method.inverse(bound, moment(i), slots)
        return before, before["x"]

    end, path = jax.lax.scan(there, first, jnp.arange(steps))
    _, again = jax.lax.scan(back, end, jnp.arange(steps), reverse=True)
    return float(jnp.max(jnp.abs(path - again)))


def _brownian() -> float:
    """Largest difference of W at ten times between sums of increments over four sequences of steps."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import duhamel as dh

    tree = dh.VirtualTree().bind(jax.random.key(5), jax.ShapeDtypeStruct((3,), jnp.float64), 2.0, ("dW",))
    marks, rng, paths = np.linspace(0.2, 2.0, 10), np.random.default_rng(0), []
    for extra in (0, 7, 40, 200):
        times = np.unique(np.concatenate([[0.0], marks, rng.uniform(0, 2.0, extra)]))
        s, h = jnp.asarray(times[:-1]), jnp.diff(jnp.asarray(times))
        W = jnp.cumsum(jax.vmap(lambda s, h: tree.increment(0, s, h)["dW"])(s, h), axis=0)
        paths.append(np.asarray(W)[np.searchsorted(times, marks) - 1])
    return float(np.max(np.abs(np.stack(paths) - paths[0])))


def _vowels(context: Context) -> Any:
    """Accuracies of a neural CDE and of a GRU on the test half of the Japanese vowels."""
    from duhamel.nde import vowels

    return vowels.study(context.fast, progress=lambda say, part: context.progress(say, 0.7 + 0.3 * part))


def _hare_and_lynx(context: Context) -> tuple[float, float]:
    """(error in the years seen, error ahead over persistence's) of the neural ODE."""
    from duhamel.nde import hare_lynx

    table = hare_lynx.table()
    origins = (1911, 1914) if context.fast else hare_lynx.ORIGINS
    steps = (200, 400) if context.fast else (400, 1000)
    fitted = hare_lynx.learn_kind(
        table,
        "neural",
        origins,
        hare_lynx.WEIGHTS["neural"],
        steps,
        progress=lambda done, total: context.progress("neural ODE on hare and lynx", 0.5 + 0.2 * done / total),
    )
    idle, _ = hare_lynx.baseline(table, 0, origins)
    return fitted.seen(table), fitted.rolling(table) / idle


card = Card(
    id="neural-des",
    claim="Explicit tableaux converge at their order; gradients of a solve are those of its steps, at memory that does "
    "not grow with them by reversible Heun; networks inside equations learn real series, neural CDEs irregular ones; "
    "one Brownian path serves any sequence of steps.",
    source="Kidger, On Neural Differential Equations, 2022, arXiv 2202.02435",
    check=check,
    expects=Verdict.in_part,
    seconds=150,
)
