"""`duhamel data`: data sets of partial equations, published or new, in the layouts of their projects."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.pde.axes.trigonometric import Sine
from duhamel.pde.data.files import check_layout, check_packages, read
from duhamel.pde.data.generation import Plan, generate, plan
from duhamel.pde.data.recipe import Recipe
from duhamel.pde.data.standards import STANDARDS, standard
from duhamel.pde.grid import Grid
from duhamel.pde.space import Space
from duhamel.report.console import Steps, records, say
from duhamel.report.nearest import nearest
from duhamel.report.page import duration
from duhamel.report.record import Record, check_json, write_json

from .partial import METHODS, PARTIAL
from .run import at_least
from .wish import given

INITIAL = {  # where waves of both signs, drawn for every unknown, are not what the equation is about
    "burgers": "pdebench",
    "fisher-kpp": "concentration",
    "fitzhugh-nagumo": "noise",
    "gray-scott": "patches",
    "navier-stokes-3d": "solenoidal",
}


@dataclass(frozen=True)
class Wish:
    """What is wanted of a data set; None: the equation's own, or the published set's."""

    samples: int | None = None
    t1: float | None = None
    frames: int | None = None
    points: int | None = None
    length: float | None = None
    initial: str | None = None
    walls: str | None = None
    parameters: tuple[str, ...] = ()
    steps: int | None = None
    method: str | None = None
    single: bool = False
    seed: int = 0
    layout: str | None = None
    shard: int | None = None


def generate_data(
    equation: str,
    wish: Wish = Wish(),
    *,
    out: Path | None = None,
    only_plan: bool = False,
    json: Path | None = None,
) -> Recipe:
    """Plan a data set, say what it costs, and, unless only the plan is wanted, write it with a progress bar."""
    check_json(json)
    if wish.layout is not None:
        check_layout(wish.layout)
    recipe = make_recipe(equation, wish)
    if not only_plan:
        check_packages(recipe.layout)
    folder = Path("data") / equation if out is None else out
    planned = plan(recipe, folder, measure=only_plan)
    found = plan_records(recipe, planned)
    if only_plan:
        records(found, f"plan of {recipe.samples} samples of {equation} for {folder}")
    else:
        with Steps([folder.name]) as bar:
            paths = generate(recipe, folder, bar.start(folder.name))
            bar.finish(folder.name, f"{recipe.samples} samples in {len(paths)} files")
        size = sum(p.stat().st_size for path in paths for p in ([path] if path.is_file() else path.rglob("*")))
        found.append(Record("written", size / 1e6, "MB"))
        records(found[-1:])
        say(f"The data: {folder}; `duhamel data show {folder}` reads them.")
    if json is not None:
        write_json(json, found)
    return recipe


def make_recipe(equation: str, wish: Wish) -> Recipe:
    """A recipe with what was not said filled in from a published set or from the catalogue of `duhamel solve`."""
    if equation in STANDARDS:
        return published(equation, wish)
    if equation not in PARTIAL:
        raise ValueError(
            f"no partial equation and no published set is called {equation!r}; "
            f"{nearest(equation, [*PARTIAL, *STANDARDS])}"
        )
    known = {name.lower(): name for name in METHODS}
    word = given(wish.method, "etdrk4").lower()
    if word not in known:
        raise ValueError(f"no method for partial equations is called {wish.method!r}; {nearest(word, known)}")
    usual = PARTIAL[equation]
    box = usual.box(at_least(given(wish.points, usual.points), 4))
    periodic, fixed = isinstance(box, Grid), isinstance(box, Space) and all(isinstance(a, Sine) for a in box.parts)
    t1 = usual.t1 if wish.t1 is None else wish.t1
    frames = 51 if wish.frames is None else wish.frames
    if frames < 2:
        raise ValueError(f"frames = {frames}; the first field and one later make 2.")
    steps = wish.steps
    if steps is None:
        steps = max(1, int(np.ceil(t1 / (frames - 1) / usual.dt * (1 - 1e-9))))
    recipe = Recipe(
        equation,
        100 if wish.samples is None else wish.samples,
        t1,
        frames,
        box.shape,
        box.length if wish.length is None else (float(wish.length),) * box.dim,
        steps,
        dict(map(parameter, wish.parameters)),
        given(wish.initial, INITIAL.get(equation, "apebench")),
        known[word],
        wish.seed,
        box.start if wish.length is None else (),
        given(wish.walls, "periodic" if periodic else "fixed" if fixed else "insulated"),
        given(wish.layout, "well"),
        double=not wish.single,
        shard=wish.shard,
    )
    recipe.check()
    return recipe


def published(name: str, wish: Wish) -> Recipe:
    """The recipe of a published set, with what was said changed; a shorter set keeps the times between frames."""
    usual = STANDARDS[name].recipe
    if wish.initial is not None or wish.walls is not None or wish.length is not None:
        raise ValueError(
            f"{name} has first fields, walls and a length of its own; ask for the equation to choose them."
        )
    if wish.method is not None:
        raise ValueError(f"method = {wish.method!r}: {name} is solved by {usual.program.method(usual)}.")
    said: dict[str, Any] = {
        "t1": wish.t1,
        "frames": wish.frames,
        "steps_per_frame": wish.steps,
        "layout": wish.layout,
        "shard": wish.shard,
    }
    if wish.t1 is not None and wish.frames is None and not usual.program.steady:
        said["frames"] = max(2, round(wish.t1 / (usual.t1 / (usual.frames - 1))) + 1)
    if wish.points is not None:
        said["points"], said["keep_every"] = (wish.points,) * len(usual.points), 1
    if wish.parameters:
        said["parameters"] = {**usual.parameters, **dict(map(parameter, wish.parameters))}
    kept = {key: value for key, value in said.items() if value is not None}
    recipe = standard(name, wish.samples, wish.seed, double=not wish.single, **kept)
    recipe.check()
    return recipe


def list_data(json: Path | None = None) -> None:
    """Print the published sets."""
    check_json(json)
    found = []
    for name, one in STANDARDS.items():
        say(f"{name}: {one.published}. {one.source}. {one.error}")
        found.append(Record(name, one.recipe.samples, "samples", more={"published": one.published, "error": one.error}))
    if json is not None:
        write_json(json, found)


def parameter(text: str) -> tuple[str, Any]:
    """("viscosity", 0.01) of "viscosity=0.01", ("viscosity", (0.01, 0.1)) of "viscosity=0.01:0.1"."""
    name, equals, value = text.partition("=")
    try:
        numbers = tuple(float(v) for v in value.split(":"))
    except ValueError:
        numbers = ()
    if not equals or len(numbers) not in (1, 2) or not np.all(np.isfinite(numbers)):
        raise ValueError(f"parameter {text!r} is not NAME=NUMBER or NAME=LOW:HIGH, such as viscosity=0.01:0.1.")
    return name, numbers[0] if len(numbers) == 1 else numbers


def plan_records(recipe: Recipe, planned: Plan) -> list[Record]:
    found = [
        Record("samples", recipe.samples),
        Record("shards", planned.shards),
        Record("samples in a shard", planned.samples_per_shard),
        Record("samples solved at once", planned.batch),
        Record("steps of a sample", recipe.steps),
        Record("a sample", planned.bytes_per_sample / 1e6, "MB"),
        Record("a shard", planned.shard_bytes / 1e6, "MB"),
        Record("in all", planned.total_bytes / 1e6, "MB"),
    ]
    if planned.free_bytes is not None:
        found.append(Record("free on the disk", planned.free_bytes / 1e6, "MB"))
    if planned.seconds is not None and planned.memory is not None:
        found.append(Record("memory", planned.memory / 1e6, "MB"))
        found.append(Record("compiling", planned.compile_seconds, "s"))
        found.append(Record("solving, estimated", planned.seconds, "s", more={"in words": duration(planned.seconds)}))
    return found


def show_data(path: Path, json: Path | None = None) -> None:
    """Print what a data set holds."""
    check_json(json)
    data = read(path)
    say(f"{data.name}: {data.samples} samples, {len(data.times)} times from {data.times[0]:g} to {data.times[-1]:g}")
    for axis, x, kind in zip(data.axes, data.coordinates, data.boundaries, strict=True):
        say(f"{axis}: {len(x)} points from {x[0]:g} to {x[-1]:g}, {kind}")
    for name, value in data.parameters.items():
        shown = f"{np.min(value):g} to {np.max(value):g}" if np.ndim(value) else f"{value:g}"
        say(f"{name} = {shown}")
    found = []
    for name in data.names:
        u = data[name]
        found += [
            Record(f"{name}, root mean square", float(np.sqrt(np.mean(u.astype(float) ** 2)))),
            Record(f"{name}, least", float(u.min())),
            Record(f"{name}, greatest", float(u.max())),
        ]
    records(found)
    for name, value in data.provenance.items():
        say(f"{name}: {value}")
    if json is not None:
        write_json(json, found)
