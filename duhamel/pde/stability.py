"""Is this step short enough? Asked of the equation, its first field and the method, before a run is compiled.

    u_t = L u + N(u);   one step x1 = Phi_h(x0), of which an error e becomes Phi_h'(x0) e

Two things are measured there. The eigenvalues of N'(u0), by Arnoldi's iteration: real ones from reactions, imaginary
ones from transport, whose Courant number they give. And the growth of errors by one step of the method, by power
iteration with Phi_h', for longer and longer h: a step is too long where errors grow faster than the equation itself
lets them. The linear part is in Phi_h as the method has it, so dispersion that averages transport away, or viscosity
that damps it, count as they do in the run. It is a forecast from the first field: a flow that speeds up needs shorter
steps.
Source: Saad, Numerical Methods for Large Eigenvalue Problems (2011), chapters 4 and 6.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from duhamel.core.linear import like
from duhamel.core.types import Spectrum
from duhamel.methods.base import Method
from duhamel.methods.exponential import ETDRK4, ExponentialRK
from duhamel.methods.imex import IMEXRK
from duhamel.rows.step import step

from .equation import Box, Equation, NonlinearTerm, with_arrays
from .posed import check_kinds, eigenvalues
from .space import Space

KRYLOV = 20  # iterations of Arnoldi
POWER = 40  # iterations with the derivative of a step, the second half of which is measured
GROWTH = 1.05  # of errors in a step, beyond what the equation does
FOLDS = 1.5  # of the equation's own instability, in powers of e, that one step may hold


@dataclass(frozen=True)
class Forecast:
    """
    dt         the step asked about
    limit      the longest stable step, from the first field; infinite where nothing limits it
    stiffness  dt times the largest |eigenvalue| of L: what a method that takes L explicitly would have to resolve
    courant    cells that the fastest transport crosses in a step; 0 where N transports nothing
    left, right, high   extents of dt N'(u0): least and largest real part, largest imaginary part
    method     its name
    field      the field with the largest value: "|u| up to 2"
    """

    dt: float
    limit: float
    stiffness: float
    courant: float
    left: float
    right: float
    high: float
    method: str
    field: str

    @property
    def stable(self) -> bool:
        return self.dt <= self.limit

    def __str__(self) -> str:
        rows = [
            ("longest stable step, about", f"{self.limit:.3g}"),
            ("step", f"{self.dt:.3g}, {'stable' if self.stable else 'TOO LONG'}"),
            ("stiffness, step times |L|", f"{self.stiffness:.3g}"),
            ("Courant number", f"{self.courant:.3g}"),
            ("step times N', real", f"{self.left:.3g} to {self.right:.3g}"),
            ("step times N', imaginary, up to", f"{self.high:.3g}"),
        ]
        head = f"{self.method}, first field with {self.field}"
        return "\n".join([head, *(f"  {name:<33}{value}" for name, value in rows)])

    def refuse(self, factor: float = 2.0) -> None:
        """Raise where the step is longer than `factor` times the longest stable one."""
        if self.dt > factor * self.limit:
            raise ValueError(
                f"dt = {self.dt:.3g} is too long: with {self.field} at first, {self.method} is stable up to steps of "
                f"about {self.limit:.2g}; take dt = {0.5 * self.limit:.2g}, or control=PID(rtol=1e-6)."
            )


def forecast(equation: Any, grid: Any, u0: Any = None, dt: float | int = 1.0, method: Method | None = None) -> Forecast:
    """What a step of length dt meets: stiffness, Courant number, eigenvalues of N', and the longest stable step.

        print(pde.forecast(pde.KdV(), pde.periodic(256, 40.0), None, 1e-2))
        pde.forecast(equation, grid, u0, dt).refuse()              # raises where dt is twice too long

    u0      first field, or None: `equation.initial(grid)`
    method  ETDRK4() unless told; an exponential or an implicit-explicit Runge-Kutta method

    Costs about as much as a few hundred steps. Parameters are concrete numbers here. The longest stable step is found
    within a factor of 2, from the first field.
    """
    from .evolve import first_modes

    method = ETDRK4() if method is None else method
    if not isinstance(method, ExponentialRK | IMEXRK):
        raise TypeError(f"a forecast takes exponential and implicit-explicit methods, got {type(method).__name__}.")
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt = {dt} is the length of a step; it must be positive and finite.")
    check_kinds(equation, grid)
    equation.check(grid)
    equation = with_arrays(equation)
    modes = first_modes(equation, grid.at(0.0), u0)
    values, norm = _eigenvalues_of_slope(equation, grid, modes)
    size = float(np.abs(values).max())
    high = float(np.abs(np.imag(values)).max())
    L = eigenvalues(equation, grid)
    return Forecast(
        dt=float(dt),
        limit=_longest(method, equation, grid, modes, norm),
        stiffness=float(dt * np.abs(L).max()),
        courant=dt * high / _shortest_wave(equation, grid) if high > 1e-3 * size else 0.0,
        left=float(dt * np.real(values).min()),
        right=float(dt * np.real(values).max()),
        high=float(dt * high),
        method=method.tableau.name,
        field=largest(equation, grid, modes),
    )


def longest_step(equation: Equation, grid: Box, modes: Spectrum, method: Any) -> float:
    """The longest stable step of a state in modes, within a factor of 2; infinite where nothing limits it."""
    equation = with_arrays(equation)
    return _longest(method, equation, grid, modes, _eigenvalues_of_slope(equation, grid, modes)[1])


def largest(equation: Equation, grid: Box, modes: Spectrum) -> str:
    """The field with the largest value at a point: "|u| up to 2.5"."""
    u = np.abs(np.asarray(equation.to_points(grid.at(0.0), modes))).reshape(len(equation.fields), -1).max(axis=1)
    most = int(np.argmax(np.nan_to_num(u, nan=np.inf)))
    return f"|{equation.fields[most]}| up to {u[most]:.3g}"


def _longest(method: Any, equation: Equation, grid: Box, modes: Spectrum, norm: float) -> float:
    """Steps are doubled until errors grow too fast, and the last doubling is halved twice."""
    if norm < 1e-12:
        return np.inf
    rate, h = 0.0, 0.25 / norm

    def unstable(h: float) -> bool:
        nonlocal rate
        grown = growth(method, equation, grid, modes, h)
        if h * norm <= 0.5:  # here the step is exact enough that what grows is the equation's own
            rate = max(rate, np.log(max(grown, 1e-300)) / h)
            return False
        return not grown < GROWTH * np.exp(min(rate * h, FOLDS))

    for _ in range(24):
        if unstable(h):
            break
        h *= 2
    else:
        return np.inf
    low, high = h / 2, h
    for _ in range(2):
        middle = np.sqrt(low * high)
        low, high = (low, middle) if unstable(middle) else (middle, high)
    return float(np.sqrt(low * high))


def growth(method: Any, equation: Equation, grid: Box, modes: Spectrum, h: float) -> float:
    """By how much one step of length h makes the error grow that grows most, at this state."""
    L = equation.problem(grid).linear()
    coef = [jax.tree.map(lambda c: like(c, modes), c) for c in method.coef(L, 0.0, h)]
    return float(_growth(method, coef, equation, grid, modes, _noise(equation, grid, modes)))


@eqx.filter_jit
def _growth(method: Any, coef: list, equation: Equation, grid: Box, modes: Spectrum, v: Spectrum) -> Any:
    term, t = NonlinearTerm(equation, grid), jnp.zeros((), jnp.finfo(modes.dtype).dtype)

    models = [lambda tau, z: term(tau, z, None)] * (1 + max(row.model for row in method.pattern.rows))

    def end(x: Spectrum) -> Spectrum:
        known = {"x": x} | ({"F": term(t, x, None)} if "F" in method.pattern.slots else {})
        return step(method.pattern, coef, [t] * method.pattern.calls, known, models)["x1"]

    def again(v: Spectrum, _: Any) -> tuple[Spectrum, Any]:
        w = jax.jvp(end, (modes,), (v,))[1]
        length = jnp.sqrt(jnp.sum(jnp.abs(w) ** 2))
        return (w / length).astype(v.dtype), jnp.log(length)

    _, logs = jax.lax.scan(again, v, None, POWER)
    return jnp.exp(jnp.mean(logs[POWER // 2 :]))


@eqx.filter_jit
def _slope_of(equation: Equation, grid: Box, modes: Spectrum, v: Spectrum) -> Spectrum:
    """N'(modes) v."""
    term, t = NonlinearTerm(equation, grid), jnp.zeros((), jnp.finfo(modes.dtype).dtype)
    return jax.jvp(lambda x: term(t, x, None), (modes,), (v,))[1]


def _eigenvalues_of_slope(equation: Equation, grid: Box, modes: Spectrum) -> tuple[np.ndarray, float]:
    """Ritz values and norm of N'(modes), in the modes as a real vector space: an N with conjugates is linear only
    there. (The norm sees what eigenvalues do not: a force that acts on the speed of u alone has none.)"""
    first = np.asarray(_noise(equation, grid, modes))
    basis, H = [first], np.zeros((KRYLOV + 1, KRYLOV))
    for j in range(KRYLOV):
        w = np.asarray(_slope_of(equation, grid, modes, jnp.asarray(basis[j])), first.dtype)
        before = np.linalg.norm(w)
        for _ in range(2):  # twice is enough, whatever cancels
            for i, b in enumerate(basis):
                part = float(np.vdot(b, w).real)
                H[i, j] += part
                w = w - part * b
        H[j + 1, j] = np.linalg.norm(w)
        if not H[j + 1, j] > 1e-5 * before:
            return np.linalg.eigvals(H[: j + 1, : j + 1]), float(np.linalg.norm(H[: j + 2, : j + 1], 2))
        basis.append((w / H[j + 1, j]).astype(first.dtype))
    return np.linalg.eigvals(H[:KRYLOV]), float(np.linalg.norm(H, 2))


def _noise(equation: Equation, grid: Box, modes: Spectrum) -> Spectrum:
    """Modes of white noise, of length 1, the same every time."""
    rng, shape = np.random.default_rng(0), equation.shape(grid)
    u = rng.normal(size=shape) + (0 if equation.real else 1j * rng.normal(size=shape))
    v = grid.mask(equation.dealias, equation.real) * np.asarray(grid.project(jnp.asarray(u), equation.real))
    return jnp.asarray(v / np.linalg.norm(v)).astype(modes.dtype)


def _shortest_wave(equation: Equation, grid: Box) -> float:
    """Cells times the longest wavenumber that products keep: transport at speed c has eigenvalues up to c k."""
    if isinstance(grid, Space) and grid.formal:  # polynomials of degree n see pi/2 more than n points evenly spaced
        return float(np.pi)
    kept = grid.mask(equation.dealias, equation.real) > 0
    k = np.sqrt(np.maximum(-grid.laplacian(equation.real), 0.0)[kept].max())
    return float(k * min(s / n for s, n in zip(grid.length, grid.shape, strict=True)))
