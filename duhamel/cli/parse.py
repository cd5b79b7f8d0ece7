"""From words to a command, and from a command to the function that does it."""

import functools
import operator
from collections.abc import Iterable
from typing import Annotated, Any

import tyro

import duhamel
from duhamel.core.files import regular
from duhamel.report.nearest import nearest

from .commands import Bench, Demo, Sample, Solve, Train
from .data import Data
from .papers import Papers
from .plan import Plan

SUBCOMMANDS = {
    "demo": Demo,
    "solve": Solve,
    "sample": Sample,
    "train": Train,
    "data": Data,
    "plan": Plan,
    "papers": Papers,
    "bench": Bench,
}

DESCRIPTION = """Solve and learn differential equations: neural ODEs, diffusion samplers and PDE solvers on one engine.

First steps:
  duhamel demo --fast           five jobs on real input in a minute or so; ends with a report
  duhamel solve lorenz          one equation, solved and drawn
  duhamel sample digits         images from the network that ships with the package

Every command that computes leaves a folder in runs/ with its numbers, figures and a page to open in a browser.
`duhamel --version` says which duhamel this is."""

SECOND = {
    "data": ("generate", "list", "show"),
    "plan": ("advise", "list", "show", "check", "compare", "picture", "export", "tree", "tune", "ranking"),
    "papers": ("list", "show", "run"),
}


def parse(words: list[str]) -> int:
    """Run the command that the words name; the exit code."""
    if words[:1] == ["--version"]:
        print(f"duhamel {duhamel.__version__}")
        return 0
    _check(words, SUBCOMMANDS, "command")
    if words and words[0] in SECOND:
        _check(words[1:], SECOND[words[0]], f"{words[0]} command")
    named: list[Any] = [Annotated[command, tyro.conf.subcommand(name)] for name, command in SUBCOMMANDS.items()]
    union: Any = functools.reduce(operator.or_, named)
    wanted = ("OmitSubcommandPrefixes", "OmitArgPrefixes", "FlagCreatePairsOff")  # the last is younger than 2024's tyro
    config = tuple(getattr(tyro.conf, name) for name in wanted if hasattr(tyro.conf, name))
    command = tyro.cli(union, prog="duhamel", description=DESCRIPTION, args=words or ["--help"], config=config)
    _check_target(command)
    return command.run()


def _check_target(command: Any) -> None:
    """Before any work: the file to write to is none yet, or a regular one that may be written over."""
    while hasattr(command, "command"):
        command = command.command
    for option in ("json", "to"):
        path = getattr(command, option, None)
        if path is not None and regular(path).exists() and not command.force:
            raise ValueError(f"{path} exists; add --force to write over it, or name another file.")


def _check(words: list[str], known: Iterable[str], what: str) -> None:
    """A name that does not exist gets the nearest ones; everything else is left to tyro."""
    if words and not words[0].startswith("-") and words[0] not in known:
        raise ValueError(f"there is no {what} {words[0]!r}; {nearest(words[0], known)}")
