"""Checks of a plan before it meets a network: pure functions of a plan and callables, NumPy only.

For a diffusion plan alpha(t) and sigma(t) describe x_t = alpha_t x_0 + sigma_t eps. The checks use models for which
everything is known:

    D = constant        the step must keep alpha_t x_0 + sigma_t eps               `consistency`, `noise_variance`
    Gaussian data       x_t is scaled by a known factor per eigenvalue             `amplification`, `gaussian_gain`
    any exact solution  the error falls with the claimed power of the step         `order`
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .canonical import affine
from .host import march
from .plan import Plan
from .step import kept, step


def consistency(plan: Plan, alpha: Callable | None = None, sigma: Callable | None = None) -> float:
    """Largest error over the steps on the simplest problem, relative to the solution; rounding for a consistent plan.

    With alpha and sigma (a diffusion plan): data and noise are constant, so x(t) = alpha(t) x_0 + sigma(t) eps. A plan
    that draws is asked, without its draws, to keep x_0 alone (`noise_variance` asks for the rest).
    Without: dx/dt = 1, so x(t) = t - t_0.
    """
    if alpha is None or sigma is None:
        states = _states(plan, lambda tau, z, *args: np.ones_like(z), np.zeros(1))
        exact = [np.atleast_1d(t - plan.t[0]) for t in plan.t]
    else:
        # columns: the parts of x_0 and of eps; both predictions are constant there
        clean, noise = np.array([1.0, 0.0]), np.array([0.0, 0.0] if plan.draws else [0.0, 1.0])

        def model(tau: Any, z: Any, *args: Any) -> Any:
            u, w = affine(plan.prediction, alpha(tau), sigma(tau))
            return u * (alpha(tau) * clean + sigma(tau) * noise) + w * clean

        exact = [alpha(t) * clean + sigma(t) * noise for t in plan.t]
        states = _states(plan, model, exact[0])
    pairs = list(zip(states, exact, strict=True))[1:]
    return float(max(np.max(np.abs(x - y)) / max(np.max(np.abs(y)), 1e-300) for x, y in pairs))


def order(
    build: Callable[[int], Plan],
    model: Callable | Sequence[Callable],
    x: Any,
    exact: Any,
    steps: Sequence[int] = (20, 40, 80, 160),
) -> np.ndarray:
    """Observed orders, one between each pair of neighbours in `steps`: the slope of log error when the *builder*
    refines the grid, start-up and last steps included.

    model  F(tau, x) on NumPy arrays (one of the plan's prediction); x the state at t[0]; exact the true state at t[-1]
    """
    errors = [np.sqrt(np.mean(np.abs(_states(build(n), model, np.asarray(x))[-1] - exact) ** 2)) for n in steps]
    return -np.diff(np.log(errors)) / np.diff(np.log(np.asarray(steps, float)))


def amplification(plan: Plan, gain: Callable[[Any], Any] | Sequence[Callable[[Any], Any]]) -> np.ndarray:
    """x_n / x_0 at every time of the plan, shape (steps + 1, eigenvalues), for the linear model F = gain(tau) x.

    gain(tau) gives one number per eigenvalue; see `gaussian_gain`. A plan is stable there if nothing grows beyond the
    exact factor.
    """
    gains = (gain,) if callable(gain) else tuple(gain)
    size = np.broadcast_shapes(*(np.shape(g(plan.segments[0].tau.ravel()[0])) for g in gains))
    dtype = np.result_type(np.float64, *(np.asarray(g(plan.segments[0].tau.ravel()[0])) for g in gains))
    models = [lambda tau, z, *args, g=g: g(tau) * z for g in gains]
    return np.stack(_states(plan, models, np.ones(size, dtype)))


def gaussian_gain(prediction: str | None, alpha: Callable, sigma: Callable, variances: Any) -> Callable[[Any], Any]:
    """gain(tau) of the exact model for Gaussian data of mean 0 and variances c: D = alpha c / (alpha^2 c + sigma^2) x.

    The exact flow multiplies x by sqrt((alpha_t^2 c + sigma_t^2) / (alpha_s^2 c + sigma_s^2)) from s to t.
    """
    c = np.asarray(variances, float)

    def gain(tau: Any) -> np.ndarray:
        a, s = alpha(tau), sigma(tau)
        u, w = affine(prediction, a, s)
        return u + w * a * c / (a**2 * c + s**2)

    return gain


def noise_variance(plan: Plan, alpha: Callable, sigma: Callable, variances: Any = 0.0) -> float:
    """Largest relative error of the variance of x over the steps, for Gaussian data (0: one data point, D = 0); see
    `variance_errors`."""
    return float(np.nanmax(np.abs(variance_errors(plan, alpha, sigma, variances))))


def variance_errors(plan: Plan, alpha: Callable, sigma: Callable, variances: Any = 0.0) -> np.ndarray:
    """Relative error of the variance of x after each step, shape (steps, variances), for Gaussian data of mean 0.

    The variance must stay alpha_t^2 c + sigma_t^2. Draws are independent, so the variance is the sum of squares of what
    the plan makes of each unit draw. NaN where the exact variance is 0, at the end of a grid with sigma = 0.
    """
    c = np.atleast_1d(np.asarray(variances, float))
    exact = np.stack([alpha(t) ** 2 * c + sigma(t) ** 2 for t in plan.t])
    units = np.eye(1 + sum(s.steps * len(s.pattern.draws) for s in plan.segments))[:, :, None] * np.ones_like(c)
    used = iter(units[1:])
    gain = gaussian_gain(plan.prediction, alpha, sigma, c)
    models = [lambda tau, z, *args: gain(tau) * z] * max(plan.models, 1)
    states = _states(plan, models, units[0] * np.sqrt(exact[0]), lambda n, d: next(used))
    found = np.stack([np.sum(np.abs(x) ** 2, axis=0) for x in states[1:]])
    return np.where(exact[1:] > 0, found / np.where(exact[1:] > 0, exact[1:], 1.0) - 1, np.nan)


def inversion_margin(plan: Plan, slots: Sequence[str] = ("x",), gain: Callable[[Any], Any] | None = None) -> float:
    """By how much undoing the plan magnifies rounding: the largest |P| |P^-1| of P = step_n ... step_1, n <= steps.

    Times the machine epsilon this bounds the relative error of a round trip. BDIA (arXiv 2307.10829) with gamma = 0.5
    gives 2^50 = 1e15 after 50 steps, so it cannot be undone in float32; a good value is below 1e3.

    slots  the slots that are inverted, such as ("x", "previous"); other slots must not feed back
    gain   the model is F = gain(tau) x, one number; None: F = 0, the part that coefficients alone decide
    A step that cannot be undone gives infinity. Slots that the very first step does not read begin as zeros.
    """
    size, worst = len(slots), 1.0
    models = [lambda tau, z, *args: z * (0.0 if gain is None else gain(tau))] * max(plan.models, 1)
    forward = backward = None
    for segment in plan.segments:
        zeros = dict.fromkeys((*segment.pattern.slots, *segment.pattern.draws, *segment.pattern.consts), np.zeros(size))
        units = zeros | dict(zip(slots, np.eye(size), strict=True))
        for n in range(segment.steps):
            env = kept(segment.pattern, step(segment.pattern, *segment.at(n), units, models))
            matrix = np.stack([env[name] for name in slots])  # slots after the step from slots before it
            if forward is None or backward is None:
                matrix = matrix[:, np.any(matrix != 0, axis=0)]
                forward = backward = np.eye(matrix.shape[1])
            if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
                return np.inf
            forward, backward = matrix @ forward, backward @ np.linalg.pinv(matrix)
            worst = max(worst, float(np.linalg.norm(backward, 2) * np.linalg.norm(forward, 2)))
    return worst


def _states(plan: Plan, model: Any, x: np.ndarray, draw: Callable | None = None) -> list[np.ndarray]:
    models = model if isinstance(model, list | tuple) else [model] * max(plan.models, 1)
    steps = march(plan, models, {"x": x}, draw=draw or (lambda n, d: np.zeros_like(x)))
    return [np.asarray(slots["x"]) for slots in steps]
