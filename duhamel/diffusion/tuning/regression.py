"""A dense table by least squares, one row after the other, against the states of a teacher.

    (a_i, b_i0 .. b_ii) = argmin  mean | a_i x_0 + sum_(j <= i) b_ij D_j - x(tau_(i+1)) |^2

x(tau) is the teacher's path from the same noise, D_j the model's values at the pupil's own points. No gradient is
needed, and the model is called once a row; the rows are not weighed against each other, which `rows.tune.fit` does
from here. Improved integration (arXiv 2304.11328) fits a few numbers a step in this way.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline

from duhamel.rows.plan import Plan

from ..denoiser import Denoiser
from ..schedule import Schedule
from .dense import dense_plan, dense_table


def regressed(plan: Plan, schedule: Schedule, denoiser: Denoiser, times: np.ndarray, path: np.ndarray) -> Plan | None:
    """The dense table that calls the model where `plan`, a dense table, does, and follows the path best.

    path  the teacher's states at `times`, falling, shape (times, batch, ...); interpolated in lambda
    None where the plan does not call the model at falling times.
    """
    _, _, tau = dense_table(plan)
    ends = np.append(tau[1:], times[-1])
    if np.any(np.diff(np.append(tau, times[-1])) >= 0):
        return None
    n, start = len(tau), np.asarray(path[0], np.float64)
    targets = CubicSpline(schedule.lam(times), path.reshape(len(times), -1))(schedule.lam(ends))
    columns, x = [start.ravel()], start
    a, b = np.zeros(n), np.zeros((n, n))
    for i in range(n):
        columns.append(np.asarray(_call(denoiser, tau[i], x.astype(path.dtype)), np.float64).ravel())
        gram = np.array([[c @ d for d in columns] for c in columns])
        size = 1 / np.sqrt(np.diag(gram))
        scaled = gram * size * size[:, None] + 1e-10 * np.eye(len(size))  # neighbouring values are nearly parallel
        row = size * np.linalg.solve(scaled, size * np.array([c @ targets[i] for c in columns]))
        a[i], b[i, : i + 1] = row[0], row[1:]
        x = np.tensordot(row, columns, axes=1).reshape(start.shape)
    return dense_plan(a, b, tau, float(plan.t[-1]), name=plan.name, info=dict(plan.info))


@eqx.filter_jit
def _call(denoiser: Denoiser, t: Any, x: Any) -> Any:
    return denoiser(jnp.asarray(t, x.dtype), jnp.asarray(x))
