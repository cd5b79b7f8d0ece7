"""The arguments of the commands that have none of their own.

Each class calls one function of `duhamel.jobs`, imported when it is needed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from .fields import Folder, Int, Json, Name, Number, Word


@dataclass
class Demo:
    """Five jobs on real input, each with one number against a known truth; ends with a report.

    An ensemble of Lorenz systems, an equation learned from the hare and lynx of Hudson Bay, handwritten digits
    sampled, KdV solitons and two-dimensional turbulence, and a table of diffusion samplers.
    If it is stopped, even by kill -9, the same command goes on with the chapters that are missing.
    """

    fast: bool = False
    """Smaller jobs with the same claims: half a minute instead of about two minutes."""
    name: str = "demo"
    """The folder in runs/."""
    again: bool = False
    """Compute everything anew, though it is done: in NAME-2, for nothing is overwritten."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.demo.runner import run

        demo = run(self.name, self.fast, self.runs, again=self.again)
        return 0 if demo.holds else 1


@dataclass
class Solve:
    """Solve an equation by name, draw it, and say how accurate the answer is.

    Ordinary: lorenz, van-der-pol, lotka-volterra, pendulum.
    Partial: kdv, nlse, burgers, kuramoto-sivashinsky, navier-stokes-2d, advection, heat, wave, fisher-kpp,
    allen-cahn, cahn-hilliard, swift-hohenberg, gray-scott, fitzhugh-nagumo, boussinesq, magnetic-flow-2d,
    navier-stokes-3d, klein-gordon, sine-gordon, schroedinger, kdv-burgers.
    Conservation laws, with shocks: euler, shallow-water, mhd, inviscid-burgers.
    Steady: poisson, darcy, helmholtz, elasticity, stefan.
    """

    equation: Positional[Name]
    """Its name."""
    t1: Number = None
    """Final time; each equation has one of its own."""
    method: Word = None
    """Ordinary: tsit5 (default), dopri5, dopri8, bosh3, verner6 to 9, and for stiff ones rodas5p, rodas4, ros23,
    kvaerno3 to 5, bdf, auto; partial: etdrk4 (default), etdrk2;
    conservation laws: muscl (default), weno5, constant; steady: fourier, diagonalise, band, pcg, multigrid, sor."""
    rtol: float = 1e-8
    """Relative tolerance (ordinary equations)."""
    atol: float = 1e-10
    """Absolute tolerance (ordinary equations)."""
    steps: Int = None
    """Number of equal steps instead of error control; partial equations always take equal steps."""
    points: Int = None
    """Grid points along each axis (partial and steady equations)."""
    parameter: Annotated[tuple[str, ...], arg(metavar="[NAME=VALUE ...]", help_behavior_hint="")] = ()
    """Of ordinary and partial equations, such as rho=35 or viscosity=0.01; a name that is none lists them."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""
    name: Word = None
    """The folder in runs/; solve-EQUATION if not given."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.solve import Wish, solve_equation

        wish = Wish(self.t1, self.method, self.rtol, self.atol, self.steps, self.points, self.parameter)
        solve_equation(self.equation, wish, json=self.json, name=self.name, root=self.runs)
        return 0


@dataclass
class Sample:
    """Draw samples with a plan: handwritten digits from the network that ships, or an exact Gaussian mixture."""

    source: Positional[Name]
    """digits or mixture."""
    n: int = 100
    """How many samples."""
    plan: str = "advised"
    """The sampler; `duhamel plan list` names them. Without: what `duhamel plan advise` names for so many steps."""
    steps: int = 15
    """Steps of the sampler."""
    label: Int = None
    """Which digit to draw, 0 to 9; all of them if not given."""
    seed: int = 0
    """The same seed draws the same samples."""
    name: Word = None
    """The folder in runs/; sample-SOURCE if not given."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.sample import Wish, sample

        wish = Wish(self.n, self.plan, self.steps, self.label, self.seed)
        sample(self.source, wish, name=self.name, root=self.runs)
        return 0


@dataclass
class Train:
    """Train a model on real data.

    If it is stopped, even by kill -9, the same command goes on from the last checkpoint.
    """

    job: Positional[Name]
    """digits (the denoiser behind `duhamel sample digits`), hare-lynx (equations of the Hudson Bay series) or emulator
    (a network that does what a solver of partial equations does)."""
    steps: Int = None
    """Optimiser steps; each job has a number of its own."""
    seed: int = 0
    """The same seed trains the same model."""
    equation: Word = None
    """Of an emulator: burgers (default), darcy, kuramoto-sivashinsky or navier-stokes-2d."""
    model: Word = None
    """Of an emulator: fno (default), unet, or mp (message passing, on a line)."""
    strategy: Word = None
    """Of an emulator: one-step (default), unrolled, cut, pushforward, noise or lead-time."""
    points: Int = None
    """Of an emulator: grid points along each axis."""
    samples: Int = None
    """Of an emulator: solver runs to learn from."""
    seeds: Int = None
    """Of an emulator: how many to train at once."""
    name: Word = None
    """The folder in runs/; train-JOB if not given."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.train import train

        names = ("equation", "model", "strategy", "points", "samples", "seeds")
        emulator = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        train(self.job, steps=self.steps, seed=self.seed, name=self.name, root=self.runs, **emulator)
        return 0


@dataclass
class Bench:
    """Measure against the peers in one process: times, errors beside them, and ratios (above 1: duhamel is faster)."""

    benchmark: Positional[Name]
    """advice, cde, compile (the first call), detest, emulator, ensemble (many lanes), gradient,
    references (with --data), samplers, sde, sde-grid, spectral, stiff, tune, walls or work-precision."""
    quick: bool = False
    """Smaller sizes; the ratios are then rougher."""
    data: Folder = None
    """For references: a folder that holds the files of others, at any depth."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.bench import run_bench

        run_bench(self.benchmark, self.quick, self.json, self.runs, self.data)
        return 0
