"""MATLAB files as the Fourier neural operator's data sets have them, written and read: first fields and what followed.

    a line, two frames         a (sample, x), u (sample, x)                        Burgers
    a plane, several frames    a (sample, x, y), u (sample, x, y, time), t         Navier-Stokes
    Darcy                      coeff (sample, x, y), sol (sample, x, y)

u holds the frames after the first. Beside them stand x, y, t, the parameters and the provenance, which their reader
does not look at and this one does; a file without them is taken to hold the unit box, periodic.

Source: Li et al., Fourier neural operator for parametric partial differential equations, ICLR 2021.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from duhamel.core.files import memory, size

from .trajectories import Trajectories

HEADER = b"MATLAB 5.0 MAT-file, written by duhamel"
HEADER_BYTES = 116
MOST = 2**31  # bytes of a variable in this version of the format


def write_fno(path: Path, data: Trajectories) -> None:
    """Write to a path; the same data give the same bytes, so the header has no date."""
    if data.fields.nbytes >= MOST:
        raise ValueError(
            f"layout = 'fno' holds less than 2 GB, and these fields have {data.fields.nbytes / 1e9:.1f} GB; take "
            "smaller shards."
        )
    found = arrays(data)
    found |= {axis: x[None] for axis, x in zip(data.axes, data.coordinates, strict=True)}
    about = {
        "parameters": {n: v if np.ndim(v) == 0 else np.asarray(v).tolist() for n, v in data.parameters.items()},
        "names": data.names,
        "boundaries": data.boundaries,
        "dataset_name": data.name,
        "provenance": dict(data.provenance),
    }
    scipy.io.savemat(path, {**found, "about": json.dumps(about, sort_keys=True)})
    with path.open("r+b") as file:
        file.write(HEADER.ljust(HEADER_BYTES))


def arrays(data: Trajectories) -> dict[str, np.ndarray]:
    """The variables that FNO's scripts read."""
    if data.names == ("nu", "tensor") and len(data.times) == 1:
        return {"coeff": data["nu"][:, 0], "sol": data["tensor"][:, 0]}
    if len(data.names) != 1 or data.dim > 2 or (data.dim == 1 and len(data.times) != 2) or len(data.times) < 2:
        raise ValueError(
            "layout = 'fno' holds one field, of a line at two times or of a plane at several; these data have "
            f"{', '.join(data.names)} in {data.dim} dimensions at {len(data.times)} times: choose well or zarr."
        )
    u = data.fields[..., 0]
    if data.dim == 1:
        return {"a": u[:, 0], "u": u[:, 1], "t": data.times[None]}
    return {"a": u[:, 0], "u": np.moveaxis(u[:, 1:], 1, -1), "t": data.times[None, 1:]}


def read_fno(path: Path) -> Trajectories:
    """The trajectories of a file in this layout; times that are not in it are 0 and 1."""
    try:
        declared, free = sum(int(np.prod(shape)) for _, shape, _ in scipy.io.whosmat(path)), memory()
        if free is not None and 4 * declared > free:
            raise MemoryError(f"it declares {size(4 * declared)} or more, and {size(free)} of memory are free")
        found = scipy.io.loadmat(path)
    except (MatReadError, ValueError, OSError, NotImplementedError, TypeError, KeyError, MemoryError) as error:
        raise ValueError(
            f"{path} is not a whole MATLAB file of version 5 ({type(error).__name__}: {error}); make it again."
        ) from error
    about = json.loads(str(found["about"][0])) if "about" in found else {}
    if {"coeff", "sol"} <= set(found):
        fields, names = np.stack([found["coeff"], found["sol"]], axis=-1)[:, None], ("nu", "tensor")
        times: Any = np.zeros(1)
    elif {"a", "u"} <= set(found):
        fields, times = _frames(path, found)
        names = tuple(about.get("names", ("u",)))
    else:
        held = ", ".join(k for k in found if not k.startswith("__"))
        raise ValueError(f"{path} is not in FNO's layout (a and u, or coeff and sol): it holds {held or 'nothing'}.")
    axes = ("x", "y")[: fields.ndim - 3]
    unit = {axis: np.arange(n) / n for axis, n in zip(axes, fields.shape[2:], strict=False)}
    return Trajectories(
        fields,
        names,
        np.asarray(times, fields.dtype),
        tuple(np.asarray(found[a][0] if a in found else unit[a], fields.dtype) for a in axes),
        {n: np.asarray(v) if isinstance(v, list) else v for n, v in about.get("parameters", {}).items()},
        tuple(about.get("boundaries", ("periodic",) * len(axes))),
        name=about.get("dataset_name", "fno"),
        provenance=about.get("provenance", {"read from": str(path)}),
    )


def _frames(path: Path, found: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(sample, time, *space, 1) and the times, the first of them 0."""
    a, u, t = found["a"], found["u"], found.get("t")
    if a.ndim == 2 and u.shape == a.shape:
        times = np.array([0.0, 1.0]) if t is None else t[0]
        return np.stack([a, u], axis=1)[..., None], times
    if a.ndim == 3 and u.ndim == 4 and u.shape[:3] == a.shape:
        later = np.arange(1.0, u.shape[-1] + 1) if t is None else t[0]
        return np.concatenate([a[:, None], np.moveaxis(u, -1, 1)], axis=1)[..., None], np.append(0.0, later)
    raise ValueError(
        f"{path}: a has shape {a.shape} and u {u.shape}; FNO's are (N, x), (N, x) or (N, x, y), (N, x, y, t)."
    )
