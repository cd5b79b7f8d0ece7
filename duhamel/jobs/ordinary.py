"""Ordinary equations by name, each with a start, a time, and somebody else's truth."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.figure import style
from duhamel.report.nearest import nearest
from duhamel.report.record import Record

from .wish import Wish, given, timed, told

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

METHODS = (
    *("Euler", "Midpoint", "Heun", "Ralston", "RK4", "Bosh3", "Dopri5", "Tsit5", "Dopri8"),
    *(f"Verner{p}" for p in (6, 7, 8, 9)),
    *("Rodas5P", "Rodas4", "Ros23", "Kvaerno3", "Kvaerno4", "Kvaerno5", "BDF", "Auto"),
)


@dataclass(frozen=True)
class Ordinary:
    """dx/dt = f(t, x), x(0) = x0, up to t1; `axes` are the names of the components, `truth` says whose x(t1) we trust.

    f     its parameters are its further arguments, with their usual values
    plot  the two components to draw against each other
    """

    name: str
    formula: str
    f: Callable[..., Any]
    x0: tuple[float, ...]
    t1: float
    axes: tuple[str, ...]
    plot: tuple[int, int] = (0, 1)
    exact: Callable[[float], np.ndarray] | None = None

    @property
    def parameters(self) -> dict[str, float]:
        """By name, with their usual values."""
        return {p.name: p.default for p in inspect.signature(self.f).parameters.values() if p.default is not p.empty}

    def truth(self, t1: float, **parameters: float) -> tuple[np.ndarray, str]:
        """x(t1), and where it comes from: a closed form, or SciPy's DOP853 at its tightest tolerance."""
        if self.exact is not None:
            return self.exact(t1), "the closed form"
        from scipy.integrate import solve_ivp

        right = lambda t, x: np.array(self.f(t, x, **parameters), dtype=float)  # noqa: E731
        found = solve_ivp(right, (0.0, t1), self.x0, method="DOP853", rtol=2.3e-14, atol=1e-15)
        return found.y[:, -1], "SciPy's DOP853 at rtol 2.3e-14"


def _lorenz(t: Any, x: Any, sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3) -> Any:
    return _stack(sigma * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - beta * x[2])


def _van_der_pol(t: Any, x: Any, mu: float = 10.0) -> Any:
    return _stack(x[1], mu * (1 - x[0] ** 2) * x[1] - x[0])


def _lotka_volterra(t: Any, x: Any, a: float = 1.1, b: float = 0.4, c: float = 0.1, d: float = 0.4) -> Any:
    return _stack(a * x[0] - b * x[0] * x[1], c * x[0] * x[1] - d * x[1])


def _pendulum(t: Any, x: Any) -> Any:
    sin = np.sin if isinstance(x, np.ndarray) else jnp.sin
    return _stack(x[1], -sin(x[0]))


def _pendulum_exact(t: float) -> np.ndarray:
    """theta(t) = 2 asin(k sn(K - t, k)) with k = sin(theta(0) / 2), released from rest (Lawden 1989, section 5.1)."""
    from scipy.special import ellipj, ellipk

    k = np.sin(1.5)
    sn, cn, dn, _ = ellipj(ellipk(k**2) - t, k**2)
    theta = 2 * np.arcsin(k * sn)
    return np.array([theta, -2 * k * cn * dn / np.sqrt(1 - (k * sn) ** 2)])


def _stack(*parts: Any) -> Any:
    """An array of the library that the parts belong to: SciPy should not pay for JAX."""
    return np.array(parts) if isinstance(parts[0], np.floating | float) else jnp.stack(parts)


ORDINARY = {
    equation.name: equation
    for equation in (
        Ordinary(
            "lorenz",
            "x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z",
            _lorenz,
            (1.0, 1.0, 1.0),
            20.0,
            ("x", "y", "z"),
            (0, 2),
        ),
        Ordinary("van-der-pol", "x'' = 10 (1 - x²) x' - x", _van_der_pol, (2.0, 0.0), 40.0, ("x", "x'")),
        Ordinary(
            "lotka-volterra",
            "x' = 1.1 x - 0.4 x y, y' = 0.1 x y - 0.4 y",
            _lotka_volterra,
            (10.0, 5.0),
            50.0,
            ("prey", "predators"),
        ),
        Ordinary("pendulum", "θ'' = -sin θ", _pendulum, (3.0, 0.0), 40.0, ("angle", "speed"), exact=_pendulum_exact),
    )
}


def prepare(equation: Ordinary, wish: Wish) -> Callable[[Context], Chapter]:
    """Check the wish; what comes back solves, draws and tells."""
    if wish.points is not None:
        raise ValueError(f"{equation.name} is an ordinary equation and has no grid; leave out --points.")
    word = given(wish.method, "tsit5")
    methods: Mapping[str, str] = {name.lower(): name for name in METHODS}
    if word.lower() not in methods:
        raise ValueError(f"no method for ordinary equations is called {word!r}; {nearest(word.lower(), methods)}")
    method = getattr(dh, methods[word.lower()])()
    control = dh.PID(rtol=wish.rtol, atol=wish.atol) if wish.steps is None else dh.Fixed(wish.steps)
    numbers = wish.numbers(equation.name, equation.parameters)
    right = lambda t, x: equation.f(t, x, **numbers)  # noqa: E731
    t1 = equation.t1 if wish.t1 is None else float(wish.t1)
    if t1 == 0 or not np.isfinite(t1):
        raise ValueError(f"t1 = {t1:g}: {equation.name} is solved from t = 0 to a finite time other than that.")

    def solve(context: Context) -> Chapter:
        x0, ts = jnp.asarray(equation.x0, jnp.float64), jnp.linspace(0.0, t1, 1501)
        context.progress("compiling and solving", None)
        call = lambda: dh.solve(right, x0, ts, method=method, control=control, max_steps=1_000_000)  # noqa: E731
        sol, first = timed(call)
        sol, again = timed(call)
        context.progress("solving once more with somebody else's code", None)
        truth, whose = equation.truth(t1, **numbers)
        x = np.asarray(sol.x)
        error = float(np.abs(x[-1] - truth).max())
        figure = Figure(
            str(context.figure(equation.name, _portrait(equation, np.asarray(ts), x))),
            "Left: the components over time. Right: the orbit.",
        )
        found = (
            *(Record(f"{axis}({t1:g})", float(value)) for axis, value in zip(equation.axes, x[-1], strict=True)),
            Record("largest error at the end", error, "", error),
            Record("steps accepted", int(sol.stats.accepted)),
            Record("steps rejected", int(sol.stats.rejected)),
            Record("evaluations", int(sol.stats.nfe)),
            Record("first call, compiling included", first, "s"),
            Record("second call", again, "s"),
        )
        how = f"{methods[word.lower()]}, " + (
            f"{wish.steps} equal steps" if wish.steps is not None else f"rtol {wish.rtol:g}, atol {wish.atol:g}"
        )
        question = f"{equation.formula}{told(numbers)}, from {equation.x0} to t = {t1:g} by {how}, in float64."
        return Chapter(
            equation.name,
            equation.name,
            question,
            text=(f"The error is measured against {whose}.",),
            records=found,
            figures=(figure,),
        )

    return solve


def _portrait(equation: Ordinary, t: np.ndarray, x: np.ndarray) -> "Drawing":
    import matplotlib.pyplot as plt

    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=(1.5, 1), layout="constrained")
        for i, axis in enumerate(equation.axes):
            left.plot(t, x[:, i], label=axis, linewidth=1.2)
        left.set(xlabel="t", title="Over time")
        above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.0}
        left.legend(ncols=len(equation.axes), **above)  # on the curves it hides them
        i, j = equation.plot
        right.plot(x[:, i], x[:, j], linewidth=0.8)
        right.set(xlabel=equation.axes[i], ylabel=equation.axes[j], title="Orbit")
    return figure
