"""Inverse Stefan problem: coefficient, flux and free boundary from what is measured at the final time.

One phase behind a front, T_t = a T_xx, -a T_x(0) = q(t), T(s) = 0, s' = -a T_x(s). Manufactured: a front of constant
speed v,

    T = e^(v (s(t) - x)/a) - 1,   s = s0 + v (t - t0),   q = v e^(v s(t)/a)

Control vector: log a and the two numbers of q = e^(c0 + c1 t). The cost is the misfit of T and s at the final time
alone; its gradient goes through the time steps of the engine. The forward solver is front-fixing, of second order in h.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from duhamel.core.precision import enable_x64
from duhamel.report.figure import PALETTE, style

from .card import Card, Context, Measurement

if TYPE_CHECKING:
    import numpy as np

A, V, TIMES = 0.7, 1.2, (0.4, 1.0)  # truth; the front starts at s = v t


def check(context: Context) -> Sequence[Measurement]:
    import numpy as np

    with enable_x64(True):
        context.progress("forward", 0.0)
        errors = [forward_error(n) for n in ((8, 16) if context.fast else (8, 16, 32))]
        order = float(np.log2(errors[-2] / errors[-1]))
        grids = (6, 12) if context.fast else (6, 12, 24)
        found, costs = None, []
        for i, n in enumerate(grids):
            context.progress(f"identifying on {n} cells", (i + 1) / (len(grids) + 1))
            found = identify(n)
            costs.append(found[1])
        assert found is not None
        control, _, fronts = found
        times = np.linspace(*TIMES, len(fronts))
        worst = float(np.abs(fronts / (V * times) - 1).max())
        a = float(np.exp(control[0]))
        draw(context, times, fronts, control)
        return [
            Measurement(
                "order of the forward solver in h, T and s at the end", order, low=1.0, note="the scheme's is 2"
            ),
            Measurement("recovered coefficient of diffusion, relative error", abs(a / A - 1), high=0.02),
            Measurement("recovered front at any time, largest relative error", worst, high=0.02),
            Measurement(
                "factor by which the optimal cost falls when h is halved",
                costs[-2] / costs[-1],
                low=2.0,
                note="costs: " + ", ".join(f"{c:.1e}" for c in costs),
            ),
        ]


def exact(x: Any, t: float) -> Any:
    import numpy as np

    return np.exp(V * (V * t - x) / A) - 1


def forward_error(n: int) -> float:
    import numpy as np

    T, s = march(n, np.array(truth()), np.array(TIMES))
    x = np.arange(n) / n * V * TIMES[1]
    return float(np.abs(np.asarray(T)[-1] - exact(x, TIMES[1])).max() + abs(float(s[-1]) - V * TIMES[1]))


def truth() -> tuple[float, float, float]:
    import math

    return math.log(A), math.log(V), V * V / A


def march(n: int, control: Any, ts: Any) -> tuple[Any, Any]:
    """Temperatures and front at the times ts, for a control (log a, c0, c1); 40 equal steps a unit of time."""
    import jax.numpy as jnp
    import numpy as np

    from duhamel.methods.implicit import Kvaerno3
    from duhamel.pde.elliptic.stefan import Stefan
    from duhamel.solver.control import Fixed

    flux = lambda t: jnp.exp(control[1] + control[2] * t)  # noqa: E731
    problem = Stefan(jnp.exp(control[0]), 1.0, flux, flux=True)
    T0 = exact(np.arange(n) / n * V * TIMES[0], TIMES[0])
    return problem.solve(T0, V * TIMES[0], ts, method=Kvaerno3(), control=Fixed(40)).x


def identify(n: int) -> tuple["np.ndarray", float, "np.ndarray"]:
    """The best control from a start that is 40 % off, its cost, and its front at 21 times."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from scipy.optimize import minimize

    end = TIMES[1]

    def cost(control: Any) -> Any:
        T, s = march(n, control, jnp.array(TIMES))
        x = jnp.arange(n) / n * s[-1]
        measured = jnp.exp(V * (V * end - x) / A) - 1  # the measured temperature, where this front's points lie
        return jnp.mean((T[-1] - measured) ** 2) + (s[-1] - V * end) ** 2

    both = jax.jit(jax.value_and_grad(cost))

    def on_host(control: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = both(jnp.asarray(control))
        return 1e4 * float(value), 1e4 * np.asarray(slope)

    start = np.array(truth()) + np.array([0.35, -0.2, 0.3])
    best = minimize(on_host, start, jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 200})
    _, fronts = march(n, best.x, jnp.linspace(*TIMES, 21))
    return best.x, float(best.fun) / 1e4, np.asarray(fronts)


def draw(context: Context, times: "np.ndarray", fronts: "np.ndarray", control: "np.ndarray") -> None:
    import matplotlib.pyplot as plt
    import numpy as np

    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0), layout="constrained")
        left.plot(times, fronts, label="identified")
        left.plot(times, V * times, ".", color=PALETTE[1], label="truth")
        left.set(xlabel="t", title="free boundary s(t)")
        left.legend()
        right.plot(times, np.exp(control[1] + control[2] * times))
        right.plot(times, V * np.exp(V * V * times / A), ".", color=PALETTE[1])
        right.set(xlabel="t", title="flux at the wall")
        context.figure("inverse-stefan-front", figure)


card = Card(
    id="inverse-stefan",
    claim="Coefficient of diffusion, flux at the wall and free boundary of a one-phase Stefan problem follow from the "
    "temperature and the front at the final time, by the gradient of a discrete cost that converges with the mesh. "
    "Measured on three numbers in the parametric form of the truth (a coefficient and a flux exp(c0 + c1 t)), from 40 "
    "% off and without noise: free functions and sources are not.",
    source="Abdulla and Poggi, Optimal Control of Coefficients in Parabolic Free Boundary Problems Modeling Laser "
    "Ablation, 2017, arXiv 1710.08466",
    check=check,
    seconds=30,
)
