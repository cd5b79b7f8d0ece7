"""Constant coefficients: sines, cosines and waves diagonalise S, and an FFT an axis finds their amplitudes.

The modes of an axis with N cells of width h are cos or sin of kappa x, kappa = pi (k + t)/length, and

    lambda = a 4 sin^2(kappa h/2)/h^2    of the difference -a d^2/dx^2  (a kappa^2 of the derivative itself)

    sides   cells                        vertices                     t
    D D     sin, k + t = 1..N    DST-II  sin, k + t = 1..N-1   DST-I  1
    N N     cos, 0..N-1          DCT-II  cos, 0..N             DCT-I  0
    D N     sin, 1/2..N-1/2      DST-IV  sin, 1/2..N-1/2     DST-III  1/2
    N D     cos, 1/2..N-1/2      DCT-IV  cos, 1/2..N-1/2     DCT-III  1/2
    P       e^(2 pi i m x/length)

All eight are one FFT of length 2N with zeros behind the data:

    sum_j f_j e^(-i pi (k+t)(j+s)/N) = e^(-i pi s (k+t)/N) sum_j (f_j e^(-i pi t j/N)) e^(-2 pi i k j/(2N))

Source: Strang, SIAM Review 41 (1999) 135; Swarztrauber, SIAM Review 19 (1977) 490.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from duhamel.core.types import Field

from .solving import Operator, Solver
from .system import System


class Fourier(Solver):
    """Direct solve in O(n log n); a and c are single numbers (a one an axis), sides Dirichlet, Neumann or periodic.

    As a preconditioner (`PCG(Fourier())`) it takes the means of coefficients that vary: the number of iterations then
    grows with the square root of their contrast, not with the number of points.

    spectral  the eigenvalues of the derivative, a kappa^2, in place of those of the difference: for smooth solutions
              with 0 on every side the error then falls faster than any power of h
    """

    spectral: bool = eqx.field(static=True, default=False)

    def check(self, system: System) -> None:
        if system.uniform is None or system.level is None:
            raise ValueError(
                "Fourier() solves constant coefficients, and a or c varies; take PCG(Fourier()), Multigrid() or Band()."
            )
        self.check_sides(system)
        brought = system.brought
        if self.spectral and not isinstance(brought, Tracer) and np.any(np.asarray(brought) != 0):
            raise ValueError("Fourier(spectral=True) needs the value 0 on every side; subtract a field that has yours.")

    def check_sides(self, system: System) -> None:
        if any("R" in kind for kind in system.kinds):
            raise ValueError("sines and cosines do not meet Robin sides; take Diagonalise(), which does.")
        if jnp.issubdtype(system.dtype, jnp.complexfloating):
            raise ValueError("Fourier() needs real coefficients; take Band() for complex ones.")

    def run(self, system: System, b: Field, rtol: Float[Array, ""]) -> tuple[Field, Int[Array, ""]]:
        assert system.uniform is not None and system.level is not None
        return self.apply(system, system.uniform, system.level, b), jnp.zeros((), jnp.int32)

    def operator(self, system: System) -> Operator:
        if not self.spectral:
            return system.mv
        assert system.uniform is not None and system.level is not None
        a, c = system.uniform, system.level
        return lambda u: self.apply(system, a, c, u * system.weight, forwards=True) * system.weight

    def preconditioner(self, system: System) -> Operator:
        """The solve with the mean coefficients."""
        self.check_sides(system)
        a = tuple(jnp.mean(k) * h**2 for k, h in zip(system.links, system.box.spacing, strict=True))
        c = jnp.sum(system.absorb) / np.sum(system.weight)
        return lambda r: self.apply(system, a, c, r)

    def apply(self, system: System, a: tuple[Any, ...], c: Any, b: Field, forwards: bool = False) -> Field:
        """b is sum W f. lambda^-1, or lambda itself with `forwards`."""
        if jnp.iscomplexobj(b):
            return self.apply(system, a, c, b.real, forwards) + 1j * self.apply(system, a, c, b.imag, forwards)
        modes, norms = to_modes(system, b)
        parts = zip(a, eigenvalues(system, self.spectral), strict=True)
        values = c + sum(ai * jnp.asarray(e, b.dtype) for ai, e in parts)
        if forwards:
            return to_points(system, modes * values / norms)
        if system.singular:
            zero = np.zeros(values.shape, bool)
            zero.flat[0] = True  # every axis begins with its constant
            return to_points(system, jnp.where(zero, 0, modes / jnp.where(zero, 1, values)) / norms)
        return to_points(system, modes / values / norms)


def eigenvalues(system: System, spectral: bool = False) -> list[np.ndarray]:
    """Of -d^2/dx^2 along each axis, shaped to broadcast, in the order of `to_modes`."""
    found, half = [], last_periodic(system)
    for d, (kind, n, h) in enumerate(zip(system.kinds, system.shape, system.box.spacing, strict=True)):
        length = system.box.length[d]
        if kind == "PP":
            m = np.fft.rfftfreq(n, 1 / n) if d == half else np.fft.fftfreq(n, 1 / n)
            kappa = 2 * np.pi / length * m
        else:
            kappa = np.pi / length * (np.arange(n) + offsets(system, d)[1])
        value = kappa**2 if spectral else (2 / h * np.sin(kappa * h / 2)) ** 2
        found.append(value.reshape([-1 if i == d else 1 for i in range(system.box.dim)]))
    return found


def offsets(system: System, axis: int) -> tuple[float, float, bool]:
    """s, t and whether the modes are sines."""
    kind = system.kinds[axis].replace("R", "N")
    s = 0.5 if system.box.centre == "cell" else float(kind[0] == "D")
    t = {"DD": 1.0, "NN": 0.0}.get(kind, 0.5)
    return s, t, kind[0] == "D"


def last_periodic(system: System) -> int | None:
    """The axis of which a real field keeps half the waves."""
    return max((d for d, kind in enumerate(system.kinds) if kind == "PP"), default=None)


def to_modes(system: System, b: Field) -> tuple[Field, Any]:
    """sum_j phi_k(x_j) b_j, and sum_j W phi_k^2, by which a pair of transforms is too large."""
    norms: Any = 1.0
    for d, kind in enumerate(system.kinds):
        if kind == "PP":
            continue
        s, t, sine = offsets(system, d)
        n, cells = system.shape[d], system.box.cells[d]
        b = trig(b, d, cells, n, s, t, sine)
        m = np.arange(n) + t
        size = np.where((m == 0) | (m == cells), cells, cells / 2)
        norms = norms * jnp.asarray(size.reshape([-1 if i == d else 1 for i in range(b.ndim)]), b.real.dtype)
    waves = [d for d, kind in enumerate(system.kinds) if kind == "PP"]
    if waves:
        b = jnp.fft.rfftn(b, axes=waves)
    return b, norms


def to_points(system: System, modes: Field) -> Field:
    """sum_k phi_k(x_j) modes_k."""
    waves = [d for d, kind in enumerate(system.kinds) if kind == "PP"]
    u = modes
    if waves:
        shape = [system.shape[d] for d in waves]
        u = jnp.fft.irfftn(u, s=shape, axes=waves)
    for d, kind in enumerate(system.kinds):
        if kind != "PP":
            s, t, sine = offsets(system, d)
            u = trig(u, d, system.box.cells[d], system.shape[d], t, s, sine)
    return u


def trig(f: Field, axis: int, cells: int, n: int, s: float, t: float, sine: bool) -> Field:
    """sum_j f_j cos(pi (k+t)(j+s)/N), or sin, for k = 0..n-1 along an axis of j = 0..n-1."""
    f = jnp.moveaxis(f, axis, -1)
    k, kind = np.arange(n), jnp.result_type(f, jnp.complex64)
    if t == int(t):
        summed = jnp.fft.rfft(f, 2 * cells)[..., int(t) : int(t) + n]
    else:
        summed = jnp.fft.fft(f * jnp.asarray(np.exp(-1j * np.pi * t * k / cells), kind), 2 * cells)[..., :n]
    summed = summed * jnp.asarray(np.exp(-1j * np.pi * s * (k + t) / cells), kind)
    return jnp.moveaxis(-summed.imag if sine else summed.real, -1, axis)
