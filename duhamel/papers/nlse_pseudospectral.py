"""Pseudo-spectral solver of the one-dimensional nonlinear Schroedinger equation: solitons, breathers, instability.

i psi_t + psi_xx/2 + |psi|^2 psi = 0 on a box of 50, Fourier in x with the 2/3 rule, DOP853 in time with rtol 1e-9 and
atol 1e-11: the published settings (512 points), and more points where the claim needs them. Invariants are integrated
spectrally; the published code takes derivatives in them by second-order differences. Its filter is left out:
the truncation by 2/3 does its work.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from duhamel.report.figure import PALETTE, style

from .card import Card, Context, Measurement, in_turn

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

LENGTH, RTOL, ATOL = 50.0, 1e-9, 1e-11


def check(context: Context) -> Sequence[Measurement]:
    return in_turn(context, (one_soliton, two_solitons, breather, instability))


def march(grid: Any, first: "np.ndarray", ts: Any) -> Any:
    """Fields at the times ts (complex128), and the invariants there."""
    from duhamel.methods.explicit import Dopri8
    from duhamel.pde.dispersive import NLSE
    from duhamel.pde.evolve import solve
    from duhamel.solver.adjoint import Forward
    from duhamel.solver.control import PID

    equation = NLSE()

    def save(t: Any, modes: Any) -> Any:
        return equation.to_points(grid, modes), equation.invariants(grid, modes)

    # Forward(): no gradient is wanted, and without its tape the program compiles faster.
    how = {"method": Dopri8(), "control": PID(RTOL, ATOL), "adjoint": Forward()}
    return solve(equation, grid, first, ts, save=save, **how).x


def one_soliton(context: Context) -> list[Measurement]:
    """Height 2, speed 1, from x = -10 to x = 10, on finer and finer grids."""
    import numpy as np

    from duhamel.pde.dispersive import NLSE
    from duhamel.pde.grid import periodic

    errors, drifts = [], {}
    for points in (512, 640):
        grid = periodic(points, LENGTH, start=-0.5 * LENGTH)
        first, last = (NLSE().soliton(grid, t, 2.0, 1.0, -10.0) for t in (0.0, 20.0))
        fields, invariants = march(grid, first, np.array([0.0, 20.0]))
        errors.append(float(np.abs(np.asarray(fields)[-1] - last).max()) / 2.0)
        drifts = {name: float(abs(v[-1] / v[0] - 1)) for name, v in invariants.items()}
    # What the 2/3 rule cuts off a soliton's spectrum, sech(pi k/(2 height)), says how fast errors must fall.
    theory = float(np.exp(np.pi / 4 * 2 * np.pi / LENGTH * 128 / 3))
    note = f"512 points, the published number, give {errors[0]:.1e}: the 2/3 rule cuts the spectrum there"
    return [
        Measurement(
            "error of one soliton after 20 units of time, 640 points, over its height", errors[1], high=1e-8, note=note
        ),
        Measurement(
            "factor by which the error falls with 128 more points, over the spectrum's own decay",
            errors[0] / errors[1] / theory,
            low=0.5,
            high=2.0,
            note=f"e^(pi dk/(2 height)) = {theory:.0f}: spectral convergence",
        ),
        Measurement("drift of the mass, relative", drifts["mass"], high=1e-12),
        Measurement("drift of the momentum, relative", drifts["momentum"], high=1e-9),
        Measurement("drift of the energy, relative", drifts["energy"], high=1e-9),
    ]


def two_solitons(context: Context) -> list[Measurement]:
    """Heights 2 and 3/2 meet with speeds 2 and -2: each is pushed forward by the collision."""
    import numpy as np

    from duhamel.pde.dispersive import NLSE
    from duhamel.pde.grid import periodic

    heights, speeds, at, until = (2.0, 1.5), (2.0, -2.0), (-10.0, 10.0), 10.0
    grid = periodic(512, LENGTH, start=-0.5 * LENGTH)
    (x,) = grid.coordinates()
    first = sum(NLSE().soliton(grid, 0.0, a, v, c) for a, v, c in zip(heights, speeds, at, strict=True))
    ts = np.linspace(0.0, until, 11 if context.fast else 201)
    fields, invariants = march(grid, np.asarray(first), ts)
    intensity = np.abs(np.asarray(fields)) ** 2
    worst = 0.0
    for i in (0, 1):
        near = (x > 0) == (speeds[i] > 0)
        centre = float(np.sum(x[near] * intensity[-1, near]) / np.sum(intensity[-1, near]))
        measured = (centre - at[i] - speeds[i] * until) * np.sign(speeds[i])
        expected = position_shift(heights[i], heights[1 - i], speeds[0] - speeds[1])
        worst = max(worst, float(abs(measured - expected)))
    mass = np.asarray(invariants["mass"])
    if context.run is not None:
        context.figure("nlse-pseudospectral-collision", draw(x, ts, np.sqrt(intensity)))
    return [
        Measurement(
            "position shift of two colliding solitons against inverse scattering, largest error", worst, high=1e-3
        ),
        Measurement("drift of the mass in the collision, relative", float(abs(mass / mass[0] - 1).max()), high=1e-12),
    ]


def position_shift(height: float, other: float, speed: float) -> float:
    """ln(((v1-v2)^2 + (a1+a2)^2)/((v1-v2)^2 + (a1-a2)^2))/a1. Zakharov and Shabat, Sov. Phys. JETP 34 (1972) 62."""
    import numpy as np

    return float(np.log((speed**2 + (height + other) ** 2) / (speed**2 + (height - other) ** 2)) / height)


def breather(context: Context) -> list[Measurement]:
    """Akhmediev's breather, a = 1/4, from t = -8, when it is a ripple of 1e-3, to its crest at t = 0."""
    import numpy as np

    from duhamel.pde.dispersive import NLSE
    from duhamel.pde.grid import periodic

    grid = periodic(128, 2 * np.sqrt(2) * np.pi, start=-np.sqrt(2) * np.pi)  # two waves in the box
    first = NLSE().breather(grid, -8.0)
    ripple = np.abs(first).max() - 1
    fields, _ = march(grid, first, np.array([0.0, 8.0]))
    peak, exact = float(np.abs(np.asarray(fields)[-1]).max()), 1 + 2**0.5
    note = f"1 + sqrt 2 on a background of 1; the ripple it grew from is {ripple:.1e}"
    return [Measurement("crest of Akhmediev's breather", peak, 0.99 * exact, 1.01 * exact, note=note)]


def instability(context: Context) -> list[Measurement]:
    """Noise of 1e-8 on a plane wave: every mode 0.3 < k < 1.9 grows at the rate k sqrt(1 - k^2/4)."""
    import numpy as np

    from duhamel.pde.grid import periodic

    grid = periodic(256, LENGTH)
    noise = np.random.default_rng(0).normal(size=(2, 256))
    ts = np.array([0.0, 1.0, 6.0])
    fields, _ = march(grid, 1.0 + 1e-8 * (noise[0] + 1j * noise[1]), ts)
    ripple = np.asarray(fields)[1:] * np.exp(-1j * ts[1:, None])  # in the frame of the plane wave
    modes = np.fft.fft(ripple, axis=1)
    m = np.arange(1, 21)
    k = 2 * np.pi * m / LENGTH
    rate = k * np.sqrt(np.maximum(1 - k**2 / 4, 0))
    amplitude = growing_part(modes, m, k, rate)
    grown = np.log(amplitude[1] / amplitude[0]) / (ts[2] - ts[1])
    used = (k > 0.3) & (k < 1.9)
    worst = float(np.abs(grown[used] / rate[used] - 1).max())
    what = f"growth rates of modulational instability, {int(used.sum())} modes, largest relative error"
    return [Measurement(what, worst, high=1e-2)]


def growing_part(modes: "np.ndarray", m: "np.ndarray", k: "np.ndarray", rate: "np.ndarray") -> "np.ndarray":
    """Amplitude of the growing eigenvector in modes m and -m of a perturbed plane wave of height 1.

    With c = modes[m] and d = conj(modes[-m]):  c_t = i ((1 - k^2/2) c + d),  d_t = -i (c + (1 - k^2/2) d). The growing
    direction is found by its left eigenvector, so that the decaying one does not count.
    """
    import numpy as np

    c, d = modes[:, m], np.conj(modes[:, -m])
    diagonal = 1 - k**2 / 2
    return np.abs(c + (diagonal + 1j * rate) * d)


def draw(x: "np.ndarray", ts: "np.ndarray", height: "np.ndarray") -> "Figure":
    import matplotlib.pyplot as plt

    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2), gridspec_kw={"width_ratios": (1.2, 1)})
        left.pcolormesh(x, ts, height, rasterized=True, shading="auto")
        left.set(title="|ψ| of a collision", xlabel="x", ylabel="t", xlim=(-15, 15))
        for i, label in ((0, "before"), (-1, "after")):
            right.plot(x, height[i], color=PALETTE[1 if i else 0], label=label)
        right.set(title="unchanged but for a shift", xlabel="x", xlim=(-15, 15))
        right.legend()
    return figure


card = Card(
    id="nlse-pseudospectral",
    claim="A Fourier method with DOP853, rtol 1e-9, keeps the mass of smooth solutions of the nonlinear Schroedinger "
    "equation to machine precision and momentum and energy nearly so; it converges spectrally and shows elastic "
    "collisions of solitons with the predicted shifts, Akhmediev's breather, and modulational instability at its rate.",
    source="Herho, Anwar, Khadami, Riawan, Suwarman, Irawan: simple-idealized-1d-nlse: Pseudo-Spectral Solver for the "
    "1D Nonlinear Schroedinger Equation, 2025, arXiv 2509.05901",
    check=check,
    seconds=25,
)
