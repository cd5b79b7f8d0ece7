"""Chapter: thousands of Lorenz systems at once, and how fast they forget where they came from."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import duhamel as dh
from duhamel.core.precision import enable_x64
from duhamel.report.chapter import Chapter, Figure
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.measurement import Measurement, number
from duhamel.report.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

EXPONENT = 0.906  # J. C. Sprott, from 10^9 Runge-Kutta steps: sprott.physics.wisc.edu/chaos/lorenzle.htm
START = (-8.0, 7.0, 27.0)
RADIUS = 1e-3
SHOWN = (0.0, 4.0, 9.0, 20.0)
CHECKED = 16  # lanes that SciPy solves as well
FROM, UNTIL = 20.0, 40.0  # by then the swarm has spread over the attractor


def lorenz(t: Any, x: Float[Array, " 3"]) -> Float[Array, " 3"]:
    return jnp.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


def with_tangent(t: Any, x: Float[Array, "2 3"]) -> Float[Array, "2 3"]:
    """A point and a small displacement of it: x' = f(x), d' = f'(x) d."""
    return jnp.stack(jax.jvp(lambda p: lorenz(t, p), (x[0],), (x[1],)))


def chapter(context: Context) -> Chapter:
    lanes = 1024 if context.fast else 4096
    with enable_x64(True):
        context.progress(f"{lanes} Lorenz systems, each with steps of its own", None)
        ts = jnp.linspace(0.0, UNTIL, 161)
        sols = dh.ensemble(with_tangent, swarm(lanes), ts, control=dh.PID(rtol=1e-6, atol=1e-9), max_steps=100_000)
        context.progress("the same start by SciPy", None)
        error = against_scipy(CHECKED)
    t, points = np.asarray(ts), np.asarray(sols.x)
    growth = np.log(np.linalg.norm(points[:, :, 1], axis=-1)).mean(axis=0)
    window = t >= FROM
    exponent = float(np.polyfit(t[window], growth[window], 1)[0])
    note = f"The truth is the published value, {EXPONENT}, from a thousand million Runge-Kutta steps (J. C. Sprott)."
    low, high = EXPONENT - 0.01, EXPONENT + 0.01
    accepted = np.asarray(sols.stats.accepted)
    return Chapter(
        id="ensemble",
        title="A swarm of Lorenz systems",
        question=f"{number(lanes)} Lorenz systems start within a few thousandths of each other, each together with the "
        "equation of a small displacement. Every system chooses its own steps. How fast do they part?",
        headline=Measurement("Largest Lyapunov exponent of the Lorenz system", exponent, low, high, "per time", note),
        text=(
            "After four units of time the swarm still looks like a point. After twenty it is spread over the whole "
            "attractor, and where it began is forgotten.",
        ),
        records=(
            Record("systems", lanes),
            Record("steps of the laziest and of the busiest system", f"{accepted.min()} and {accepted.max()}"),
            Record(f"largest relative difference from SciPy's DOP853 at t = 2, {CHECKED} systems", error, "", error),
        ),
        figures=(
            Figure(
                str(context.figure("ensemble", draw(t, points, growth, exponent))),
                "Above: the swarm at four times, seen along y; grey is the attractor. Below: how a small displacement "
                "grows, averaged over the swarm; the dashed line has the published slope.",
            ),
        ),
    )


def swarm(lanes: int) -> Float[Array, "lanes 2 3"]:
    """Points in a ball of the given radius, each with a displacement of length one in a direction of its own."""
    where, direction = jax.random.split(jax.random.key(0))
    points = jnp.asarray(START) + RADIUS * jax.random.normal(where, (lanes, 3))
    tangents = jax.random.normal(direction, (lanes, 3))
    return jnp.stack([points, tangents / jnp.linalg.norm(tangents, axis=-1, keepdims=True)], axis=1)


def against_scipy(lanes: int) -> float:
    """Largest relative difference at t = 2, both at relative tolerance 1e-10, so that neither hides behind chaos."""
    from scipy.integrate import solve_ivp

    x0s = swarm(lanes)[:, 0]
    ours = np.asarray(dh.ensemble(lorenz, x0s, 2.0, control=dh.PID(rtol=1e-10, atol=1e-12)).x)
    right = lambda t, x: [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]  # noqa: E731
    theirs = [solve_ivp(right, (0, 2), x0, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1] for x0 in np.asarray(x0s)]
    return float((np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max())


def draw(t: np.ndarray, points: np.ndarray, growth: np.ndarray, exponent: float) -> "Drawing":
    import matplotlib.pyplot as plt

    with style():
        figure = plt.figure(figsize=(9, 5.4), layout="constrained")
        upper, lower = (figure.add_subfigure(place) for place in figure.add_gridspec(2, 1))
        cloud = points[::16, t >= FROM, 0].reshape(-1, 3)[:: max(1, len(points) // 512)]
        for axes, time in zip(upper.subplots(1, len(SHOWN), sharey=True), SHOWN, strict=True):
            axes.plot(cloud[:, 0], cloud[:, 2], ".", color="#c4c4c4", markersize=1.2, rasterized=True)
            now = points[:, np.searchsorted(t, time), 0]
            axes.plot(now[:, 0], now[:, 2], ".", markersize=1.5, color=PALETTE[1], rasterized=True)
            axes.set(title=f"t = {time:g}", xlabel="x", xlim=(-22, 22), ylim=(0, 50))
        upper.axes[0].set_ylabel("z")
        axes = lower.subplots()
        axes.plot(t, growth, label=f"measured, slope {exponent:.4f} after t = {FROM:g}")
        line = growth[-1] + EXPONENT * (t - t[-1])
        axes.plot(t, line, "--", color=PALETTE[1], linewidth=1.2, label=f"slope {EXPONENT}")
        axes.set(xlabel="t", ylabel="mean log of the displacement", title="Forgetting")
        axes.legend()
    return figure
