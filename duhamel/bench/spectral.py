"""Periodic spectral solvers against exponax: error of a soliton at equal steps, time of turbulence and of a batch.

KdV: u_t + 6 u u_x + u_xxx = 0, the soliton of speed 4 on a length of 40 with 256 points for one unit of time, float64,
order 4 on both sides; the ratio is that of the errors. Navier-Stokes: vorticity in two dimensions, 50 steps of ETDRK2
in float32 from points to points, and beside it the bare transforms of those steps. Kuramoto-Sivashinsky: a batch of 256
lines of 160 points, 100 steps of ETDRK2. The errors of the last two are against the same equations in float64 with a
quarter of the step, or on twice the points with half of it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel import pde
from duhamel.core.precision import enable_x64

from .measure import peer, race, record

STEPS = (200, 800)
SIZES = (64, 128, 256)


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    say = progress or (lambda text: None)
    records = []
    with enable_x64(True):
        for steps in STEPS[-1:] if quick else STEPS:
            say(f"Korteweg-de Vries, {steps} steps")
            records.append(soliton(steps))
    for n in SIZES[:1] if quick else SIZES:
        say(f"Navier-Stokes, {n} x {n}")
        records.extend(turbulence(n))
    say("Kuramoto-Sivashinsky, a batch")
    records.append(batch(32 if quick else 256))
    return records


def soliton(steps: int) -> dict:
    """Errors of both at the end; times beside them."""
    exponax = peer("exponax")
    grid, equation = pde.periodic(256, 40.0, -20.0), pde.KdV()
    (x,) = grid.coordinates()
    wave = lambda t: 2 / np.cosh((x - 4 * t + 20) % 40 - 20) ** 2  # noqa: E731
    u0, truth = jnp.asarray(wave(0.0)), wave(1.0)
    stepper = exponax.stepper.KortewegDeVries(
        1, 40.0, 256, 1 / steps, convection_scale=6.0, dispersivity=1.0, hyper_diffusivity=0.0, order=4
    )
    ours = jax.jit(lambda u: pde.solve(equation, grid, u, 1.0, steps=steps, method=dh.ETDRK4()).x)
    theirs = jax.jit(lambda u: exponax.repeat(stepper, steps)(u[None])[0])
    errors = [float(np.abs(np.asarray(f(u0)) - truth).max()) for f in (ours, theirs)]
    row = record(f"KdV soliton, {steps} steps of order 4: error", *race(ours, theirs, (u0,)), "exponax", *errors)
    return row | {"value": errors[0], "peer_value": errors[1], "ratio": errors[1] / errors[0], "unit": ""}


def turbulence(n: int, steps: int = 50) -> list[dict]:
    """Two records: against exponax, and against the transforms alone."""
    exponax = peer("exponax")
    grid, equation, dt = pde.periodic((n, n), 2 * np.pi), pde.NavierStokes2D(viscosity=1e-3), 0.25 / n
    w0 = jnp.asarray(equation.initial(grid), jnp.float32)
    how = {"diffusivity": 1e-3, "vorticity_convection_scale": -1.0, "order": 2}  # its streamfunction has the other sign
    stepper = exponax.stepper.NavierStokesVorticity(2, 2 * np.pi, n, dt, **how)
    end = steps * dt
    ours = jax.jit(lambda w: pde.solve(equation, grid, w, end, steps=steps, method=dh.ETDRK2()).x)
    theirs = jax.jit(lambda w: exponax.repeat(stepper, steps)(w[None])[0])

    def transforms(w: Any) -> Any:
        """Two inverse and two forward transforms a stage, two stages a step."""

        def stage(modes: Any, _: Any) -> tuple[Any, None]:
            u = jnp.fft.irfft2(jnp.stack([modes, modes]))
            both = jnp.fft.rfft2(u)
            return 0.5 * (both[0] + both[1]), None

        return jnp.fft.irfft2(jax.lax.scan(stage, jnp.fft.rfft2(w), None, length=2 * steps)[0])

    with enable_x64(True):  # on twice the points, of which every second one is compared
        fine = pde.periodic((2 * n, 2 * n), 2 * np.pi)
        first = refined(equation.initial(grid), 2 * n)
        exact = np.asarray(pde.solve(equation, fine, first, end, steps=2 * steps).x)[::2, ::2]
    errors = [float(np.abs(np.asarray(f(w0)) - exact).max() / np.abs(exact).max()) for f in (ours, theirs)]
    name = f"Navier-Stokes, {n} x {n}, {steps} steps"
    against = record(name, *race(ours, theirs, (w0,)), "exponax", *errors)
    bare = race(ours, jax.jit(transforms), (w0,))
    alone = record(f"{name}, against its bare transforms", *bare, "jax", None, None)
    return [against, alone | {"peer": "bare transforms"}]


def refined(u: np.ndarray, n: int) -> np.ndarray:
    """A band-limited field on n x n points."""
    half, modes = len(u) // 2, np.fft.fft2(u)
    full = np.zeros((n, n), complex)
    k = np.r_[0:half, 1 - half : 0]
    full[np.ix_(k, k)] = modes[np.ix_(k, k)]
    return np.fft.ifft2(full).real * (n / len(u)) ** 2


def batch(lines: int, n: int = 160, steps: int = 100) -> dict:
    exponax = peer("exponax")
    grid, equation, dt = pde.periodic(n, 60.0), pde.KuramotoSivashinsky(), 0.1
    rng = np.random.default_rng(0)
    k = 2 * np.pi / 60.0 * np.arange(1, 6)
    waves = np.einsum("bm,mx->bx", rng.normal(size=(lines, 5)), np.sin(np.outer(k, grid.coordinates()[0])))
    u0 = jnp.asarray(waves, jnp.float32)
    stepper = exponax.stepper.KuramotoSivashinskyConservative(1, 60.0, n, dt, order=2)
    end = steps * dt
    one = lambda u: pde.solve(equation, grid, u, end, steps=steps, method=dh.ETDRK2()).x  # noqa: E731
    ours = jax.jit(jax.vmap(one))
    theirs = jax.jit(jax.vmap(lambda u: exponax.repeat(stepper, steps)(u[None])[0]))
    with enable_x64(True):
        fine = jax.vmap(lambda u: pde.solve(equation, grid, u, end, steps=4 * steps).x)
        exact = np.asarray(fine(jnp.asarray(waves)))
    errors = [float(np.abs(np.asarray(f(u0)) - exact).max() / np.abs(exact).max()) for f in (ours, theirs)]
    return record(f"Kuramoto-Sivashinsky, {lines} lines of {n} points", *race(ours, theirs, (u0,)), "exponax", *errors)
