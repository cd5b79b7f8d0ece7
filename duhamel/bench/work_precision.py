"""Work-precision diagrams: error at the end against time and evaluations, for ours and every peer that is installed.

Every side solves every problem at a ladder of tolerances (atol = rtol * scale of the problem). Calls are compiled
beforehand, then timed in rounds in which all sides take turns, so that a busy machine hits all of them; the least time
counts. A ratio is taken at equal error, not at equal tolerance: log time is interpolated linearly in log error on each
side, ours is the quickest of our methods at that error, and the ratio is the geometric mean over the errors that both
reach.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from duhamel.core.extras import install
from duhamel.core.precision import enable_x64
from duhamel.problems.bari import BARI
from duhamel.problems.detest import DETEST
from duhamel.problems.known import InitialValueProblem
from duhamel.report.chapter import Figure
from duhamel.report.context import Context
from duhamel.report.figure import PALETTE, style
from duhamel.report.record import Record

from .measure import machine
from .peers import MAKERS, Side, missing, sides

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROBLEMS = ("A3", "B5", "C4", "C5", "D3", "D5", "E2", "PLEIADES", "HIRES", "ROBER", "OREGO", "VDPOL", "POLLU", "RING")
TOLERANCES = tuple(10.0**-k for k in range(3, 13))
QUICK = {"problems": ("B5", "HIRES"), "tolerances": (1e-4, 1e-6, 1e-8, 1e-10)}
ROUNDS, BUDGET = 7, 2.0  # turns of each side; seconds after which a call is not repeated
PATIENCE = 5.0  # seconds of one call after which a side is spared tighter tolerances
COLUMNS = {
    "at equal error": "name",
    "duhamel, ms": "value",
    "with": "method",
    "peer, ms": "peer_value",
    "ratio": "ratio",
    "lowest": "lowest",
    "highest": "highest",
    "from error": "error",
    "to": "error_to",
}
CAPTION = "Geometric means over the errors that both sides reach; lowest and highest ratio among them."


class Point(dict):
    """One solve: problem, package, method, rtol, error, seconds, nfe."""


def run(
    *,
    quick: bool = False,
    progress: Callable[[str], None] | None = None,
    problems: Iterable[str] | None = None,
    packages: Iterable[str] | None = None,
    tolerances: Sequence[float] | None = None,
) -> list[dict]:
    """A record per problem and peer's method (the ratio), each with the points it was made of.

    problems, packages, tolerances  only these
    """
    say = progress or (lambda text: None)
    for package in missing():
        print(f"{package} is not installed and is left out; {install('bench')} installs what can be.")
    names = tuple(problems or (QUICK["problems"] if quick else PROBLEMS))
    ladder = tuple(tolerances or (QUICK["tolerances"] if quick else TOLERANCES))
    records = []
    with enable_x64(True):
        for name in names:
            problem = DETEST.get(name) or BARI[name]
            points = measure(problem, sides(problem.stiff, packages), ladder, say)
            records += compare(name, points)
    return records


def measure(
    problem: InitialValueProblem, rivals: Sequence[Side], tolerances: Sequence[float], say: Callable[[str], None]
) -> list[Point]:
    """Every side at every tolerance. A side that cannot take the problem is left out, and says why."""
    points, calls = [], []
    for side in rivals:
        say(f"{problem.name}: {side.name}")
        try:
            solve = side.make(problem)
            for rtol in tolerances:
                solve(rtol) if rtol == tolerances[0] else None  # compile
                begin = time.perf_counter()
                x, nfe = solve(rtol)
                took = time.perf_counter() - begin
                error = problem.error(x)
                point = Point(
                    problem=problem.name,
                    package=side.package,
                    method=side.method,
                    rtol=rtol,
                    error=error if np.isfinite(error) else None,
                    seconds=took,
                    nfe=nfe,
                )
                points.append(point)
                calls.append((point, solve))
                if took > PATIENCE:
                    break
        except Exception as fault:
            print(
                f"{problem.name}: {side.name} is left out ({type(fault).__name__}: {str(fault).splitlines()[0][:90]})"
            )
    for turn in range(1, ROUNDS + 1):
        for point, solve in calls:
            if turn * point["seconds"] < BUDGET:
                begin = time.perf_counter()
                solve(point["rtol"])
                point["seconds"] = min(point["seconds"], time.perf_counter() - begin)
    return points


def frontier(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """(log error, log seconds) of one method, errors growing; a point that another one beats in both is left out."""
    kept: list[tuple[float, float]] = []
    usable = [p for p in points if p["error"]]
    for error, seconds in sorted((np.log10(p["error"]), np.log10(p["seconds"])) for p in usable):
        if not kept or seconds < kept[-1][1]:
            kept.append((error, seconds))
    return np.array([e for e, _ in kept]), np.array([s for _, s in kept])


def seconds_at(points: Sequence[Point], errors: np.ndarray) -> np.ndarray:
    """Log seconds for log errors by linear interpolation; infinite where the method does not reach the error.

    An error larger than any measured one costs what the loosest solve costs.
    """
    e, s = frontier(points)
    if not len(e):
        return np.full(errors.shape, np.inf)
    return np.interp(errors, e, s, left=np.inf, right=s[-1])


def compare(problem: str, points: Sequence[Point]) -> list[dict]:
    """One record per peer's method: its time over that of our quickest method, at equal error."""
    of: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        of.setdefault((point["package"], point["method"]), []).append(point)
    ours = {method: series for (package, method), series in of.items() if package == "duhamel"}
    records = []
    for (package, method), series in of.items():
        base = {
            "name": f"{problem}: {package} {method}",
            "unit": "ms",
            "problem": problem,
            "machine": machine(),
            "points": [dict(point) for point in series],
        }
        if package == "duhamel":
            records.append(base | {"value": None, "error": None, "hidden": True})
            continue
        records.append(base | {"peer": package, "peer_version": version(package), **_ratio(ours, series)})
    return records


def _ratio(ours: dict[str, list[Point]], series: list[Point]) -> dict[str, Any]:
    errors, _ = frontier(series)
    nothing: dict[str, Any] = dict.fromkeys(("value", "error", "error_to", "ratio", "peer_value", "lowest", "highest"))
    if not ours or not len(errors):
        return nothing
    reach = min(frontier(points)[0].min(initial=np.inf) for points in ours.values())
    low, high = max(errors.min(), reach), errors.max()
    if low > high:
        return nothing
    levels = np.linspace(low, high, 11)
    each = {method: seconds_at(points, levels) for method, points in ours.items()}
    best = np.min(list(each.values()), axis=0)
    wins = [min(each, key=lambda method: each[method][i]) for i in range(len(levels))]
    theirs = seconds_at(series, levels)
    ratio = theirs - best
    return {
        "value": 1e3 * 10 ** float(best.mean()),
        "method": max(sorted(set(wins)), key=wins.count),
        "peer_value": 1e3 * 10 ** float(theirs.mean()),
        "ratio": 10 ** float(ratio.mean()),
        "lowest": 10 ** float(ratio.min()),
        "highest": 10 ** float(ratio.max()),
        "error": 10 ** float(high),
        "error_to": 10 ** float(low),
    }


COLOURS = dict(zip(MAKERS, PALETTE, strict=True)) | {"torchsde": PALETTE[4]}
MARKERS = ("o", "s", "^", "D", "v")


def figures(records: Sequence[Record], context: Context) -> tuple[Figure, ...]:
    """One figure per problem: error against time, and against evaluations where they are counted."""
    import matplotlib.pyplot as plt

    drawn = []
    for name in dict.fromkeys(record.more["problem"] for record in records if record.more["points"]):
        series = [record.more["points"] for record in records if record.more["problem"] == name]
        with style():
            figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), sharey=True, layout="constrained")
            _draw(left, series, "seconds", 1e3)
            _draw(right, series, "nfe", 1.0)
            left.set(xlabel="time, ms", ylabel="error at the end", title=name)
            right.set(xlabel="evaluations of f (SDE: steps)")
            handles, labels = left.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside right upper", fontsize=8)
        caption = f"{name}: towards the lower left is better. A point is a tolerance; on the right, those that count."
        drawn.append(
            Figure(str(context.figure(f"work-precision-{name.replace(', ', '-').replace(' ', '-')}", figure)), caption)
        )
    return tuple(drawn)


def _draw(axes: "Axes", series: Sequence[Sequence[Any]], key: str, factor: float) -> None:
    from matplotlib.ticker import NullFormatter

    seen: dict[str, int] = {}
    for points in series:
        package = points[0]["package"]
        seen[package] = seen.get(package, -1) + 1
        shown = [(factor * p[key], p["error"]) for p in points if p[key] and p["error"]]
        style = {"color": COLOURS[package], "marker": MARKERS[seen[package] % 5], "markersize": 4}
        width = 1.9 if package == "duhamel" else 1.0
        if shown:
            axes.loglog(*zip(*shown, strict=True), label=f"{package} {points[0]['method']}", linewidth=width, **style)
    axes.xaxis.set_minor_formatter(NullFormatter())
