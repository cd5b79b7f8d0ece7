"""One object for data sets of every layout: fields over samples, time and space, with what is needed to read them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

AXES = ("x", "y", "z")
BOUNDARIES = ("periodic", "wall", "open")


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Solutions of one equation from many first fields.

    fields       (samples, time, *space, names), real, float32 or float64
    names        of the last axis. Components of vectors and tensors end in their axes: velocity_x, velocity_y
    times        (time,), increasing
    coordinates  of the points, one array per axis of space (x, y, z)
    parameters   by name: a number for all samples, or an array (samples,)
    boundaries   per axis: "periodic", "wall" or "open"
    tensors      rank of those names that are not scalars: {"velocity": 1, "stress": 2}
    provenance   what made the data, anything that JSON can hold
    """

    fields: np.ndarray
    names: tuple[str, ...]
    times: np.ndarray
    coordinates: tuple[np.ndarray, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    boundaries: tuple[str, ...] = ()
    tensors: Mapping[str, int] = field(default_factory=dict)
    name: str = "trajectories"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.boundaries:
            object.__setattr__(self, "boundaries", ("periodic",) * self.dim)
        wanted = (*np.shape(self.times), *(len(x) for x in self.coordinates), len(self.names))
        if not 1 <= self.dim <= 3 or self.fields.shape[1:] != wanted:
            raise ValueError(
                f"fields has shape {self.fields.shape}; with {len(self.times)} times, "
                f"{' x '.join(str(len(x)) for x in self.coordinates)} points and {len(self.names)} names it must be "
                f"(samples, {', '.join(map(str, wanted))})."
            )
        if self.fields.dtype not in (np.float32, np.float64):
            raise TypeError(f"fields holds {self.fields.dtype}; keep float32 or float64 (complex: two names).")
        if len(self.boundaries) != self.dim or not set(self.boundaries) <= set(BOUNDARIES):
            raise ValueError(f"boundaries = {self.boundaries}; say {', '.join(BOUNDARIES)} for each of the axes.")
        for name, value in self.parameters.items():
            if np.shape(value) not in ((), (self.samples,)):
                raise ValueError(
                    f"parameter {name!r} has shape {np.shape(value)}; give one number, or one for each of the "
                    f"{self.samples} samples."
                )
        for base in self.tensors:
            missing = [n for n in self.components(base) if n not in self.names]
            if missing:
                raise ValueError(f"tensors names {base!r}, whose components {', '.join(missing)} are not among names.")

    @property
    def dim(self) -> int:
        return len(self.coordinates)

    @property
    def samples(self) -> int:
        return len(self.fields)

    @property
    def axes(self) -> tuple[str, ...]:
        return AXES[: self.dim]

    def components(self, base: str) -> list[str]:
        """velocity -> velocity_x, velocity_y: row by row for rank 2."""
        return [f"{base}_{tail}" for tail in tails(self.axes, self.tensors[base])]

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names that are not components of a tensor."""
        taken = {n for base in self.tensors for n in self.components(base)}
        return tuple(n for n in self.names if n not in taken)

    def __getitem__(self, name: str) -> np.ndarray:
        """One field, (samples, time, *space), or a tensor, (samples, time, *space, components)."""
        if name in self.tensors:
            return np.stack([self[n] for n in self.components(name)], axis=-1)
        if name not in self.names:
            raise KeyError(f"no field is called {name!r}; there are {', '.join((*self.names, *self.tensors))}.")
        return self.fields[..., self.names.index(name)]

    def require_finite(self, where: str) -> "Trajectories":
        """Itself; or an error that says which field, sample and time is the first that is not finite."""
        plain = {"time": self.times, **dict(zip(self.axes, self.coordinates, strict=True)), **self.parameters}
        for name, values in plain.items():
            if not np.all(np.isfinite(np.asarray(values))):
                raise ValueError(
                    f"{where}: {name!r} holds NaN or infinite values, as where a part of the file was lost; copy or "
                    "make it again, or pass finite=False to see the data as they are."
                )
        for name in self.names:
            bad = np.argwhere(~np.isfinite(self[name]))
            if len(bad):
                sample, frame = bad[0][:2]
                raise ValueError(
                    f"{where}: field {name!r} holds NaN or infinite values, first in sample {sample} at time "
                    f"{self.times[frame]:g}; leave that sample out, or pass finite=False to see the data as they are."
                )
        return self

    def to_xarray(self) -> Any:
        """An `xarray.Dataset`: one variable a name over (sample, time, *space); parameters with or without `sample`."""
        import xarray

        dims = ("sample", "time", *self.axes)
        data: dict[str, Any] = {n: (dims, np.ascontiguousarray(self[n])) for n in self.names}
        for name, value in self.parameters.items():
            data[name] = (("sample",) if np.ndim(value) else (), np.asarray(value))
        coords = {"time": self.times, **dict(zip(self.axes, self.coordinates, strict=True))}
        attrs = {
            "dataset_name": self.name,
            "fields": list(self.names),
            "parameters": json.dumps(list(self.parameters)),
            "boundaries": list(self.boundaries),
            "tensors": json.dumps(dict(self.tensors), sort_keys=True),
            "provenance": json.dumps(dict(self.provenance), sort_keys=True),
        }
        return xarray.Dataset(data, coords=coords, attrs=attrs)


def from_xarray(data: Any) -> Trajectories:
    """The inverse of `to_xarray`."""
    missing = [n for n in ("fields", "parameters", "boundaries", "tensors") if n not in data.attrs]
    if missing:
        raise ValueError(
            f"this xarray data set lacks the attributes {', '.join(missing)}; only those written by duhamel are read "
            "so: build a Trajectories from its arrays instead."
        )
    names = tuple(np.atleast_1d(data.attrs["fields"]).tolist())
    axes = tuple(a for a in AXES if a in data.sizes)
    varied = json.loads(data.attrs["parameters"])
    absent = [n for n in (*names, "time", *axes, *varied) if n not in data.variables]
    if absent or not axes:
        raise ValueError(f"this xarray data set lacks {', '.join(absent) or 'x'}; it may be unfinished.")
    parameters = {n: _number(data[n].values) for n in varied}
    return Trajectories(
        np.stack([data[n].transpose("sample", "time", *axes).values for n in names], axis=-1),
        names,
        data["time"].values,
        tuple(data[a].values for a in axes),
        parameters,
        tuple(np.atleast_1d(data.attrs["boundaries"]).tolist()),
        json.loads(data.attrs["tensors"]),
        data.attrs["dataset_name"],
        json.loads(data.attrs["provenance"]),
    )


def joined(parts: Sequence[Trajectories]) -> Trajectories:
    """The samples of several data sets of the same equation, one after another; a parameter that differs between
    them gets one value per sample."""
    first = parts[0]
    for one in parts[1:]:
        same = one.names == first.names and one.boundaries == first.boundaries and len(one.times) == len(first.times)
        same = same and all(map(np.array_equal, one.coordinates, first.coordinates))
        if not (same and np.array_equal(one.times, first.times) and set(one.parameters) == set(first.parameters)):
            raise ValueError(
                f"{one.name} and {first.name} differ in fields, grid, times or names of parameters; join sets of "
                "one kind."
            )
    parameters = {}
    for name in first.parameters:
        values = [np.asarray(one.parameters[name]) for one in parts]
        shared = all(v.ndim == 0 and v == values[0] for v in values)
        each = [np.broadcast_to(v, (one.samples,)) for v, one in zip(values, parts, strict=True)]
        parameters[name] = first.parameters[name] if shared else np.concatenate(each)
    fields = np.concatenate([one.fields for one in parts])
    return Trajectories(
        fields,
        first.names,
        first.times,
        first.coordinates,
        parameters,
        first.boundaries,
        first.tensors,
        first.name,
        first.provenance,
    )


def tails(axes: Sequence[str], rank: int) -> list[str]:
    """What is appended to the name of a tensor's components: x, y; xx, xy, yx, yy."""
    found = [""]
    for _ in range(rank):
        found = [tail + axis for tail in found for axis in axes]
    return found


def _number(value: np.ndarray) -> Any:
    return value if value.ndim else value.item()
