"""Dense tables by least squares, one row after the other, against the states of a teacher; and their best times.

    (a_i, b_i0 .. b_ii) = argmin  mean | a_i x_0 + sum_(j <= i) b_ij D_j - x(tau_(i+1)) |^2

x(tau) is the teacher's path from the same noise, D_j the model's values at the pupil's own points. No gradient is
needed, and the model is called once a row; the rows are not weighed against each other, which `rows.tune.fit` does
from here. Improved integration (arXiv 2304.11328) fits a few numbers a step in this way.

The rows being solved for, a table is a function of its n - 1 inner times alone, and so is its error at the end: times
are the numbers in which these errors have their many valleys. Least squares over them is cheap and goes far.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares

from duhamel.rows.plan import Plan

from ..denoiser import Denoiser
from ..schedule import Schedule
from .dense import dense_plan

DIFFERENCE = 0.02  # relative, of steps in lam: far above the rounding of a float32 network


class Teacher:
    """States on the way to where the noises should end, and the model that pupils call.

    times, path  falling times, and the states there, (times, samples, ...): interpolated in lam
    """

    def __init__(self, schedule: Schedule, denoiser: Denoiser, times: np.ndarray, path: np.ndarray):
        self.schedule, self.denoiser, self.dtype = schedule, denoiser, path.dtype
        self.start, self.ends = np.asarray(path[0], np.float64), (float(times[0]), float(times[-1]))
        self.states = CubicSpline(schedule.lam(times), path.reshape(len(times), -1))

    def regressed(self, times: np.ndarray) -> tuple[Plan, np.ndarray]:
        """The dense table whose rows lead from time to time and follow the path best, the model being called at all of
        them but the last; and how far it ends from the path, (samples, components)."""
        tau, n = np.asarray(times[:-1], np.float64), len(times) - 1
        targets = self.states(self.schedule.lam(times[1:]))
        columns, x = [self.start.ravel()], self.start
        gram = np.full((n + 1, n + 1), columns[0] @ columns[0])
        a, b = np.zeros(n), np.zeros((n, n))
        for i in range(n):
            value = _call(self.denoiser, tau[i], x.astype(self.dtype))
            columns.append(np.asarray(value, np.float64).ravel())
            gram[i + 1, : i + 2] = gram[: i + 2, i + 1] = [c @ columns[-1] for c in columns]
            size = 1 / np.sqrt(np.diag(gram)[: i + 2])
            scaled = gram[: i + 2, : i + 2] * size * size[:, None]
            scaled += 1e-10 * np.eye(i + 2)  # neighbouring values are nearly parallel
            row = size * np.linalg.solve(scaled, size * np.array([c @ targets[i] for c in columns]))
            a[i], b[i, : i + 1] = row[0], row[1:]
            x = np.tensordot(row, columns, axes=1).reshape(self.start.shape)
        residual = (x.ravel() - targets[-1]).reshape(len(x), -1)
        return dense_plan(a, b, tau, float(times[-1])), residual

    def best_times(self, times: np.ndarray, scale: float, iterations: int) -> np.ndarray:
        """Times whose regressed table ends nearest, from `times` on: the sum of log(1 + |r|^2 / s^2) over the samples,
        s = scale medians at the start. The variables are the steps in lam over the first of them."""
        lam = np.asarray(self.schedule.lam(times))
        squares = np.mean(self.regressed(times)[1] ** 2, axis=1)
        unit = scale**2 * np.median(squares)
        if unit == 0:  # met exactly
            return times

        def moved(steps: np.ndarray) -> np.ndarray:
            steps = np.concatenate([[1.0], steps])
            inner = lam[0] + (lam[-1] - lam[0]) * np.cumsum(steps[:-1]) / np.sum(steps)
            return np.concatenate([times[:1], np.asarray(self.schedule.t_of_lam(inner)), times[-1:]])

        def loss(steps: np.ndarray) -> np.ndarray:
            residual = self.regressed(moved(steps))[1]
            z = np.maximum(np.mean(residual**2, axis=1, keepdims=True) / unit, 1e-30)
            return (residual * np.sqrt(np.log1p(z) / z)).ravel()

        steps = np.diff(lam)[1:] / (lam[1] - lam[0])
        found = least_squares(
            loss, steps, bounds=(0.02, np.inf), x_scale="jac", diff_step=DIFFERENCE, max_nfev=iterations + 1
        )
        return moved(found.x)


@eqx.filter_jit
def _call(denoiser: Denoiser, t: Any, x: Any) -> Any:
    return denoiser(jnp.asarray(t, x.dtype), jnp.asarray(x))
