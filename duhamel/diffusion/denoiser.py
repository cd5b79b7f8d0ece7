"""The contract of a diffusion model, and what stands between a model and a plan.

A *denoiser* is D(t, x) = E[x_0 | x_t = x]: a callable of a time and a batch x of shape (batch, ...). Plans are written
for one of five predictions of the same thing (x = alpha D + sigma eps):

    data  D     noise  eps     score  -eps / sigma     velocity  alpha eps - sigma D     flow  eps - D
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .schedule import Prediction, Schedule

Denoiser = Callable[..., Any]


def convert(value: Any, x: Any, alpha: Any, sigma: Any, source: Prediction, target: Prediction) -> Any:
    """A model's value at x, given as `source`, as `target`. Any arrays; alpha and sigma broadcast against x."""
    if source == target:
        return value
    if source == "data":
        D, eps = value, (x - alpha * value) / sigma
    elif source == "velocity":
        norm = alpha**2 + sigma**2
        D, eps = (alpha * x - sigma * value) / norm, (sigma * x + alpha * value) / norm
    elif source == "flow":
        D, eps = (x - sigma * value) / (alpha + sigma), (x + alpha * value) / (alpha + sigma)
    else:
        eps = value if source == "noise" else -sigma * value
        D = (x - sigma * eps) / alpha
    if target == "data":
        return D
    if target == "velocity":
        return alpha * eps - sigma * D
    if target == "flow":
        return eps - D
    return eps if target == "noise" else -eps / sigma


class Converted(eqx.Module):
    """model(t, x) given as one prediction, called as another one.

    t is a number, or has the batch shape (batch,).
    """

    model: Denoiser
    schedule: Schedule = eqx.field(static=True)
    source: Prediction = eqx.field(static=True)
    target: Prediction = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_prediction(self.source, "source")
        check_prediction(self.target, "target")

    def __call__(self, t: Any, x: Any, *args: Any) -> Any:
        alpha, sigma = (_along_batch(c, x) for c in (self.schedule.alpha(t), self.schedule.sigma(t)))
        return convert(self.model(t, x, *args), x, alpha, sigma, self.source, self.target)


def as_prediction(denoiser: Denoiser, schedule: Schedule, target: Prediction, source: Prediction = "data") -> Denoiser:
    """The denoiser in the form in which a plan calls it (`plan.prediction`)."""
    if source == target:
        return denoiser
    return Converted(denoiser, schedule, source, target)


class Guided(eqx.Module):
    """Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): D = D_u + scale (D_c - D_u).

    scale = 1 is the conditional model; 1.5 to 8 are usual.
    """

    conditional: Denoiser
    unconditional: Denoiser
    scale: float

    def __call__(self, t: Any, x: Any, *args: Any) -> Any:
        D = self.unconditional(t, x, *args)
        return D + self.scale * (self.conditional(t, x, *args) - D)


class Thresholded(eqx.Module):
    """Dynamic thresholding (Imagen, arXiv 2205.11487, section 2.3), sample by sample

        s = max(bound, quantile_q |D|),     D -> clip(D, -s, s) * bound / s

    bound  the largest absolute value in the data; q = 0.995 is usual.
    """

    denoiser: Denoiser
    bound: float = 1.0
    q: float = 0.995

    def __call__(self, t: Any, x: Float[Array, "batch ..."], *args: Any) -> Float[Array, "batch ..."]:
        D = self.denoiser(t, x, *args)
        flat = jnp.abs(D.reshape(len(D), -1))
        s = _along_batch(jnp.maximum(jnp.quantile(flat, self.q, axis=1), self.bound), D)
        return jnp.clip(D, -s, s) * (self.bound / s)


def check_prediction(name: str, argument: str) -> None:
    known = get_args(Prediction)
    if name not in known:
        near = get_close_matches(str(name), known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{argument} = {name!r} is not a prediction; known: {', '.join(known)}.{hint}")


def _along_batch(c: Any, x: Any) -> Any:
    """(batch,) as (batch, 1, ..., 1); a number stays a number."""
    ndim = getattr(c, "ndim", 0)
    return c.reshape(c.shape + (1,) * (x.ndim - ndim)) if ndim else c
