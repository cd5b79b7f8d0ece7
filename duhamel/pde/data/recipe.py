"""What a data set is made of, and the solver of its batches."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

import duhamel as dh
from duhamel.core.grid import Number
from duhamel.core.seed import check_seed
from duhamel.pde.axes.trigonometric import Cosine, Sine
from duhamel.pde.equation import Box
from duhamel.pde.grid import periodic
from duhamel.pde.space import box

from .files import SUFFIXES
from .gaussian import GaussianField, TruncatedFourier
from .initial import Boundary, Sampler
from .named import sampler_named
from .pdebench import SEED_SUFFIX, seeds_apart
from .programs import PROGRAMS, Program, Spectral
from .trajectories import Trajectories

WALLS: dict[str, tuple[Any, Boundary, str]] = {  # axis, waves of the first fields, word in a file
    "periodic": (None, "periodic", "periodic"),
    "insulated": (Cosine, "neumann", "wall"),
    "fixed": (Sine, "dirichlet", "wall"),
    "open": (Cosine, "neumann", "open"),
}
BATCH_BYTES = 2**25  # fields of a batch, in double precision: they stay in the caches' reach
MOST = 64  # lanes of a batch


@dataclass(frozen=True)
class Recipe:
    """A data set: everything that its numbers depend on, all of which JSON can hold.

    equation    by the name of `pde.equation_named`, or shallow-water (finite volumes), or darcy (steady: one frame)
    parameters  of the equation: a number, or (low, high), uniform, one for each sample
    samples     how many;   seed  the same seed gives the same samples
    t1, frames  fields are kept at `frames` equally spaced times from 0 to t1
    points, length   of every axis of the box;   start  of every axis, 0 if not given
    walls       periodic, insulated (du/dn = 0: cosines), fixed (u = 0: sines) or open (waves leave), on every side
    steps       of the method between two frames: steps_per_frame
    initial     by the name of `sampler_named`
    keep_every  so many points are solved along an axis for one that is kept
    called      names in the file of fields and parameters, where a publication has its own
    layout      well, pdebench, fno, zarr or netcdf;   dtype  of the file, float32 or float64
    double      solve in double precision
    shard       samples in a file (None: about a quarter of a gigabyte);   batch  samples solved at once
    """

    equation: str
    samples: int
    t1: Number
    frames: int
    points: tuple[int, ...]
    length: tuple[float, ...]
    steps_per_frame: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    initial: str = "apebench"
    method: str = "ETDRK4"
    seed: int = 0
    start: tuple[float, ...] = ()
    walls: str = "periodic"
    layout: str = "well"
    dtype: str = "float32"
    double: bool = True
    shard: int | None = None
    batch: int = 0
    keep_every: int = 1
    called: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("samples", "steps_per_frame", "keep_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be at least 1.")
        check_seed(self.seed)
        steady = self.program.steady
        if steady and self.frames != 1:
            raise ValueError(f"frames = {self.frames}; {self.equation} is steady, so frames = 1.")
        if self.frames < 2 and not steady:
            raise ValueError(f"frames = {self.frames}; the first field and one later make 2.")
        if not (np.isfinite(self.t1) and self.t1 > 0):
            raise ValueError(f"t1 = {self.t1}; data are solved forwards, to a finite time above 0.")
        if self.shard is not None and self.shard < 1:
            raise ValueError(f"shard = {self.shard} samples in a file; it must be at least 1.")
        if self.walls not in WALLS:
            raise ValueError(f"walls = {self.walls!r}; say one of {', '.join(WALLS)}.")
        if not self.start:
            object.__setattr__(self, "start", (0.0,) * len(self.points))
        if not len(self.points) == len(self.length) == len(self.start):
            raise ValueError(
                f"points = {self.points}, length = {self.length}, start = {self.start}: give one of each for an axis."
            )
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype = {self.dtype!r}; files hold float32 or float64.")
        if self.batch < 1:
            one = 8 * int(np.prod(self.sizes()))
            object.__setattr__(self, "batch", max(1, min(MOST, 2 ** int(np.log2(max(1, BATCH_BYTES // one))))))

    def check(self) -> None:
        """Build everything that can be wrong: equation, parameters, grid, first fields, method."""
        self.program.check(self)
        found = jax.eval_shape(lambda key: self.sampler()(key, self.grid()), jax.random.key(0)).shape
        wanted = self.program.first_shape(self)
        if found != wanted:
            raise ValueError(
                f"initial = {self.initial!r} gives fields of shape {found}, and {self.equation} wants {wanted}; choose "
                "another."
            )

    @property
    def program(self) -> Program:
        """How this equation is solved."""
        return PROGRAMS.get(self.equation, Spectral())

    @property
    def steps(self) -> int:
        return self.steps_per_frame * max(1, self.frames - 1)

    def times(self) -> np.ndarray:
        return np.linspace(0.0, float(self.t1), self.frames)

    def grid(self) -> Box:
        if self.walls == "periodic":
            return periodic(self.points, self.length, self.start)
        axis = WALLS[self.walls][0]
        return box(*(axis(*each) for each in zip(self.points, self.length, self.start, strict=True)))

    def build(self, values: Mapping[str, Any] | None = None) -> Any:
        """The equation; parameters that vary take `values`, or the middle of their range."""
        middle = {n: v if np.ndim(v) == 0 else 0.5 * sum(v) for n, v in self.parameters.items()}
        return self.program.build(self, middle | dict(values or {}))

    def varied(self) -> dict[str, tuple[float, float]]:
        return {n: (float(v[0]), float(v[1])) for n, v in self.parameters.items() if np.ndim(v)}

    def sizes(self) -> tuple[int, ...]:
        """(frames, *points, names) of one sample in the file."""
        return (
            self.frames,
            *(len(range(n)[s]) for n, s in zip(self.points, self.kept(), strict=True)),
            len(self.names()),
        )

    def kept(self) -> tuple[slice, ...]:
        """Points of each axis that go to the file: from the first of a period on, and symmetric between walls."""
        k = self.keep_every
        return tuple(slice(0 if self.walls == "periodic" else (n - 1) % k // 2, None, k) for n in self.points)

    def names(self) -> tuple[str, ...]:
        return tuple(self.called.get(name, name) for name in self.program.names(self))

    def suffix(self) -> str:
        """Of its files: the layout's."""
        if self.layout == "pdebench" and seeds_apart(self.names(), len(self.points), self.frames):
            return SEED_SUFFIX
        return SUFFIXES[self.layout]

    def sampler(self) -> Sampler:
        """The first fields, with waves that fit between the walls; one draw for each unknown of the equation."""
        found = sampler_named(self.initial)
        if isinstance(found, GaussianField | TruncatedFourier) and found.boundary == "periodic":
            found = replace(found, boundary=WALLS[self.walls][1])
        return self.program.complete(self, found)

    def shortened(self, frames: int) -> "Recipe":
        """The same up to an earlier frame."""
        return replace(self, frames=frames, t1=float(self.times()[frames - 1]))


class Solver:
    """Batches of a recipe: `Solver(recipe)(3)` solves samples 3 batch .. 4 batch - 1."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.last: tuple[int, Any] | None = None  # a batch that two shards share is solved once

    def __call__(self, batch: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(fields (batch, time, *space, names) in the dtype of the file, parameters that vary)."""
        if self.last is None or self.last[0] != batch:
            fields, parameters = self._program(self._indices(batch))
            self.last = batch, (np.asarray(fields), {n: np.asarray(v) for n, v in parameters.items()})
        return self.last[1]

    def memory(self) -> tuple[int, int]:
        """Bytes of a batch: its results, and the program's own arrays."""
        found = self._program.memory_analysis()
        return (0, 0) if found is None else (int(found.output_size_in_bytes), int(found.temp_size_in_bytes))

    def _indices(self, batch: int) -> np.ndarray:
        return np.arange(batch * self.recipe.batch, (batch + 1) * self.recipe.batch, dtype=np.uint32)

    @cached_property
    def _program(self) -> Any:
        recipe, grid, sampler = self.recipe, self.recipe.grid(), self.recipe.sampler()
        ranges, run = recipe.varied(), recipe.program.prepare(recipe)
        kept = (Ellipsis, *recipe.kept(), slice(None))
        of_fields, of_parameters = jax.random.split(jax.random.key(recipe.seed))

        def one(index: Any) -> tuple[Any, dict[str, Any]]:
            u0 = sampler(jax.random.fold_in(of_fields, index), grid)
            dice = jax.random.uniform(jax.random.fold_in(of_parameters, index), (len(ranges),))
            values = {n: low + (high - low) * dice[i] for i, (n, (low, high)) in enumerate(ranges.items())}
            return run(u0, values)[kept].astype(recipe.dtype), values

        return jax.jit(jax.vmap(one)).lower(self._indices(0)).compile()

    def trajectories(
        self, fields: np.ndarray, varied: Mapping[str, np.ndarray], more: Mapping[str, Any]
    ) -> Trajectories:
        """Fields with everything a reader wants to know about them; nothing that changes from run to run."""
        recipe, grid, equation = self.recipe, self.recipe.grid(), self.recipe.build()
        numbers = {
            f.name: float(getattr(equation, f.name))
            for f in dataclasses.fields(equation)
            if not f.metadata.get("static", False) and isinstance(getattr(equation, f.name), Number)
        }
        provenance = {
            "made by": f"duhamel {dh.__version__}, jax {jax.__version__}, {jax.default_backend()}",
            "recipe": {**dataclasses.asdict(recipe), "shard": None},
            "equation": type(equation).__name__,
            "initial condition": " ".join(repr(recipe.sampler()).split()),
            "method": recipe.program.method(recipe),
            **more,
        }
        return Trajectories(
            fields,
            recipe.names(),
            recipe.times().astype(recipe.dtype),
            tuple(
                x.reshape(-1)[s].astype(recipe.dtype) for x, s in zip(grid.coordinates(), recipe.kept(), strict=True)
            ),
            {recipe.called.get(name, name): value for name, value in (numbers | dict(varied)).items()},
            (WALLS[recipe.walls][2],) * grid.dim,
            name=recipe.equation,
            provenance=provenance,
        )
