"""The arguments of `duhamel papers`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from .fields import Json, Name, Word


@dataclass
class PapersList:
    """The published systems that we know of; those with a check come first."""

    area: Word = None
    """Only this area, such as diffusion-sampler or neural-operator."""
    state: Word = None
    """Only these: carded (there is a check) or open."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""

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
    force: bool = False
    """Write over that file if it exists."""

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
    force: bool = False
    """Write over that file if it exists."""
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
