"""`duhamel solve`: an equation by name, drawn, with its error against somebody else's truth."""

from pathlib import Path

from duhamel.core.precision import enable_x64
from duhamel.report.chapter import Chapter
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.record import check_json

from . import conserved, ordinary, partial, steady
from .perform import perform
from .wish import Wish as Wish, given


def solve_equation(
    equation: str,
    wish: Wish = Wish(),
    *,
    json: Path | None = None,
    name: str | None = None,
    root: str | Path = DEFAULT_ROOT,
) -> Chapter:
    """Solve an equation of the catalogue in float64; print, draw and store what came out."""
    check_json(json)
    known = [*ordinary.ORDINARY, *partial.PARTIAL, *conserved.CONSERVED, *steady.STEADY]
    if equation not in known:
        raise ValueError(f"no equation is called {equation!r}; {nearest(equation, known)}")
    with enable_x64(True):
        if equation in ordinary.ORDINARY:  # mistakes in the wish stop here, before a folder is made
            work = ordinary.prepare(ordinary.ORDINARY[equation], wish)
        elif equation in conserved.CONSERVED:
            work = conserved.prepare(conserved.CONSERVED[equation], wish)
        elif equation in steady.STEADY:
            work = steady.prepare(equation, wish)
        else:
            work = partial.prepare(partial.PARTIAL[equation], wish)
        run = Run.create(
            given(name, f"solve-{equation}"), {"command": "solve", "equation": equation, **vars(wish)}, root
        )
        return perform(run, f"solve {equation}", work, json=json)
