"""The arguments of `duhamel plan`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, subcommand

from .fields import Int, Json, Name, Names, Numbers, Word


@dataclass
class PlanList:
    """The samplers by the names that papers use."""

    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""

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
    grid: Word = None
    """Its times, such as lam, karras or dm-nonuniform, if not those it is published with."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""

    def run(self) -> int:
        from duhamel.jobs.plan import show_plan

        show_plan(self.plan, self.steps, self.schedule, self.order, self.json, self.grid)
        return 0


@dataclass
class PlanCheck:
    """Check a plan before any network sees it: consistency, orders and exactness as claimed, noise, Gaussian data,
    stability, inversion. Exit code 1 if a claim fails."""

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
    force: bool = False
    """Write over that file if it exists."""

    def run(self) -> int:
        from duhamel.jobs.plan_check import FAILS, check_plan

        found = check_plan(self.plan, self.steps, self.schedule, self.order, self.json)
        return int(any(record.more.get("verdict") == FAILS for record in found))


@dataclass
class PlanCompare:
    """Plans on the exact mixture: error of the end points at equal numbers of network calls."""

    plans: Positional[Names] = ()
    """Which; "unipc:2" is UniPC of order 2. None: nine usual ones."""
    nfe: Numbers = ()
    """Numbers of network calls, such as --nfe 5 8 10."""
    fast: bool = False
    """Fewer samples and step numbers."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""
    name: str = "plans"
    """The folder in runs/."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.plan import compare_plans

        compare_plans(self.plans, self.nfe, self.fast, self.json, self.name, self.runs)
        return 0


@dataclass
class PlanPicture:
    """Draw a plan: its table as a triangle, where it is stable, its error for Gaussian data."""

    plan: Positional[Name]
    """Its name."""
    steps: int = 8
    """Steps of the grid."""
    schedule: str = "vp"
    """Noise schedule: vp, ve, cosine or edm."""
    order: Int = None
    """Order of the method, where it has several."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.plan_pictures import picture

        picture(self.plan, self.steps, self.schedule, self.order, self.json, self.runs)
        return 0


@dataclass
class PlanExport:
    """Write a plan for other programs: .json or .csv, a plain table of its canonical form; .npz, for duhamel itself."""

    plan: Positional[Name]
    """Its name."""
    to: Path
    """The file; its ending says what is written."""
    steps: int = 10
    """Steps of the grid."""
    schedule: str = "vp"
    """Noise schedule: vp, ve, cosine or edm."""
    order: Int = None
    """Order of the method, where it has several."""
    grid: Word = None
    """Its times, such as lam, karras or dm-nonuniform, if not those it is published with."""
    force: bool = False
    """Write over that file if it exists."""
    prediction: Word = None
    """What your model returns, if not what the plan wants: data, noise, score, velocity or flow."""

    def run(self) -> int:
        from duhamel.jobs.plan import export_plan

        export_plan(self.plan, self.to, self.steps, self.schedule, self.order, self.prediction, self.grid)
        return 0


@dataclass
class PlanTree:
    """Which published samplers are one and the same, to rounding: families, and who differs only in its first steps."""

    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""
    name: str = "tree"
    """The folder in runs/."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.plan_family import family_tree

        family_tree(self.json, self.name, self.runs)
        return 0


@dataclass
class PlanRanking:
    """The published ranking of samplers at 5 to 10 calls, held against errors on an exact mixture of digits."""

    fast: bool = False
    """Fewer samples."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""
    name: str = "ranking"
    """The folder in runs/."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.plan_ranking import rank

        rank(self.fast, self.json, self.name, self.runs)
        return 0


@dataclass
class PlanTune:
    """Fit a plan to a model at a number of evaluations: every sampler on every grid, timesteps, a whole table.

    One to three minutes for the digits network. A run that was killed goes on where it stopped.
    """

    model: Positional[Name] = "digits"
    """digits (the network that ships) or mixture (the exact model of Gaussians fitted to the digits)."""
    nfe: int = 8
    """Evaluations of the plan."""
    seed: int = 0
    """Seed of the noises."""
    fast: bool = False
    """Few noises and iterations."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""
    name: str = "tuned"
    """The folder in runs/, where the plan is written to tuned.plan."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""

    def run(self) -> int:
        from duhamel.jobs.plan_tune import tune_plan

        tune_plan(self.model, self.nfe, self.seed, self.fast, self.json, self.name, self.runs)
        return 0


@dataclass
class PlanAdvise:
    """Which sampler on which grid, by a table measured on networks, or measured on a model of yours in seconds."""

    schedule: str = "vp"
    """The model's schedule: vp, chain (DDPM's thousand betas), cosine, edm, ve or flow."""
    calls: Numbers = (5, 6, 8, 10, 20)
    """Numbers of network calls, such as --calls 5 8."""
    predicts: Word = None
    """What the model returns: data, noise, score, velocity or flow."""
    model: Word = None
    """Measure on a model: digits, mixture, or your own MODULE:FUNCTION, called as F(t, x) on NumPy arrays."""
    shape: Numbers = ()
    """Of one sample of your own model, such as --shape 1 28 28."""
    noises: int = 128
    """How many noises a model is measured on."""
    contenders: int = 32
    """How many samplers of the table are measured on a model."""
    json: Json = None
    """Write the records to this file."""

    def run(self) -> int:
        from duhamel.jobs.plan_advise import advise_plan

        advise_plan(
            self.schedule,
            self.calls,
            self.predicts,
            self.model,
            self.shape,
            self.noises,
            self.contenders,
            self.json,
        )
        return 0


@dataclass
class Plan:
    """Diffusion samplers as data: choose, list, print, draw, check, compare and export them."""

    command: (
        Annotated[PlanAdvise, subcommand("advise")]
        | Annotated[PlanList, subcommand("list")]
        | Annotated[PlanShow, subcommand("show")]
        | Annotated[PlanCheck, subcommand("check")]
        | Annotated[PlanCompare, subcommand("compare")]
        | Annotated[PlanPicture, subcommand("picture")]
        | Annotated[PlanExport, subcommand("export")]
        | Annotated[PlanTree, subcommand("tree")]
        | Annotated[PlanTune, subcommand("tune")]
        | Annotated[PlanRanking, subcommand("ranking")]
    )

    def run(self) -> int:
        return self.command.run()
