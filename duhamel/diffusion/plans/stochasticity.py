"""How much of the noise a step draws anew, in the units of every convention that has one. NumPy only.

A step from rho_s down to rho_t, q = rho_t/rho_s, ends with noise of variance sigma_t^2, of which the share

    "tau"        1 - q^(2 tau^2)               SA-Solver and the reverse SDE of strength tau (arXiv 2309.05019)
    "k-sde"      1 - q^(2 eta)                 k-diffusion's SDE samplers: eta = tau^2
    "ddim"       eta^2 (1 - q^2)               DDIM (arXiv 2010.02502) and k-diffusion's ancestral samplers
    "variance"   eta (1 - q^2)                 an eta that scales the variance instead of the deviation
    "churn"      1 - (1 + gamma)^-2            EDM (arXiv 2206.00364): gamma = churn/steps, noise first, then the ODE

is fresh. Three of them are called eta, and they agree at 0 and 1 only, where a step draws nothing, or as much as the
ancestral step does (share 1 - q^2; gamma = 1/q - 1, which is no fixed point of EDM's convention).
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import numpy as np

# kind: (share of a strength, strength of a share)
KINDS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "tau": (lambda v, q: -np.expm1(2 * v**2 * np.log(q)), lambda s, q: np.sqrt(np.log1p(-s) / (2 * np.log(q)))),
    "k-sde": (lambda v, q: -np.expm1(2 * v * np.log(q)), lambda s, q: np.log1p(-s) / (2 * np.log(q))),
    "ddim": (lambda v, q: v**2 * (1 - q**2), lambda s, q: np.sqrt(s / (1 - q**2))),
    "variance": (lambda v, q: v * (1 - q**2), lambda s, q: s / (1 - q**2)),
    "churn": (lambda v, q: 1 - (1 + v) ** -2.0, lambda s, q: (1 - s) ** -0.5 - 1),
}


def fresh_share(kind: str, strength: Any, q: Any) -> np.ndarray:
    """Share of sigma_t^2 that a step with rho_t/rho_s = q draws anew; elementwise."""
    q = _checked(q)
    share = np.asarray(_kind(kind)[0](np.asarray(strength, np.float64), q))
    if not np.all((share >= 0) & (share <= 1)):
        raise ValueError(f"strength = {strength} draws a share of {share} anew; give {kind!r} one between 0 and 1.")
    return share


def convert_strength(strength: Any, source: str, target: str, q: Any) -> np.ndarray:
    """The strength in units of `target` that draws as much anew as `strength` does in units of `source`

        tau = convert_strength(0.5, "ddim", "tau", schedule.rho(ts[1:]) / schedule.rho(ts[:-1]))

    q  rho_t/rho_s of the steps, between 0 and 1; a result depends on it, unless both are "tau" and "k-sde". A multistep
       plan takes one tau for each step (`sa_solver`, `dpmpp_2m`, `dpmpp_3m`). Its noise then is the other's, its
       deterministic part the exponential integrator's
    """
    return np.asarray(_kind(target)[1](fresh_share(source, strength, q), _checked(q)))


def _kind(kind: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    if kind not in KINDS:
        near = get_close_matches(str(kind), KINDS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{kind!r} is not a convention of stochasticity; known: {', '.join(KINDS)}.{hint}")
    return KINDS[kind]


def _checked(q: Any) -> np.ndarray:
    q = np.asarray(q, np.float64)
    if not np.all((q > 0) & (q < 1)):
        raise ValueError(f"q = {q} must lie between 0 and 1: the ratio rho_t/rho_s of a step that lowers the noise.")
    return q
