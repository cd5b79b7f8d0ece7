"""The data sets that emulators are compared on, as recipes: each with its publication's numbers, small unless told.

    recipe = standard("pdebench-burgers", samples=4)
    paths = generate(recipe, "data/burgers")

What is not the publication's is the method (theirs are of second order for the most part; every one of these is
converged, to the figures of `Standard.error`) and the random numbers: the law is theirs, the draws are not.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from .recipe import Recipe


@dataclass(frozen=True)
class Standard:
    """A published set.

    recipe     with the publication's numbers, and a few samples
    published  how many samples, on how many points, the publication has
    source     where the numbers stand
    error      largest relative L2 distance of a frame to a finer run of the same samples
    """

    recipe: Recipe
    published: str
    source: str
    error: str


def standard(name: str, samples: int | None = None, seed: int = 0, **changes: Any) -> Recipe:
    """The recipe of a published set; `changes` as `dataclasses.replace` takes them: points, t1, frames, layout, ..."""
    found = STANDARDS.get(name.lower().replace("_", "-"))
    if found is None:
        near = difflib.get_close_matches(name.lower(), STANDARDS, 3, 0.3) or list(STANDARDS)
        raise ValueError(f"no published set is called {name!r}; did you mean {' or '.join(near)}?")
    recipe = found.recipe
    if "points" in changes and "batch" not in changes:
        changes["batch"] = 0  # chosen again for the size
    return replace(recipe, samples=recipe.samples if samples is None else samples, seed=seed, **changes)


def finer(recipe: Recipe) -> Recipe:
    """The same samples at the same points, from two (between walls three) times the points and twice the steps."""
    k = 2 if recipe.walls == "periodic" else 3
    return replace(
        recipe,
        points=tuple(k * n for n in recipe.points),
        keep_every=k * recipe.keep_every,
        steps_per_frame=2 * recipe.steps_per_frame,
    )


FNO = "Li et al., Fourier neural operator, ICLR 2021, appendix A.3, and the generators published with it"
PDEBENCH = "Takamoto et al., PDEBench, NeurIPS 2022, appendix D, and the configurations of its generators"
WELL = "Ohana et al., The Well, NeurIPS 2024, and the generator published with its Gray-Scott set"

PATTERNS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "gliders": (0.014, 0.054),
        "bubbles": (0.098, 0.057),
        "maze": (0.029, 0.057),
        "worms": (0.058, 0.065),
        "spirals": (0.018, 0.051),
        "spots": (0.03, 0.062),
    }
)
"""(feed, kill) of The Well's six sets."""


def _fno() -> dict[str, Standard]:
    burgers = Recipe("burgers", 8, 1.0, 2, (8192,), (1.0,), 400, {"viscosity": 0.1}, "fno-burgers", layout="fno")
    darcy = Recipe("darcy", 4, 1.0, 1, (421, 421), (1.0, 1.0), 1, {}, "fno-darcy", walls="insulated", layout="fno")
    sets = {
        "fno-burgers": Standard(
            replace(burgers, keep_every=8, batch=8), "2048 samples on 8192 points", FNO, "1e-8 at t = 1"
        ),
        "fno-darcy": Standard(
            replace(darcy, keep_every=5, batch=1),
            "2048 samples on 421 x 421 points",
            FNO,
            "8e-4, the material held on its cells and those halved",
        ),
    }
    for word, viscosity, t1, count, error in (
        ("1e-3", 1e-3, 50, 5000, "6e-9 from t = 1 to 10, between 64 x 64 and 128 x 128 points"),
        ("1e-4", 1e-4, 30, 10000, "6e-8 from t = 2 to 6, between 128 x 128 points and these"),
        ("1e-5", 1e-5, 20, 1200, "2e-3 to t = 6, between 128 x 128 points and these; 8e-7 from halved steps"),
    ):
        force = {"viscosity": viscosity, "forcing": 0.1, "forcing_mode": 1, "force": "diagonal"}
        flow = Recipe("navier-stokes-2d", 2, float(t1), t1 + 1, (256, 256), (1.0, 1.0), 100, force, "fno-navier-stokes")
        flow = replace(flow, layout="fno", keep_every=4, batch=1)
        published = f"{count} samples, solved on 256 x 256 points, 64 x 64 kept"
        sets[f"fno-navier-stokes-{word}"] = Standard(flow, published, FNO, error)
    return sets


def _line(equation: str, t1: float, steps: int, parameters: dict[str, Any], initial: str = "pdebench") -> Recipe:
    """1024 cells of the unit interval, values at their centres, every 0.01."""
    frames, middle = round(100 * t1) + 1, (0.5 / 1024,)
    points, one = (1024,), (1.0,)
    return Recipe(
        equation, 4, t1, frames, points, one, steps, parameters, initial, start=middle, layout="pdebench", batch=4
    )


def _pdebench() -> dict[str, Standard]:
    published, square = "10000 samples on 1024 points", {"start": (-1.0, -1.0), "walls": "insulated"}
    noise = {"dealias": 1.0, "diffusivity_u": 1e-3, "diffusivity_v": 5e-3, "threshold": 5e-3}
    species = Recipe("fitzhugh-nagumo", 2, 5.0, 101, (128, 128), (2.0, 2.0), 20, noise, "noise", **square)
    dam = Recipe("shallow-water", 2, 1.0, 101, (128, 128), (5.0, 5.0), 1, {"gravity": 1.0}, "dam-break")
    dam = replace(dam, start=(-2.5, -2.5), walls="open", layout="pdebench", batch=1)
    return {
        "pdebench-advection": Standard(
            _line("advection", 2.0, 1, {"velocity": 0.1}), published, PDEBENCH, "4e-4, where |u| has kinks"
        ),
        "pdebench-burgers": Standard(
            _line("burgers", 2.0, 50, {"viscosity": float(0.01 / np.pi)}),
            published,
            PDEBENCH,
            "3e-4 at first, where |u| has kinks, then 3e-5",
        ),
        "pdebench-reaction-diffusion-1d": Standard(
            _line("fisher-kpp", 1.0, 20, {"diffusivity": 0.5, "growth": 1.0}, "unit-sines"),
            published,
            PDEBENCH,
            "2e-4 at first, where |u| has kinks, then 4e-6",
        ),
        "pdebench-diffusion-reaction": Standard(
            replace(species, layout="pdebench"),
            "1000 samples on 128 x 128 points",
            PDEBENCH,
            "2e-2, for the same cosines on 384 x 384 points; 9e-7 from halved steps",
        ),
        "pdebench-shallow-water": Standard(
            dam, "1000 samples on 128 x 128 points", PDEBENCH, "1e-2, on 384 x 384 points"
        ),
    }


def _well() -> dict[str, Standard]:
    """On twice the published points, of which every second is kept: fronts are about as wide as 1/64 of the square."""
    sets, error = {}, "2e-3 until t = 40, measured for the maze; 7e-2 on the published points"
    for name, (feed, kill) in PATTERNS.items():
        numbers = {"feed": feed, "kill": kill, "diffusivity_u": 2e-5, "diffusivity_v": 1e-5, "dealias": 2 / 3}
        recipe = Recipe("gray-scott", 1, 10000.0, 1001, (256, 256), (2.0, 2.0), 10, numbers, "clusters")
        recipe = replace(
            recipe, start=(-1.0, -1.0), called={"u": "A", "v": "B", "feed": "F", "kill": "k"}, keep_every=2
        )
        sets[f"well-gray-scott-{name}"] = Standard(recipe, "200 samples on 128 x 128 points", WELL, error)
    return sets


STANDARDS: dict[str, Standard] = _fno() | _pdebench() | _well()
