"""On Neural Differential Equations: the thesis behind diffrax, as far as this library has come.

Measured: the tableaux, discretise-then-optimise gradients and their memory, a neural ODE on real data.
Not built: reversible Heun, neural CDEs and the virtual Brownian tree.
"""

from collections.abc import Sequence
from typing import Any

from .card import Card, Context, Measurement, Verdict

LOW = ("Euler", "Midpoint", "Heun", "Ralston", "Bosh3", "RK4")
HIGH = ("Dopri5", "Tsit5", "Verner6", "Verner7", "Dopri8", "Verner8", "Verner9")


def check(context: Context) -> Sequence[Measurement]:
    import jax

    context.progress("slopes of the tableaux", 0.0)
    excess = {name: _slope(name) for name in (*LOW, *HIGH)}
    with jax.enable_x64(True):
        context.progress("gradients", 0.2)
        difference, unrolled = _gradients()
        context.progress("memory", 0.4)
        few, many = (_gradient_memory(steps) for steps in (100, 10_000))
    seen, forecast = _hare_and_lynx(context)
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
        Measurement(
            "memory of the gradient at 10 000 steps over that at 100",
            many / few,
            high=1.2,
            note="flat memory needs the reversible adjoint; the tape's grows with the root of the steps once its "
            "budget is spent, here 32 states",
        ),
        Measurement("hare and lynx: error of the neural ODE's logarithms in years seen", seen, high=0.2),
        Measurement(
            "hare and lynx: error four years ahead over that of repeating the last count",
            forecast,
            high=0.5,
            note="years it did not see, from each of several years",
        ),
        Measurement(
            "parts of the claim measured here, of five",
            2,
            low=5,
            note="tableaux and memory; reversible Heun, the neural CDE on irregular series and the virtual Brownian "
            "tree are not built",
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


def _gradient_memory(steps: int) -> float:
    """Bytes that the compiled gradient of a solve of 4096 numbers needs beside its arguments and results."""
    import jax
    import jax.numpy as jnp

    import duhamel as dh

    tape = dh.Tape(memory=32 * 4096 * 8)

    def loss(x: Any) -> Any:
        sol = dh.solve(lambda t, x: -jnp.sin(x), x, 1.0, method=dh.RK4(), control=dh.Fixed(steps), adjoint=tape)
        return jnp.sum(sol.x**2)

    analysis: Any = jax.jit(jax.grad(loss)).lower(jnp.ones(4096)).compile().memory_analysis()
    return float(analysis.temp_size_in_bytes)


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
        progress=lambda done, total: context.progress("neural ODE on hare and lynx", 0.5 + 0.5 * done / total),
    )
    idle, _ = hare_lynx.baseline(table, 0, origins)
    return fitted.seen(table), fitted.rolling(table) / idle


card = Card(
    id="neural-des",
    claim="Explicit tableaux converge at their order; gradients of a solve are those of its steps, at memory that does "
    "not grow with them; networks inside equations learn real series. With reversible Heun, neural CDEs on irregular "
    "series, and one Brownian path for any steps.",
    source="Kidger, On Neural Differential Equations, 2022, arXiv 2202.02435",
    check=check,
    expects=Verdict.in_part,
    seconds=25,
)
