"""The contract of a diffusion model, and what stands between a model and a plan.

A *denoiser* is D(t, x) = E[x_0 | x_t = x]: a callable of a time and a batch x of shape (batch, ...). Plans are written
for one of five predictions of the same thing (x = alpha D + sigma eps):

    data  D     noise  eps     score  -eps / sigma     velocity  alpha eps - sigma D     flow  eps - D
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, ClassVar, cast, get_args

import equinox as eqx
import jax
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
        check_said(self.model, self.source)

    @property
    def prediction(self) -> Prediction:
        return self.target

    def __call__(self, t: Any, x: Any, *args: Any) -> Any:
        alpha, sigma = (along_batch(c, x) for c in (self.schedule.alpha(t), self.schedule.sigma(t)))
        return convert(self.model(t, x, *args), x, alpha, sigma, self.source, self.target)


def as_prediction(denoiser: Denoiser, schedule: Schedule, target: Prediction, source: Prediction = "data") -> Denoiser:
    """The denoiser in the form in which a plan calls it (`plan.prediction`)."""
    if source == target:
        return denoiser
    return Converted(denoiser, schedule, source, target)


class Guided(eqx.Module):
    """Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): D = D_u + scale (D_c - D_u).

    scale = 1 is the conditional model; 1.5 to 8 are usual. The same guidance for every prediction, as long as both
    models predict the same.
    """

    conditional: Denoiser
    unconditional: Denoiser
    scale: float

    def __check_init__(self) -> None:
        one, other = said(self.conditional), said(self.unconditional)
        if one and other and one != other:
            raise ValueError(
                f"the conditional model predicts {one} and the unconditional one {other}; convert one of them with "
                "as_prediction."
            )

    @property
    def prediction(self) -> Prediction | None:
        return said(self.conditional) or said(self.unconditional)

    def __call__(self, t: Any, x: Any, *args: Any) -> Any:
        D = self.unconditional(t, x, *args)
        return D + self.scale * (self.conditional(t, x, *args) - D)


class Thresholded(eqx.Module):
    """Dynamic thresholding (Imagen, arXiv 2205.11487, section 2.3), sample by sample

        s = max(bound, quantile_q |D|),     D -> clip(D, -s, s) * bound / s

    bound  the largest absolute value in the data; q = 0.995 is usual. It clips data: a model of the noise comes as
           as_prediction(model, schedule, "data", "noise"), and a plan that wants the noise gets it by `sample`.
    """

    denoiser: Denoiser
    bound: float = 1.0
    q: float = 0.995
    prediction: ClassVar[Prediction] = "data"

    def __check_init__(self) -> None:
        check_said(self.denoiser, "data")

    def __call__(self, t: Any, x: Float[Array, "batch ..."], *args: Any) -> Float[Array, "batch ..."]:
        D = self.denoiser(t, x, *args)
        flat = jnp.abs(D.reshape(len(D), -1))
        s = along_batch(jnp.maximum(jnp.quantile(flat, self.q, axis=1), self.bound), D)
        return jnp.clip(D, -s, s) * (self.bound / s)


class AtPrecision(eqx.Module):
    """model(t, x) computed in `dtype`, within a state that keeps its own: F(t, x) = model(t, x.astype(dtype))

    A state of float64 around a network of float32, or of float32 around one of bfloat16: the network rounds its values,
    but the sum over the steps does not round any more. Times keep at least float32, where bfloat16 would make 998.4
    into 1000. The weights are the caller's: cast them once, or a bfloat16 state is promoted to float32 by them.
    """

    model: Denoiser
    dtype: Any = eqx.field(static=True)

    @property
    def prediction(self) -> Prediction | None:
        return said(self.model)

    def __call__(self, t: Any, x: Any, *args: Any) -> Any:
        t = jnp.asarray(t, jnp.promote_types(self.dtype, jnp.float32))
        lower = lambda a: a.astype(self.dtype) if jnp.issubdtype(jnp.result_type(a), jnp.inexact) else a  # noqa: E731
        F = self.model(t, *jax.tree.map(lower, (x, *args)))
        return jax.tree.map(lambda f, a: f.astype(a.dtype), F, x)


def said(model: Any) -> Prediction | None:
    """What a model says that it predicts; None if it says nothing."""
    value = getattr(model, "prediction", None)
    return cast(Prediction, value) if value in get_args(Prediction) else None


def check_said(model: Any, wanted: str) -> None:
    found = said(model)
    if found is not None and found != wanted:
        raise ValueError(f"the model says that it predicts {found}, and it was given as one that predicts {wanted}.")


def check_prediction(name: str, argument: str) -> None:
    known = get_args(Prediction)
    if name not in known:
        near = get_close_matches(str(name), known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{argument} = {name!r} is not a prediction; known: {', '.join(known)}.{hint}")


def along_batch(c: Any, x: Any) -> Any:
    """(batch,) as (batch, 1, ..., 1); a number stays a number."""
    ndim = getattr(c, "ndim", 0)
    return c.reshape(c.shape + (1,) * (x.ndim - ndim)) if ndim else c
