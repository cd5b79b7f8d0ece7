"""The arguments of every command. Each class calls one function of `duhamel.jobs`, imported when it is needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

Json = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Int = Annotated[int | None, arg(metavar="N", help_behavior_hint="")]
Number = Annotated[float | None, arg(metavar="NUMBER", help_behavior_hint="")]
Word = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")]
Name = Annotated[str, arg(metavar="NAME", help_behavior_hint="")]


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
    """The folder in runs/; a finished one is never overwritten (NAME-2 is used)."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.demo.runner import run

        demo = run(self.name, self.fast, self.runs)
        return 0 if demo.holds else 1


@dataclass
class Solve:
    """Solve an equation by name, draw it, and say how accurate the answer is.

    Ordinary: lorenz, van-der-pol, lotka-volterra, pendulum.
    Partial: kdv, nlse, burgers, kuramoto-sivashinsky, navier-stokes-2d.
    Conservation laws, with shocks: euler, shallow-water, mhd, inviscid-burgers.
    Steady: poisson, darcy, helmholtz, elasticity; a melting front: stefan.
    """

    equation: Positional[Name]
    """Its name."""
    t1: Number = None
    """Final time; each equation has one of its own."""
    method: Word = None
    """Ordinary: tsit5 (default), dopri5, dopri8, bosh3, verner6 to 9; partial: etdrk4 (default), etdrk2;
    conservation laws: muscl (default), weno5, constant; steady: fourier, diagonalise, band, pcg, multigrid, sor."""
    rtol: float = 1e-8
    """Relative tolerance (ordinary equations)."""
    atol: float = 1e-10
    """Absolute tolerance (ordinary equations)."""
    steps: Int = None
    """Number of equal steps instead of error control; partial equations always take equal steps."""
    points: Int = None
    """Grid points along each axis (partial and steady equations)."""
    json: Json = None
    """Write the records to this file."""
    name: Word = None
    """The folder in runs/; solve-EQUATION if not given."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.solve import Wish, solve_equation

        wish = Wish(self.t1, self.method, self.rtol, self.atol, self.steps, self.points)
        solve_equation(self.equation, wish, json=self.json, name=self.name, root=self.runs)
        return 0


@dataclass
class Sample:
    """Draw samples with a plan: handwritten digits from the network that ships, or an exact Gaussian mixture."""

    source: Positional[Name]
    """digits or mixture."""
    n: int = 100
    """How many samples."""
    plan: str = "dpmpp-2m"
    """The sampler; `duhamel plan list` names them."""
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
    """Of an emulator: fno (default) or unet."""
    strategy: Word = None
    """Of an emulator: one-step (default), unrolled, cut, pushforward or noise."""
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
class DataGenerate:
    """Solve a partial equation from many random first fields and write what came out, in shards.

    If it is stopped, even by kill -9, the same command goes on with the shards that are missing, and the files are byte
    for byte those of an uninterrupted run. Sample i depends on the seed and on i alone.
    """

    equation: Positional[Name]
    """Its name, as in `duhamel solve`."""
    samples: int = 100
    """How many trajectories."""
    t1: Number = None
    """Final time; each equation has one of its own."""
    frames: int = 51
    """Fields kept of each, equally spaced, the first one included."""
    points: Int = None
    """Grid points along each axis."""
    length: Number = None
    """Side of the box."""
    initial: Word = None
    """First fields: apebench, pdebench, mp-pde, fno-burgers, fno-navier-stokes, blobs, jumps, dam-break, noise,
    concentration (between 0 and 1), patches, solenoidal."""
    walls: Word = None
    """periodic, insulated (no flux) or fixed (0 at the walls); each equation has a box of its own."""
    parameter: Annotated[tuple[str, ...], arg(metavar="[NAME=VALUE ...]", help_behavior_hint="")] = ()
    """Parameters of the equation: viscosity=0.01, or viscosity=0.01:0.1 for a number of its own in each sample."""
    steps: Int = None
    """Steps of the method between two frames."""
    method: Word = None
    """etdrk4 (default) or another exponential method."""
    single: bool = False
    """Solve in single precision; files hold float32 in any case."""
    seed: int = 0
    """The same seed gives the same samples."""
    layout: str = "well"
    """well (The Well's HDF5), pdebench (its HDF5), zarr or netcdf."""
    shard: Int = None
    """Samples in a file; about a quarter of a gigabyte if not given."""
    out: Path | None = None
    """The folder of the files; data/EQUATION if not given."""
    plan: bool = False
    """Only say what it would cost: shards, bytes, memory, and time measured on a few samples."""
    json: Json = None
    """Write the records to this file."""

    def run(self) -> int:
        from duhamel.jobs.data import Wish, generate_data

        wish = Wish(
            self.samples, self.t1, self.frames, self.points, self.length, self.initial, self.walls, self.parameter
        )
        how = {"steps": self.steps, "method": self.method, "single": self.single, "seed": self.seed}
        files = {"layout": self.layout, "shard": self.shard, "out": self.out}
        generate_data(self.equation, wish, **how, **files, only_plan=self.plan, json=self.json)
        return 0


@dataclass
class DataShow:
    """What a file or a folder of trajectories holds, in any of the layouts."""

    path: Positional[Annotated[Path, arg(metavar="PATH", help_behavior_hint="")]]
    """A file (.hdf5, .h5, .nc), a zarr store, or a folder of shards."""
    json: Json = None
    """Write the records to this file."""

    def run(self) -> int:
        from duhamel.jobs.data import show_data

        show_data(self.path, self.json)
        return 0


@dataclass
class Data:
    """Data sets of partial equations: generate them, look into them."""

    command: Annotated[DataGenerate, subcommand("generate")] | Annotated[DataShow, subcommand("show")]

    def run(self) -> int:
        return self.command.run()


@dataclass
class PlanList:
    """The samplers by the names that papers use."""

    json: Json = None
    """Write the records to this file."""

    def run(self) -> int:
        from duhamel.jobs.plan import list_plans

        list_plans(self.json)
        return 0


@dataclass
class PlanShow:
    """Print a plan: the rows of its step, and its numbers with their names."""

    plan: Positional[Name]
    """Its name."""
    steps: int = 5
    """Steps of the grid."""
    schedule: str = "vp"
    """Noise schedule: vp, ve, cosine or edm."""
    order: Int = None
    """Order of the method, where it has several."""
    json: Json = None
    """Write the records to this file."""

    def run(self) -> int:
        from duhamel.jobs.plan import show_plan

        show_plan(self.plan, self.steps, self.schedule, self.order, self.json)
        return 0


@dataclass
class PlanCheck:
    """Check a plan before any network sees it: consistency, order, noise variance and the rest."""

    plan: Positional[Name]
    """Its name."""
    steps: int = 10
    """Steps of the grid."""
    schedule: str = "vp"
    """Noise schedule: vp, ve, cosine or edm."""
    order: Int = None
    """Order of the method, where it has several."""
    json: Json = None
    """Write the records to this file."""

    def run(self) -> int:
        from duhamel.jobs.plan import check_plan

        check_plan(self.plan, self.steps, self.schedule, self.order, self.json)
        return 0


@dataclass
class PlanCompare:
    """Every plan on the exact mixture: error of the end points at equal numbers of network calls."""

    fast: bool = False
    """Fewer samples and step numbers."""
    json: Json = None
    """Write the records to this file."""
    name: str = "plans"
    """The folder in runs/."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.plan import compare_plans

        compare_plans(self.fast, self.json, self.name, self.runs)
        return 0


@dataclass
class Plan:
    """Diffusion samplers as data: list, print, check and compare them."""

    command: (
        Annotated[PlanList, subcommand("list")]
        | Annotated[PlanShow, subcommand("show")]
        | Annotated[PlanCheck, subcommand("check")]
        | Annotated[PlanCompare, subcommand("compare")]
    )

    def run(self) -> int:
        return self.command.run()


@dataclass
class PapersList:
    """The published systems that we know of; those with a check come first."""

    area: Word = None
    """Only this area, such as diffusion-sampler or neural-operator."""
    state: Word = None
    """Only these: carded (there is a check) or open."""
    json: Json = None
    """Write the records to this file."""

    def run(self) -> int:
        from duhamel.jobs.papers import list_papers

        list_papers(self.area, self.state, self.json)
        return 0


@dataclass
class PapersShow:
    """What a paper claims, and what our check of it decides."""

    id: Positional[Name]
    """As in `duhamel papers list`."""
    json: Json = None
    """Write the record to this file."""

    def run(self) -> int:
        from duhamel.jobs.papers import show_paper

        show_paper(self.id, self.json)
        return 0


@dataclass
class PapersRun:
    """Measure the claims of papers: each ends as reproduced, holds in part, or does not reproduce."""

    ids: Positional[Annotated[tuple[str, ...], arg(metavar="[ID ...]", help_behavior_hint="")]] = ()
    """As in `duhamel papers list`; without any, all that have a check."""
    fast: bool = False
    """A smaller check of the same claim, below 20 seconds each."""
    json: Json = None
    """Write the records to this file."""
    name: str = "papers"
    """The folder in runs/."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.papers import run_papers

        return 0 if run_papers(self.ids, self.fast, self.json, self.name, self.runs) else 1


@dataclass
class Papers:
    """Published systems: what they claim, and whether the claim holds here."""

    command: (
        Annotated[PapersList, subcommand("list")]
        | Annotated[PapersShow, subcommand("show")]
        | Annotated[PapersRun, subcommand("run")]
    )

    def run(self) -> int:
        return self.command.run()


@dataclass
class Bench:
    """Measure against the peers in one process: times, errors beside them, and ratios (above 1: duhamel is faster)."""

    benchmark: Positional[Name]
    """cde, compile (the first call), detest, emulator, ensemble (many lanes), gradient, sde, sde-grid, spectral, stiff
    or work-precision."""
    quick: bool = False
    """Smaller sizes; the ratios are then rougher."""
    json: Json = None
    """Write the records to this file."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.bench import run_bench

        run_bench(self.benchmark, self.quick, self.json, self.runs)
        return 0
