"""Trajectories to files and back: The Well's and PDEBench's HDF5, FNO's MATLAB files, zarr, netCDF.

A file appears under its name only when it is complete: it is written beside it as NAME.partial, flushed to the disk and
renamed. Nothing that exists is overwritten. Files hold no time stamps, so the same data give the same bytes.
"""

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from .fno import read_fno, write_fno
from .pdebench import FLOW, SEED_SUFFIX, read_pdebench, write_pdebench
from .trajectories import Trajectories, from_xarray, joined
from .well import read_well, write_well

SUFFIXES = {"well": ".hdf5", "pdebench": ".hdf5", "fno": ".mat", "zarr": ".zarr", "netcdf": ".nc"}


def write(data: Trajectories, path: str | Path, layout: str | None = None) -> Path:
    """Write to a path that does not exist yet; layout: well, pdebench, fno, zarr, netcdf (three by suffix)."""
    path = Path(path)
    layout = layout or {".zarr": "zarr", ".nc": "netcdf", ".mat": "fno"}.get(path.suffix)
    check_layout(layout, path)
    if path.exists():
        raise FileExistsError(f"{path} exists and is not overwritten; delete it or choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    if partial.is_dir():
        shutil.rmtree(partial)
    if layout == "zarr":
        _xarray()
        data.to_xarray().to_zarr(partial, mode="w", consolidated=False, zarr_format=3)
    elif layout == "netcdf":
        _xarray()
        data.to_xarray().to_netcdf(partial, engine="h5netcdf")
    elif layout == "fno":
        write_fno(partial, data)
    else:
        with _h5py().File(partial, "w") as file:
            (write_well if layout == "well" else write_pdebench)(file, data)
    if partial.is_file():
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
    os.replace(partial, path)
    return path


def check_layout(layout: str | None, path: Path | None = None) -> None:
    if layout not in SUFFIXES:
        seen = f"layout = {layout!r}" if layout is not None else f"the name {path} does not tell the layout"
        raise ValueError(f"{seen}; say one of {', '.join(SUFFIXES)}.")


def read(path: str | Path, finite: bool = True) -> Trajectories:
    """Read a file or a folder of shards of any of the layouts, found out from what is inside.

    finite: refuse data that hold NaN or infinite numbers.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    if path.is_dir() and not (path / "zarr.json").exists():
        data = joined([_read_one(shard) for shard in shards(path)])
    else:
        data = _read_one(path)
    return data.require_finite(str(path)) if finite else data


def shards(folder: Path) -> list[Path]:
    """The complete files of a folder, in the order of their names."""
    found = sorted(p for p in folder.iterdir() if p.suffix in {SEED_SUFFIX, *SUFFIXES.values()})
    if not found:
        raise ValueError(f"{folder} holds no files of trajectories (.hdf5, .h5, .mat, .zarr, .nc).")
    return found


def _read_one(path: Path) -> Trajectories:
    """A file; what its parts lack, or contradict each other in, is told with its name."""
    try:
        return _read_layout(path)
    except (KeyError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{path} is unfinished, damaged or of another layout ({type(error).__name__}: {_first_line(error)}); make "
            "it again or copy it again."
        ) from error
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error


def _read_layout(path: Path) -> Trajectories:
    if path.is_dir():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what zarr warns of, an array without its numbers, raises below
                with _xarray().open_zarr(path, consolidated=False) as data:
                    return from_xarray(data.load())
        except (OSError, KeyError, RuntimeError) as error:
            raise ValueError(f"{path} cannot be read as zarr, it may be unfinished: {_first_line(error)}") from error
    if path.suffix == ".mat":
        return read_fno(path)
    if path.suffix == ".nc":
        with _opened(path):  # says what is wrong with a broken file
            pass
        with _xarray().open_dataset(path, engine="h5netcdf") as data:
            return from_xarray(data.load())
    with _opened(path) as file:
        keys = list(file)
        if "t0_fields" in file or "boundary_conditions" in file:
            return read_well(file, str(path))
        if "tensor" in file or any(k in FLOW for k in keys) or any(k.isdecimal() for k in keys):
            return read_pdebench(file, str(path))
    raise ValueError(
        f"{path} is HDF5, but neither in The Well's layout (t0_fields, ...) nor in PDEBench's (tensor, density, 0000, "
        f"...): it holds {', '.join(keys[:8]) or 'nothing'}."
    )


def _opened(path: Path) -> Any:
    try:
        return _h5py().File(path, "r")
    except OSError as error:
        reason = "it ends too early" if "truncated" in str(error) else _first_line(error)
        raise ValueError(
            f"{path} is not a whole HDF5 file ({reason}); it was not closed or not copied to its end: make it again."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ImportError("HDF5 files need h5py; install it with `pip install duhamel[data]`.") from error
    return h5py


def _xarray() -> Any:
    try:
        import h5netcdf  # noqa: F401
        import xarray
        import zarr  # noqa: F401
    except ImportError as error:
        raise ImportError("zarr and netCDF need xarray, zarr and h5netcdf: `pip install duhamel[data]`.") from error
    return xarray
