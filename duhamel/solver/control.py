"""How long a step is: a fixed grid, a PID controller on the embedded error estimate, or a CFL number."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, PyTree


class Fixed(eqx.Module):
    """`steps` equal steps from t0 to t1, or the steps of an increasing (decreasing) grid of times.

    stops  the field may be discontinuous at the times of the grid (the knots of a piecewise linear path): steps keep to
           the inside of its intervals
    An exponential method computes its coefficients once for equal steps, in float64 on the host.
    """

    steps: int | None = eqx.field(static=True, default=None)
    grid: Any = None
    stops: bool = eqx.field(static=True, default=False)

    def __init__(self, steps: int | None = None, *, grid: Any = None, stops: bool = False):
        if (steps is None) == (grid is None):
            raise ValueError("Fixed takes either a number of steps or grid=times, and got both or neither.")
        if steps is not None and (not isinstance(steps, int | np.integer) or steps < 1):
            raise ValueError(f"Fixed(steps) needs a whole number of at least 1, got {steps!r}.")
        self.steps = None if steps is None else int(steps)
        self.grid = grid
        self.stops = stops


class PID(eqx.Module):
    """Steps chosen so that the local error estimate stays below `atol + rtol |x|` in the root mean square.

        E = rms(error / (atol + rtol max(|x|, |x1|))),   accepted if E <= 1
        h_next = h * clip(safety * E_n^-a * E_{n-1}^b * E_{n-2}^-c),   k = error_order + 1,
        a = (i + p + d)/k,  b = (p + 2d)/k,  c = d/k

    rtol, atol  relative and absolute tolerance; 1e-3 draws a picture, 1e-6 is the default, 1e-9 wants float64. atol may
                be an array, one number a component, for components of very different size
    p, i, d     gains. (0, 1, 0) is the classical controller, which rejects a fifth of the steps where stability limits
                them; a little p ends that: 1.5 in 834 on Van der Pol with mu up to 200, at a tenth more steps elsewhere
    stops       times at which the vector field is discontinuous (a switch, the knots of a piecewise linear path): a
                step ends just before each and the next begins just behind it. Differentiated: jumps move with them
    max_step    no step is longer: an error estimate cannot know of a pulse that none of its stages met. Take about half
                the shortest pulse, or name its ends as `stops`
    min_step    no step is shorter: one of this length is kept whatever its error estimate
    Every lane of an ensemble has its own E and its own step; max_step and min_step may be arrays, one number a lane.

    Source: Soederlind, ACM TOMS 29 (2003) 1-26; Hairer, Norsett, Wanner, Solving ODEs I, II.4.
    """

    rtol: Any = 1e-6
    atol: Any = 1e-9
    p: Any = 0.1
    i: Any = 0.8
    d: Any = 0.0
    safety: Any = 0.85
    shrink: Any = 0.2
    grow: Any = 10.0
    stops: Any = None
    max_step: Any = None
    min_step: Any = None


class CFL(eqx.Module):
    """Steps read off the state: h = number / rate(t, x, args), for equations whose waves cross cells.

    number      cells that the fastest wave may cross in a step: below 1 for most explicit methods, 0.4 to be safe
    rate        fastest signal speed over the width of a cell, summed over the axes; 1/time, one number
    admissible  admissible(t, x, args): whether the state makes sense (positive density, pressure, depth). A step to a
                state that does not, or to one that is not finite, is taken again with half the length; after ten
                halvings the solve stops with a Status, and the last good state is kept
    Steps end exactly at the save times, so that nothing is interpolated across a shock. Any method serves, with an
    error estimate or without. Gradients hold the steps fixed, as everywhere.

    Source: Courant, Friedrichs, Lewy, Math. Ann. 100 (1928) 32.
    """

    number: Any
    rate: Callable
    admissible: Callable | None = None


Control = PID | Fixed | CFL


def bounded(control: PID, h: Float[Array, "..."]) -> Float[Array, "..."]:
    """h, no longer than max_step and no shorter than min_step."""
    length = jnp.abs(h)
    if control.min_step is not None:
        length = jnp.maximum(length, control.min_step)
    if control.max_step is not None:
        length = jnp.minimum(length, control.max_step)
    return h if control.min_step is None and control.max_step is None else jnp.sign(h) * length


def memory(control: PID | CFL | None) -> int:
    """Numbers that a controller remembers of earlier accepted steps."""
    if control is None or isinstance(control, CFL):
        return 0 if control is None else 1
    return 2 if counts(control.d) else 1 if counts(control.p) else 0


def counts(gain: Any) -> bool:
    """Whether a gain may be other than 0: a traced one may."""
    return isinstance(gain, Tracer) or bool(gain != 0)


def squared_norm(x: PyTree, scale: PyTree, lanes: int) -> Float[Array, "..."]:
    """Mean over the state of |x / scale|^2, one number per lane (`lanes` = 1: the last axis holds the lanes)."""
    total, count = jnp.zeros(()), 0
    for value, s in zip(jax.tree.leaves(x), jax.tree.leaves(scale), strict=True):
        ratio = value / s
        square = ratio.real**2 + ratio.imag**2 if jnp.iscomplexobj(ratio) else ratio * ratio
        axes = tuple(range(square.ndim - lanes))
        total = total + jnp.sum(square, axis=axes)
        count += int(np.prod([square.shape[a] for a in axes]))
    return total / max(count, 1)


def error_scale(control: PID, x: PyTree, x1: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: control.atol + control.rtol * jnp.maximum(jnp.abs(a), jnp.abs(b)), x, x1)


def log_squared(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """log E^2, finite for E = 0. The controller works on it: no root is taken and each logarithm only once."""
    return jnp.log(jnp.maximum(square, jnp.finfo(square.dtype).tiny))


def growth(
    control: PID,
    k: Any,
    log_square: Float[Array, "..."],
    before: tuple[Float[Array, "..."], ...],
    accepted: Bool[Array, "..."],
    rejected_before: Bool[Array, "..."],
) -> Float[Array, "..."]:
    """Factor by which the next step is longer, E^-a = exp(-a/2 log E^2), from log E^2 now and at earlier accepted ones.

    Right after a rejection the step does not grow; an error that is not finite shrinks it as far as one attempt may.
    """
    p, i, d = control.p, control.i, control.d
    gains = (-(i + p + d), p + 2 * d, -d)
    exponent = sum(0.5 * gain / k * e for gain, e in zip(gains, (log_square, *before), strict=False) if counts(gain))
    factor = jnp.clip(control.safety * jnp.exp(exponent), control.shrink, control.grow)
    most = jnp.where(accepted, jnp.where(rejected_before, 1.0, control.grow), control.safety)
    return jnp.where(jnp.isfinite(log_square), jnp.minimum(factor, most), control.shrink)
