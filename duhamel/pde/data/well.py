"""The Well's HDF5 layout, written and read.

    /                     dataset_name, grid_type, n_spatial_dims, n_trajectories, simulation_parameters, and those
    dimensions/           spatial_dims;  time, x, y, z: datasets with sample_varying (and time_varying)
    boundary_conditions/  NAME: associated_dims, associated_fields, bc_type, sample_varying, time_varying; mask, values
    scalars/              field_names;  NAME: sample_varying, time_varying
    t0_fields/ t1_fields/ t2_fields/   field_names;  NAME (trajectory, time, *space, *components): dim_varying,
                          sample_varying, time_varying;  t2: symmetric, antisymmetric as well

A field that does not vary along a trajectory, in time or along an axis lacks that axis: reading spreads it out again.
Source: Ohana et al., The Well: a large-scale collection of diverse physics simulations, NeurIPS 2024.
"""

import json
from typing import Any

import numpy as np

from .trajectories import AXES, BOUNDARIES, Trajectories, tails


def write_well(file: Any, data: Trajectories) -> None:
    """Fill an open, empty `h5py.File`."""
    constants = {name: float(value) for name, value in data.parameters.items() if not np.ndim(value)}
    file.attrs["dataset_name"] = data.name
    file.attrs["grid_type"] = "cartesian"
    file.attrs["n_spatial_dims"] = data.dim
    file.attrs["n_trajectories"] = data.samples
    file.attrs["simulation_parameters"] = list(constants)
    for name, value in constants.items():
        file.attrs[name] = value
    file.attrs["provenance"] = json.dumps(dict(data.provenance), sort_keys=True)

    dimensions = file.create_group("dimensions")
    dimensions.attrs["spatial_dims"] = list(data.axes)
    for name, values in zip(("time", *data.axes), (data.times, *data.coordinates), strict=True):
        _varying(dimensions.create_dataset(name, data=values), sample=False, time=False)
    _write_boundaries(file.create_group("boundary_conditions"), data)

    scalars = file.create_group("scalars")
    scalars.attrs["field_names"] = list(data.parameters)
    for name, value in data.parameters.items():
        kept = np.asarray(value, data.fields.dtype)
        _varying(scalars.create_dataset(name, data=kept), sample=bool(kept.ndim), time=False)
    _write_fields(file, data)


def _write_boundaries(group: Any, data: Trajectories) -> None:
    for axis, kind, x in zip(data.axes, data.boundaries, data.coordinates, strict=True):
        boundary = group.create_group(f"{axis}_{kind}")
        boundary.attrs["associated_dims"] = [axis]
        boundary.attrs["associated_fields"] = []
        boundary.attrs["bc_type"] = kind.upper()
        _varying(boundary, sample=False, time=False)
        mask = np.zeros(len(x), bool)
        mask[[0, -1]] = True
        boundary.create_dataset("mask", data=mask)
        boundary.create_dataset("values", data=np.zeros(2, data.fields.dtype))


def _write_fields(file: Any, data: Trajectories) -> None:
    ranks = dict.fromkeys(data.scalars, 0) | dict(data.tensors)
    for rank in range(3):
        group = file.create_group(f"t{rank}_fields")
        names = [name for name, r in ranks.items() if r == rank]
        group.attrs["field_names"] = names
        for name in names:
            values = data[name]
            if rank == 2:
                values = values.reshape(*values.shape[:-1], data.dim, data.dim)
            # A chunk is one frame of one trajectory: what a reader of windows asks for.
            one = group.create_dataset(name, data=values, chunks=(1, 1, *values.shape[2:]))
            one.attrs["dim_varying"] = [True] * data.dim
            _varying(one, sample=True, time=True)
            if rank == 2:
                swapped = np.swapaxes(values, -1, -2)
                one.attrs["symmetric"] = bool(np.array_equal(values, swapped))
                one.attrs["antisymmetric"] = bool(np.array_equal(values, -swapped))


def _varying(item: Any, sample: bool, time: bool) -> None:
    item.attrs["sample_varying"] = sample
    item.attrs["time_varying"] = time


def read_well(file: Any, where: str) -> Trajectories:
    """The trajectories of an open `h5py.File`; `where` is its name in error messages."""
    _check(file, where)
    axes = [_text(a) for a in file["dimensions"].attrs["spatial_dims"]]
    _check_cartesian(file, where, axes)
    samples = int(file.attrs["n_trajectories"])
    times = _shared(file["dimensions"]["time"], where, "time")
    coordinates = tuple(_shared(file["dimensions"][a], where, a) for a in axes)
    sizes = (samples, len(times), *(len(x) for x in coordinates))
    columns: dict[str, np.ndarray] = {}
    tensors = {}
    for rank in range(3):
        group = file[f"t{rank}_fields"]
        for name in map(_text, group.attrs["field_names"]):
            values = _spread(group[name], sizes, rank, where)
            columns |= {name: values[..., 0]} if rank == 0 else _columns(name, values, axes, rank)
            if rank:
                tensors[name] = rank
    if not columns:
        raise ValueError(f"{where} holds no field in t0_fields, t1_fields or t2_fields; it may be unfinished.")
    return Trajectories(
        np.stack(list(columns.values()), axis=-1),
        tuple(columns),
        times,
        coordinates,
        _parameters(file),
        _boundaries(file, axes),
        tensors,
        _text(file.attrs["dataset_name"]),
        json.loads(file.attrs["provenance"]) if "provenance" in file.attrs else {"read from": where},
    )


def _check(file: Any, where: str) -> None:
    groups = [g for g in ("dimensions", "scalars", "t0_fields", "t1_fields", "t2_fields") if g not in file]
    attrs = [a for a in ("dataset_name", "n_spatial_dims", "n_trajectories") if a not in file.attrs]
    if groups or attrs:
        lacks = [f"the group {g}" for g in groups] + [f"the attribute {a}" for a in attrs]
        raise ValueError(f"{where} is not in The Well's layout: it lacks {', '.join(lacks)}.")


def _check_cartesian(file: Any, where: str, axes: list[str]) -> None:
    """Components, gradients and norms of Trajectories are along x, y, z."""
    kind = _text(file.attrs["grid_type"]) if "grid_type" in file.attrs else "cartesian"
    if tuple(axes) != AXES[: len(axes)] or kind.lower() not in ("cartesian", "uniform"):
        raise ValueError(
            f"{where} is on a {kind} grid with the axes {', '.join(axes)}, and Trajectories are Cartesian (x, y, z): "
            "open it with h5py, or interpolate its fields and components to a Cartesian box first."
        )


def _shared(item: Any, where: str, name: str) -> np.ndarray:
    values = item[()]
    if values.ndim == 2 and np.all(values == values[:1]):
        return values[0]
    if values.ndim != 1:
        raise ValueError(f"{where}: {name} differs from trajectory to trajectory, which Trajectories cannot hold.")
    return values


def _spread(item: Any, sizes: tuple[int, ...], rank: int, where: str) -> np.ndarray:
    """(samples, time, *space, components) of a field that may lack some of its axes."""
    varying = [item.attrs["sample_varying"], item.attrs["time_varying"], *item.attrs["dim_varying"]]
    values = item[()]
    lead = tuple(n for n, v in zip(sizes, varying, strict=True) if v)
    if values.shape[: len(lead)] != lead:
        raise ValueError(f"{where}: {item.name} has shape {values.shape} and should begin with {lead}.")
    values = values.reshape(*(n if v else 1 for n, v in zip(sizes, varying, strict=True)), -1)
    return np.broadcast_to(values, (*sizes, (len(sizes) - 2) ** rank))


def _columns(name: str, values: np.ndarray, axes: list[str], rank: int) -> dict[str, np.ndarray]:
    return {f"{name}_{tail}": values[..., i] for i, tail in enumerate(tails(axes, rank))}


def _parameters(file: Any) -> dict[str, Any]:
    """Scalars that do not vary in time; those that do are left in the file."""
    found = {}
    for name in map(_text, file["scalars"].attrs["field_names"]):
        item = file["scalars"][name]
        if not item.attrs["time_varying"]:
            value = np.asarray(item[()])
            exact = file.attrs.get(name, value)  # float64, where the data set has single precision
            found[name] = value if item.attrs["sample_varying"] else np.asarray(exact).reshape(-1)[0].item()
    return found


def _boundaries(file: Any, axes: list[str]) -> tuple[str, ...]:
    """One word per axis: what a boundary group says of it, "open" where none does."""
    found = dict.fromkeys(axes, "open")
    for item in file.get("boundary_conditions", {}).values():
        kind = _text(item.attrs["bc_type"]).lower()
        for axis in np.atleast_1d(item.attrs["associated_dims"]):
            found[_text(axis)] = kind if kind in BOUNDARIES else "open"
    return tuple(found[a] for a in axes)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
