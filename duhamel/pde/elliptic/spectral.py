"""-Laplace u + c u = f in the modes of a box: faster than any power of the number of points, whatever the walls have.

    u = lift + sum_m a_m phi_m,    (c - square_m) a_m = (phi_m, f + Laplace lift - c lift)

Values, slopes and mixtures at the walls may vary along them; the lift carries those (`pde.lifting`). Along a Chebyshev
axis the number is a matrix.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from duhamel.core.linear import like
from duhamel.core.status import Status
from duhamel.core.types import Field

from ..grid import Grid
from ..space import Space
from .solving import Solved, norm


def spectral(box: Space | Grid, f: Any, c: Any = 0.0, *, t: Any = 0.0, project: bool = False) -> Solved:
    """u with -Laplace u + c u = f, at the points of a box of modes.

        wall = lambda t, y: jnp.sin(y)
        box = pde.box(pde.Legendre(48, 1.0, left=pde.Dirichlet(wall)), pde.Fourier(64, 2 * np.pi))
        u = el.spectral(box, lambda x, y: x * jnp.cos(y)).u

    f        a number, one value per point, or a function of the coordinates
    c        one number; below 0: Helmholtz's equation, far from resonance
    t        at which the walls' values are taken
    project  where u is known up to a constant only (no side holds it, c = 0), take away the mean that f has too much
    """
    if np.ndim(c):
        raise ValueError(f"c has shape {np.shape(c)}; here it is one number: take el.box(...) and `discretise`.")
    if isinstance(box, Space):
        box.check_walls(t)
        box = box.at(t)
    right = _source(box, f)
    if isinstance(box, Space) and box.has_lift:
        right = right + _laplacian_of_lift(box) - like(c, right) * like(box.lift, right)
    modes = box.project(right)
    values, apply, invert = _operator(box, c)
    excess = jnp.zeros((), right.dtype)
    if values is not None:
        size = np.abs(values).max() if not isinstance(values, Tracer) else 1.0
        still = None if isinstance(values, Tracer) else np.abs(values) < 1e-10 * size
        if still is not None and still.any():
            excess = jnp.mean(jnp.asarray(box.integral(right))) / box.volume
            _check_balance(c, still, modes, project)
            modes = jnp.where(still, 0, modes)
    a = invert(modes)
    u = box.to_points(a)
    residual = norm(apply(a) - modes) / jnp.maximum(norm(modes), jnp.finfo(right.dtype).tiny)
    good = jnp.isfinite(residual)
    status = jnp.where(good, Status.success, Status.nonfinite).astype(jnp.int32)
    found = Solved(u, jnp.zeros((), jnp.int32), residual, status, excess if project else jnp.zeros_like(excess))
    if not isinstance(status, Tracer) and not bool(good):
        raise ValueError("the solution is not finite: f or what the walls prescribe holds NaN or infinity.")
    return found


def _source(box: Space | Grid, f: Any) -> Field:
    x = box.coordinates()
    f = f(*x) if callable(f) else f
    f = jnp.asarray(f)
    f = f if jnp.issubdtype(f.dtype, jnp.inexact) else f.astype(float)
    if jnp.iscomplexobj(f):
        raise TypeError("f is complex, and u is real here; solve for its real and imaginary parts in turn.")
    try:
        return jnp.broadcast_to(f, box.shape)
    except ValueError:
        raise ValueError(
            f"f has shape {f.shape} and the box {box.shape} points; give a number, one value per point, or a function "
            "of the coordinates."
        ) from None


def _laplacian_of_lift(box: Space) -> Any:
    total: Any = 0.0
    for k in range(box.dim):
        total = total + box.lift_slope(tuple(2 * (j == k) for j in range(box.dim)))
    return total


def _operator(box: Space | Grid, c: Any) -> tuple[Any, Any, Any]:
    """(c - square of every mode, or None, S, S^-1)."""
    xp = jnp if isinstance(c, Tracer) else np
    if not box.formal:
        values = c - xp.asarray(box.laplacian())
        safe = values if isinstance(values, Tracer) else np.where(np.abs(values) > 0, values, 1.0)
        return values, lambda a: like(values, a) * a, lambda r: r / like(safe, r)
    assert isinstance(box, Space)
    matrices = -box.matrices(box.laplacian())
    matrices = matrices + c * np.eye(matrices.shape[-1])
    axes = box.mixed
    order = [k for k in range(box.dim) if k not in axes] + list(axes)

    def turned(a: Any, what: Any) -> Any:
        rows = jnp.transpose(a, order)
        flat = rows.reshape(*rows.shape[: box.dim - len(axes)], -1)
        return jnp.transpose(
            what(like(matrices, flat), flat).reshape(rows.shape), [order.index(k) for k in range(box.dim)]
        )

    apply = lambda a: turned(a, lambda M, v: jnp.einsum("...ij,...j->...i", M, v, precision="highest"))  # noqa: E731
    invert = lambda r: turned(r, lambda M, v: jnp.linalg.solve(M, v[..., None])[..., 0])  # noqa: E731
    return None, apply, invert


def _check_balance(c: Any, still: np.ndarray, modes: Any, project: bool) -> None:
    if not isinstance(c, Tracer) and c != 0:
        raise ValueError(f"c = {float(c):g} is a resonance of this box: no u, or many, solve the equation; change c.")
    if project or isinstance(modes, Tracer):
        return
    sizes = np.abs(np.asarray(modes))
    eps = float(np.finfo(sizes.dtype).eps)
    if sizes[still].max() > 1e5 * eps * max(sizes.max(), 1e-300):
        raise ValueError(
            "no side holds u and c = 0, so that u is known up to a constant only, and f must balance what flows in "
            "through the sides, which it does not; pass project=True, which takes the difference from f."
        )
