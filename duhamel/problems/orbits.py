"""Orbits: Arenstorf's, which closes, and the Lorenz ensemble that solvers on GPUs are timed on."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .known import InitialValueProblem

_MU = 0.012277471


def _arenstorf(t: Any, x: Any, m: Any) -> Any:
    """A satellite of earth and moon, in the frame that turns with them."""
    x1, x2, v1, v2 = x
    earth = ((x1 + _MU) ** 2 + x2 * x2) ** 1.5
    moon = ((x1 - (1.0 - _MU)) ** 2 + x2 * x2) ** 1.5
    return (
        v1,
        v2,
        x1 + 2.0 * v2 - (1.0 - _MU) * (x1 + _MU) / earth - _MU * (x1 - (1.0 - _MU)) / moon,
        x2 - 2.0 * v1 - (1.0 - _MU) * x2 / earth - _MU * x2 / moon,
    )


_START = (0.994, 0.0, 0.0, -2.00158510637908252240537862224)

ARENSTORF = InitialValueProblem(
    "ARENSTORF",
    _arenstorf,
    _START,
    17.0652165601579625588917206249,
    _START,
    "Hairer, Norsett, Wanner, Solving ODEs I, II.0: the orbit closes",
    digits=8,
)
"""Errors grow by about 1e4 to 1e6 on the way round: the start is close to the moon."""


def lorenz(t: Any, x: Any, rho: Any) -> Any:
    """Lorenz's equations with sigma = 10 and beta = 8/3; rho is the argument."""
    return jnp.stack([10.0 * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - (8.0 / 3.0) * x[2]])


LORENZ_START = (1.0, 0.0, 0.0)
LORENZ_END = {
    10.5: (2.83229083910, 1.28394561878, 11.1070868519),
    21.0: (-6.45057914732, -8.89521147867, 14.6491458666),
    28.0: (-9.40845056706, -9.09619907119, 28.5816276244),
}
"""x(1) from (1, 0, 0), by rho: SciPy's DOP853 at 1e-13."""


def lorenz_rho(lanes: int) -> np.ndarray:
    """Parameters of the ensemble: equally spaced between 0 and 21 (Utkarsh et al., CMAME 419 (2024) 116591)."""
    return np.linspace(0.0, 21.0, lanes)
