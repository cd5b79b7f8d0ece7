"""Data sets from an equation: planned before they are run, written in shards, resumed after any interruption.

A sample is a function of (seed, its number) alone. Samples are solved in batches that begin at multiples of the batch
size whatever the shards are, so every sample is computed by the same program beside the same neighbours, and the
numbers of a set do not depend on how it is cut into files, down to the last bit.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.core.files import readable, size, whole
from duhamel.core.precision import enable_x64

from .files import SUFFIXES, check_layout, check_packages, write
from .pdebench import SEED_SUFFIX
from .recipe import Recipe, Solver
from .trajectories import Trajectories

SHARD_BYTES = 2**28  # a quarter of a gigabyte: quick to copy, and not too many of them

Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Plan:
    """What a recipe costs, in files, bytes and seconds.

    seconds  None if it was not measured; else from a short solve of one batch on this machine, writing left out
    memory   bytes held at once: a shard, and the solver's arrays and program (None if not measured)
    """

    shards: int
    samples_per_shard: int
    batch: int
    bytes_per_sample: int
    shard_bytes: int
    total_bytes: int
    free_bytes: int | None = None
    memory: int | None = None
    seconds: float | None = None
    compile_seconds: float | None = None


def plan(recipe: Recipe, folder: str | Path | None = None, measure: bool = True) -> Plan:
    """Shards, bytes, memory and time of a recipe, without writing anything."""
    sizes = recipe.sizes()
    shard = _samples_per_shard(recipe)
    one = int(np.prod(sizes)) * np.dtype(recipe.dtype).itemsize
    found: dict[str, Any] = {}
    if measure:
        found = _measure(recipe)
        found["memory"] += one * min(shard, recipe.samples)
    if folder is not None:
        found["free_bytes"] = shutil.disk_usage(_existing(Path(folder))).free
    count = -(-recipe.samples // shard)
    return Plan(count, shard, recipe.batch, one, one * shard, one * recipe.samples, **found)


def _measure(recipe: Recipe) -> dict[str, Any]:
    """Compile and time a batch over a few frames; the rest is proportional to steps and batches."""
    short = recipe.shortened(min(recipe.frames, 3))
    with enable_x64(recipe.double):
        solver = Solver(short)
        start = time.perf_counter()
        solver(0)
        compiled = time.perf_counter() - start
        times = []
        for i in (1, 2):
            start = time.perf_counter()
            solver(i)
            times.append(time.perf_counter() - start)
        results, arrays = solver.memory()
    held = results * recipe.frames // short.frames + arrays
    batches = -(-recipe.samples // recipe.batch)
    seconds = min(times) * batches * recipe.steps / short.steps
    return {"memory": held, "seconds": seconds, "compile_seconds": compiled}


def generate(recipe: Recipe, folder: str | Path, progress: Progress | None = None) -> list[Path]:
    """Write the shards of a recipe that a folder lacks; all of them, in order.

    The folder holds recipe.json and one file a shard. If the process dies, the same call goes on with the shards that
    are missing; what it writes is byte for byte what an uninterrupted run writes. Another recipe in the same folder is
    refused.
    """
    folder = Path(folder)
    tell = progress or (lambda what, fraction: None)
    check_layout(recipe.layout)
    check_packages(recipe.layout)
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        _claim(folder, recipe)
        shard = _samples_per_shard(recipe)
        starts = range(0, recipe.samples, shard)
        paths = [folder / f"{recipe.equation}-{i:05d}{recipe.suffix()}" for i in range(len(starts))]
        missing = [(a, p) for a, p in zip(starts, paths, strict=True) if not p.exists()]
        _check_space(recipe, folder, sum(min(shard, recipe.samples - a) for a, _ in missing))
        with enable_x64(recipe.double):
            solver = Solver(recipe)
            for first, path in missing:
                last = min(first + shard, recipe.samples)
                tell(f"{path.name}: samples {first} to {last - 1}", first / recipe.samples)
                write(shard_of(solver, first, last), path, recipe.layout)
    tell(f"{len(paths)} files", 1.0)
    return paths


def shard_of(solver: Solver, first: int, last: int) -> Trajectories:
    """Samples first..last-1, from the batches that hold them."""
    recipe, parts = solver.recipe, []
    for batch in range(first // recipe.batch, -(-last // recipe.batch)):
        fields, parameters = solver(batch)
        a, b = max(first - batch * recipe.batch, 0), min(last - batch * recipe.batch, recipe.batch)
        _check_finite(recipe, fields[a:b], batch * recipe.batch + a)
        parts.append((fields[a:b], {n: v[a:b] for n, v in parameters.items()}))
    varied = {n: np.concatenate([p[n] for _, p in parts]) for n in parts[0][1]}
    fields = np.concatenate([f for f, _ in parts])
    return solver.trajectories(fields, varied, {"first sample": first, "samples": last - first})


def _check_finite(recipe: Recipe, fields: np.ndarray, first: int) -> None:
    bad = np.argwhere(~np.isfinite(fields))
    if len(bad):
        sample, frame = int(bad[0][0]) + first, int(bad[0][1])
        raise FloatingPointError(
            f"sample {sample} of {recipe.equation} is no longer finite at t = {recipe.times()[frame]:g}, between steps "
            f"{(frame - 1) * recipe.steps_per_frame} and {frame * recipe.steps_per_frame} of {recipe.steps}: take more "
            "steps or fewer points. Complete shards are kept."
        )


def _samples_per_shard(recipe: Recipe) -> int:
    if recipe.shard is not None:
        return recipe.shard
    one = int(np.prod(recipe.sizes())) * np.dtype(recipe.dtype).itemsize
    return max(1, SHARD_BYTES // (one * recipe.batch)) * recipe.batch


def _claim(folder: Path, recipe: Recipe) -> None:
    """recipe.json says what the folder is for; anything else that is asked of it is refused."""
    file, wanted = folder / "recipe.json", json.loads(json.dumps(asdict(recipe)))
    if file.exists():
        try:
            found = json.loads(readable(file).read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file} is not JSON; choose another folder.") from error
        if found != wanted:
            keys = [k for k in wanted if not isinstance(found, dict) or found.get(k) != wanted[k]]
            raise ValueError(
                f"{folder} holds data of another recipe (it differs in {', '.join(keys)}); choose another folder."
            )
        return
    others = [p.name for p in folder.iterdir() if p.suffix in (*SUFFIXES.values(), SEED_SUFFIX)]
    if others:
        raise ValueError(f"{folder} holds {others[0]} and no recipe.json to go on with; choose another folder.")
    with whole(file) as draft:
        draft.write_text(json.dumps(wanted, indent=2) + "\n")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """One process at a time writes into a folder; the lock is freed when that process ends, by kill -9 as well."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RuntimeError(f"another process is writing into {folder}; wait for it or choose another.") from error
        yield


def _check_space(recipe: Recipe, folder: Path, samples: int) -> None:
    wanted = samples * int(np.prod(recipe.sizes())) * np.dtype(recipe.dtype).itemsize
    free = shutil.disk_usage(folder).free
    if wanted > 0.98 * free:
        raise OSError(
            f"{folder} has {size(free)} free and the missing shards need {size(wanted)}; ask for less or choose "
            "another disk."
        )


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.absolute().parent
    return folder
