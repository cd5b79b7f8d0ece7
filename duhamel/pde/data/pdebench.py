"""PDEBench's HDF5 layouts, written and read. Fields are plain arrays at the root, float32, with few attributes.

    one field on a line   tensor (batch, t, x), x-coordinate, t-coordinate
    compressible flow     density, pressure, Vx, Vy, Vz (batch, t, x, ...), x-, y-, z-, t-coordinate
    Darcy flow            nu (batch, x, y), tensor (batch, 1, x, y), x-, y-coordinate
    everything else       0000/data (t, x, [y,] channel), 0000/grid/x, y, t, one group for each seed

In the first two, t-coordinate has one entry more than there are frames (it holds the edges of time slots), and
x-coordinate has the centres of cells. Their reader of the last takes the grid from seed 0023, so it wants 24 of them
in a file. Coordinates are written as they are; the extra time is the last plus a step.

Source: Takamoto et al., PDEBench: an extensive benchmark for scientific machine learning, NeurIPS 2022.
"""

import json
from typing import Any

import numpy as np

from .trajectories import AXES, Trajectories

SEED_SUFFIX = ".h5"  # by which their readers tell the last layout from the others, which end in .hdf5
FLOW = ("density", "pressure", "Vx", "Vy", "Vz")


def seeds_apart(names: tuple[str, ...], dim: int, frames: int) -> bool:
    """Whether fields of these names go to the last layout, one group for each seed."""
    darcy = names == ("nu", "tensor") and frames == 1
    flow = set(names) <= set(FLOW) and {"density", "pressure", "Vx"} <= set(names)
    return not (darcy or flow or (dim == 1 and len(names) == 1))


def write_pdebench(file: Any, data: Trajectories) -> None:
    """Fill an open, empty `h5py.File`, in the layout that the names of the fields ask for."""
    if seeds_apart(data.names, data.dim, len(data.times)):
        _write_seeds(file, data)
    elif data.names == ("nu", "tensor"):
        file.create_dataset("nu", data=data["nu"][:, 0])
        file.create_dataset("tensor", data=data["tensor"])
        _write_root(file, data, times=False)
    elif "density" in data.names:
        for name in data.names:
            file.create_dataset(name, data=data[name])
        _write_root(file, data, times=True)
    else:
        file.create_dataset("tensor", data=data.fields[..., 0])
        file.attrs["field"] = data.names[0]
        _write_root(file, data, times=True)


def _write_root(file: Any, data: Trajectories, times: bool) -> None:
    for axis, x in zip(data.axes, data.coordinates, strict=True):
        file.create_dataset(f"{axis}-coordinate", data=x)
    if times:
        t = data.times
        step = t[-1] - t[-2] if len(t) > 1 else t[-1] * 0 + 1
        file.create_dataset("t-coordinate", data=np.append(t, t[-1] + step))
    for name, value in data.parameters.items():
        if np.ndim(value):  # an attribute ends at 64 kB
            file.create_dataset(f"parameters/{name}", data=value)
        else:
            file.attrs[name] = value
    _write_origin(file, data)


def _write_origin(file: Any, data: Trajectories) -> None:
    file.attrs["dataset_name"] = data.name
    file.attrs["boundaries"] = list(data.boundaries)
    file.attrs["tensors"] = json.dumps(dict(data.tensors), sort_keys=True)
    file.attrs["provenance"] = json.dumps(dict(data.provenance), sort_keys=True)


def _write_seeds(file: Any, data: Trajectories) -> None:
    _write_origin(file, data)
    file.attrs["fields"] = list(data.names)
    for i in range(data.samples):
        seed = file.create_group(f"{i:04d}")
        seed.create_dataset("data", data=data.fields[i], chunks=(1, *data.fields.shape[2:]))
        for axis, x in zip(("t", *data.axes), (data.times, *data.coordinates), strict=True):
            seed.create_dataset(f"grid/{axis}", data=x)
        own = {name: float(np.broadcast_to(v, (data.samples,))[i]) for name, v in data.parameters.items()}
        seed.attrs["config"] = json.dumps(own, sort_keys=True)  # JSON is YAML, which theirs is


def read_pdebench(file: Any, where: str) -> Trajectories:
    """The trajectories of an open `h5py.File`; `where` is its name in error messages."""
    seeds = sorted(key for key in file if key.isdecimal())
    if seeds:
        return _read_seeds(file, where, seeds)
    if "tensor" in file:
        darcy = "nu" in file
        names: tuple[str, ...] = ("nu", "tensor") if darcy else (_attribute(file, "field", "tensor"),)
        columns = [file["tensor"][()]]
        if darcy:
            columns.insert(0, np.broadcast_to(file["nu"][()][:, None], columns[0].shape))
    else:
        names = tuple(name for name in FLOW if name in file)
        columns = [file[name][()] for name in names]
    fields = np.stack(columns, axis=-1)
    axes = AXES[: fields.ndim - 3]
    missing = [f"{a}-coordinate" for a in axes if f"{a}-coordinate" not in file]
    if missing:
        raise ValueError(f"{where} looks like PDEBench's layout but lacks {', '.join(missing)}; it may be unfinished.")
    frames = fields.shape[1]
    times = file["t-coordinate"][()][:frames] if "t-coordinate" in file else np.arange(float(frames))
    if len(times) != frames:
        raise ValueError(
            f"{where}: t-coordinate has {len(times)} entries for {frames} frames; it must have as many, or one more."
        )
    coordinates = tuple(file[f"{a}-coordinate"][()] for a in axes)
    return _trajectories(file, where, fields, names, times, coordinates, _numbers(file))


def _read_seeds(file: Any, where: str, seeds: list[str]) -> Trajectories:
    missing = [f"{s}/{part}" for s in seeds for part in ("data", "grid/x", "grid/t") if part not in file[s]]
    if missing:
        raise ValueError(f"{where} looks like PDEBench's layout of seeds but lacks {missing[0]}; it may be unfinished.")
    fields = np.stack([file[s]["data"][()] for s in seeds])
    grid = file[seeds[0]]["grid"]
    coordinates = tuple(grid[a][()] for a in AXES if a in grid)
    if "fields" in file.attrs:
        names = tuple(map(str, file.attrs["fields"]))
    else:
        names = tuple(f"channel_{i}" for i in range(fields.shape[-1]))
    own = [json.loads(file[s].attrs["config"]) if "provenance" in file.attrs else {} for s in seeds]
    parameters = {n: np.array([one[n] for one in own]) for n in own[0]}
    parameters = {n: v[0].item() if np.all(v == v[0]) else v for n, v in parameters.items()}
    return _trajectories(file, where, fields, names, grid["t"][()], coordinates, parameters)


def _trajectories(
    file: Any,
    where: str,
    fields: np.ndarray,
    names: tuple[str, ...],
    times: np.ndarray,
    coordinates: tuple[np.ndarray, ...],
    parameters: dict[str, Any],
) -> Trajectories:
    origin = _attribute(file, "provenance", "")
    return Trajectories(
        fields,
        names,
        times,
        coordinates,
        parameters,
        tuple(map(str, file.attrs["boundaries"])) if origin else ("periodic",) * len(coordinates),
        json.loads(_attribute(file, "tensors", "{}")),
        _attribute(file, "dataset_name", "pdebench"),
        json.loads(origin) if origin else {"read from": where},
    )


def _attribute(file: Any, name: str, otherwise: str) -> str:
    return str(file.attrs[name]) if name in file.attrs else otherwise


def _numbers(file: Any) -> dict[str, Any]:
    """Attributes that are numbers are the equation's parameters: Nu, rho, beta, ..."""
    found = {name: np.asarray(value) for name, value in file.attrs.items()}
    numbers = {name: value.item() for name, value in found.items() if value.dtype.kind in "fi" and value.ndim == 0}
    return numbers | {name: values[()] for name, values in file.get("parameters", {}).items()}
