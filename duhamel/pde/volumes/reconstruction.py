"""From averages in cells to values at their edges: constant, limited linear (MUSCL), WENO of order 5.

Every stencil is a sum of slices of the padded array. `edges` returns primitive values at the lower and the upper edge
of the cells -1..n, so that the face between cells i and i + 1 has the upper value of i and the lower one of i + 1.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .law import Law
from .mesh import cut

Edges = tuple[Array, Array]


class PiecewiseConstant(eqx.Module):
    """First order: the average is the value. Robust, and it smears."""

    @property
    def ghosts(self) -> int:
        return 1

    def edges(self, law: Law, u: Array, axis: int) -> Edges:
        w = law.primitive(u)
        return w, w

    def both(self, v: Array, along: int) -> Edges:
        """Edge values of any field."""
        return v, v


def minmod(a: Array, b: Array) -> Array:
    """The smaller slope, 0 at an extremum. The most diffusive limiter."""
    return 0.5 * (jnp.sign(a) + jnp.sign(b)) * jnp.minimum(jnp.abs(a), jnp.abs(b))


def van_leer(a: Array, b: Array) -> Array:
    """Harmonic mean of the slopes: smooth, between the two others. B. van Leer, J. Comput. Phys. 14 (1974) 361."""
    product = a * b
    rising = product > 0
    return jnp.where(rising, 2 * product / jnp.where(rising, a + b, 1.0), 0.0)


def mc(a: Array, b: Array) -> Array:
    """Monotonized central: the central slope, at most twice either. B. van Leer, J. Comput. Phys. 23 (1977) 276."""
    least = jnp.minimum(2 * jnp.minimum(jnp.abs(a), jnp.abs(b)), 0.5 * jnp.abs(a + b))
    return 0.5 * (jnp.sign(a) + jnp.sign(b)) * least


LIMITERS = {"minmod": minmod, "van-leer": van_leer, "mc": mc}


class MUSCL(eqx.Module):
    """Second order: limited linear profiles of the primitive fields, which stay between their neighbours.

    limiter  "minmod", "van-leer" or "mc" (sharpest)
    Source: B. van Leer, J. Comput. Phys. 32 (1979) 101.
    """

    limiter: str = eqx.field(static=True, default="mc")

    def __check_init__(self) -> None:
        if self.limiter not in LIMITERS:
            raise ValueError(f"no limiter is called {self.limiter!r}; there are {', '.join(LIMITERS)}.")

    @property
    def ghosts(self) -> int:
        return 2

    def edges(self, law: Law, u: Array, axis: int) -> Edges:
        return self.both(law.primitive(u), axis - law.dim)

    def both(self, v: Array, along: int) -> Edges:
        """Edge values of any field."""
        step = cut(v, 1, 0, along) - cut(v, 0, -1, along)
        half = 0.5 * LIMITERS[self.limiter](cut(step, 0, -1, along), cut(step, 1, 0, along))
        middle = cut(v, 1, -1, along)
        return middle - half, middle + half


class WENO5(eqx.Module):
    """Fifth order in one dimension: three parabolas, weighted so that the smooth ones count.

        "z"   alpha_k = d_k (1 + (tau/(beta_k + eps))^2),   tau = |beta_0 - beta_2|
        "js"  alpha_k = d_k/(beta_k + eps)^2

    kind  "z" (sharper at smooth extrema) or "js"
    eps   times the mean square of the five values: 1e-6 for "js" unless told; for "z" what rounding leaves, so that
          neither units nor float32 matter
    The conserved fields are reconstructed, component by component: averages of primitive ones are not known to fifth
    order. In two dimensions the flux is taken at the middle of a face, which is second order with a small constant.
    Where an edge value would lose positivity the profile is pulled towards the average (Zhang and Shu).

    Source: G.-S. Jiang, C.-W. Shu, J. Comput. Phys. 126 (1996) 202; R. Borges et al., J. Comput. Phys. 227 (2008) 3191;
    X. Zhang, C.-W. Shu, J. Comput. Phys. 229 (2010) 8918.
    """

    kind: str = eqx.field(static=True, default="z")
    eps: Any = None

    def __check_init__(self) -> None:
        if self.kind not in ("z", "js"):
            raise ValueError(f"WENO5(kind) is 'z' or 'js', got {self.kind!r}.")

    @property
    def ghosts(self) -> int:
        return 3

    def edges(self, law: Law, u: Array, axis: int) -> Edges:
        minus, plus = self.both(u, axis - law.dim)
        minus, plus = pulled(law, cut(u, 2, -2, axis - law.dim), minus, plus)
        return law.primitive(minus), law.primitive(plus)

    def both(self, v: Array, along: int) -> Edges:
        """Edge values of any field."""
        five = [cut(v, k, k - 4, along) for k in range(5)]
        return self._upper(*five[::-1]), self._upper(*five)

    def _small(self, dtype: Any) -> Any:
        if self.eps is not None:
            return self.eps
        return 1e-6 if self.kind == "js" else (100 * float(jnp.finfo(dtype).eps)) ** 2

    def _upper(self, a: Array, b: Array, c: Array, d: Array, e: Array) -> Array:
        """Value at the edge between c and d."""
        parabolas = ((2 * a - 7 * b + 11 * c) / 6, (-b + 5 * c + 2 * d) / 6, (2 * c + 5 * d - e) / 6)
        beta = (
            13 / 12 * (a - 2 * b + c) ** 2 + 0.25 * (a - 4 * b + 3 * c) ** 2,
            13 / 12 * (b - 2 * c + d) ** 2 + 0.25 * (b - d) ** 2,
            13 / 12 * (c - 2 * d + e) ** 2 + 0.25 * (3 * c - 4 * d + e) ** 2,
        )
        eps = self._small(a.dtype) * jax.lax.stop_gradient(a * a + b * b + c * c + d * d + e * e) / 5
        eps = eps + jnp.finfo(a.dtype).tiny ** 0.5
        if self.kind == "z":
            tau = jnp.abs(beta[0] - beta[2])
            alpha = [w * (1 + (tau / (s + eps)) ** 2) for w, s in zip((0.1, 0.6, 0.3), beta, strict=True)]
        else:
            alpha = [w / (s + eps) ** 2 for w, s in zip((0.1, 0.6, 0.3), beta, strict=True)]
        top = sum(w * p for w, p in zip(alpha, parabolas, strict=True))
        return jnp.asarray(top) / (alpha[0] + alpha[1] + alpha[2])


def pulled(law: Law, mean: Array, minus: Array, plus: Array) -> Edges:
    """Edge values moved towards the mean until everything positive there is at least a hundredth of its mean."""
    inside = law.positive(law.primitive(mean))
    for name, middle in inside.items():
        floor = 0.01 * middle
        ends = [law.positive(law.primitive(edge))[name] for edge in (minus, plus)]
        lowest = jnp.minimum(*ends)
        low = lowest < floor
        theta = jnp.where(low, (middle - floor) / jnp.where(low, middle - lowest, 1.0), 1.0)
        minus, plus = mean + theta * (minus - mean), mean + theta * (plus - mean)
    return minus, plus
