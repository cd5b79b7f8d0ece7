"""`duhamel plan tree`: which published samplers are one and the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from duhamel.diffusion.plans.family import ROUNDING, STEPS, Member, Tree, members, tree
from duhamel.report.chapter import Chapter, Figure, Table
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.record import Record, check_json
from duhamel.rows.canonical import difference

from .perform import perform

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

CASE = "VP, equal steps in lambda"  # whose distances the figure shows
FAR = 10.0  # stands for plans that call the model at other times, whose tables have no distance


def family_tree(json: Path | None = None, name: str = "tree", root: str | Path = DEFAULT_ROOT) -> Chapter:
    """The families of equal plans, with a page and a figure in runs/NAME/."""
    check_json(json)
    run = Run.create(name, {"command": "plan tree"}, root)
    found: list[Tree] = []

    def work(context: Context) -> Chapter:
        context.progress("canonical forms of every sampler", 0.0)
        found.append(tree(members()))
        context.progress("drawing", 0.8)
        return chapter(found[0], context)

    return perform(
        run,
        "plan tree",
        work,
        json=json,
        log=False,
        to_records=lambda _: records(found[0]),
        in_words=lambda: text(found[0]),
    )


def chapter(found: Tree, context: Context) -> Chapter:
    """The tree as a chapter: tables of what coincides always, from some step on, or on some grids, and the figure."""
    figure = context.figure("tree", draw(found))
    families = tuple((f.head.label, ", ".join(m.label for m in f.others)) for f in found.families)
    later = tuple((a.label, b.label) for a, b in found.later)
    sometimes = tuple(
        (case, "; ".join(f"{a.label} = {b.label}" for a, b in same)) for case, same in found.sometimes.items()
    )
    count = sum(len(f.members) for f in found.families)
    return Chapter(
        id="tree",
        title="The family tree of samplers",
        question="A plan's canonical form says what it does, whatever rows it is written in: every evaluation point as "
        f"a sum of the values before. {count} samplers, published or with options, are {len(families)} methods, on "
        f"every schedule and grid tried; {len(found.alone)} more stand alone.",
        tables=(
            Table(("method", "is also"), families, "Equal to rounding on five schedules and grids."),
            Table(("after its first steps", "is"), later, "Alike in all but their start."),
            Table(("only with", "these coincide"), sometimes, "Equal on some grids or schedules alone."),
        ),
        figures=(
            Figure(str(figure), "Largest difference of two canonical forms: names that join on the left are one."),
        )
        if figure
        else (),
    )


def text(found: Tree) -> str:
    """The tree for a terminal: under each method, one line for every sampler that is it with the options named."""
    lines = []
    for family in found.families:
        branches: dict[str, list[str]] = {}
        for member in family.others:
            options = ", ".join(f"{key}={value!r}" for key, value in member.options.items())
            branches.setdefault(member.sampler, []).append(options)
        lines.append(family.head.label)
        lines += _branches([f"{name}{_with(options)}" for name, options in branches.items()])
    for a in {id(a): a for a, _ in found.later}.values():
        lines.append(f"{a.label}, after its first steps")
        lines += _branches([b.label for c, b in found.later if c is a])
    for case, same in found.sometimes.items():
        lines.append(f"only with {case}")
        lines += _branches([f"{a.label} = {b.label}" for a, b in same])
    return "\n".join([*lines, f"Alone: {', '.join(member.label for member in found.alone)}."])


def _branches(names: list[str]) -> list[str]:
    return [f" {'└' if n == len(names) else '├'}─ {name}" for n, name in enumerate(names, start=1)]


def _with(options: list[str]) -> str:
    given = [option for option in options if option]
    return f" with {'; '.join(given)}" if given else ""


def records(found: Tree) -> list[Record]:
    """The edges "sampler with options is head", the pairs alike at the end, and those of single cases."""
    more = [Record(f"{e['sampler']} {e['options'] or ''}".strip(), e["is"], more=e) for e in found.edges]
    more += [Record(b.label, a.label, more={"relation": "alike after the first steps"}) for a, b in found.later]
    return more + [
        Record(b.label, a.label, more={"relation": "equal here alone", "case": case})
        for case, same in found.sometimes.items()
        for a, b in same
    ]


def draw(found: Tree) -> "Drawing":
    """A dendrogram over the logarithm of the distance: families join at rounding, the others far to the right."""
    import matplotlib.pyplot as plt
    from scipy.cluster.hierarchy import dendrogram, linkage

    shown = [m for f in found.families for m in f.members] + [m for m in found.alone if not m.options]
    colours = {m.label: PALETTE[n % len(PALETTE)] for n, f in enumerate(found.families) for m in f.members}
    joins = linkage([_height(a, b) for n, a in enumerate(shown) for b in shown[n + 1 :]], "single")
    with style():
        figure, axes = plt.subplots(figsize=(9.0, 0.155 * len(shown) + 1.0), layout="constrained")
        names = [m.label for m in shown]
        drawn: Any = dendrogram(joins, labels=np.array(names), orientation="right", ax=axes, no_plot=False)
        for line in axes.collections:
            line.set(color="#777777", linewidth=1.0)
        axes.invert_xaxis()
        axes.yaxis.tick_left()
        axes.yaxis.set_label_position("left")
        for text in axes.get_yticklabels():
            text.set(color=colours.get(text.get_text(), "#444444"), fontsize=7.5)
        ticks = [0, 4, 8, 12, 16, 17]
        axes.set_xticks(ticks, ["$10^{-16}$", "$10^{-12}$", "$10^{-8}$", "$10^{-4}$", "1", "other\ncalls"])
        axes.axvline(np.log10(ROUNDING) + 16, color=PALETTE[1], linewidth=1, linestyle=":")
        axes.set(xlim=(-0.2, 17.4), xlabel=f"largest difference of the tables ({STEPS} steps, {CASE})")
        axes.set_title("Which samplers are one")
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    assert len(drawn["ivl"]) == len(shown)
    return figure


def _height(a: Member, b: Member) -> float:
    """log10 of the difference, from 0 at 1e-16."""
    gap = difference(a.forms[CASE], b.forms[CASE])
    return float(np.log10(np.clip(gap if np.isfinite(gap) else FAR, 1e-16, FAR)) + 16)
