"""Trajectories to files and back: The Well's and PDEBench's HDF5, FNO's MATLAB files, zarr, netCDF.

A file appears under its name only when it is complete: it is written beside it as NAME.partial, flushed to the disk and
renamed. Nothing that exists is overwritten. Files hold no time stamps, so the same data give the same bytes.
"""

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from duhamel.core.extras import missing, need
from duhamel.core.files import is_full, memory, readable, size, unwritten

from .fno import read_fno, write_fno
from .pdebench import FLOW, SEED_SUFFIX, read_pdebench, write_pdebench
from .trajectories import Trajectories, from_xarray, joined
from .well import read_well, write_well

SUFFIXES = {"well": ".hdf5", "pdebench": ".hdf5", "fno": ".mat", "zarr": ".zarr", "netcdf": ".nc"}


def write(data: Trajectories, path: str | Path, layout: str | None = None) -> Path:
    """Write to a path that does not exist yet; layout: well, pdebench, fno, zarr, netcdf (three by suffix)."""
    path = Path(path)
    layout = layout if layout is not None else {".zarr": "zarr", ".nc": "netcdf", ".mat": "fno"}.get(path.suffix)
    check_layout(layout, path)
    if path.exists():
        raise FileExistsError(f"{path} exists and is not overwritten; delete it or choose another name.")
    check_packages(layout)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    _drop(partial)  # of a process that died
    try:
        _write(data, partial, layout)
        os.replace(partial, path)
    except Exception as error:
        written = _drop(partial)
        if isinstance(error, OSError) or is_full(error):
            raise unwritten(path, error, written) from error
        raise
    return path


def _write(data: Trajectories, partial: Path, layout: str | None) -> None:
    if layout == "zarr":
        _xarray()
        data.to_xarray().to_zarr(partial, mode="w", consolidated=False, zarr_format=3, write_empty_chunks=True)
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


def _drop(partial: Path) -> int:
    """Delete an unfinished file or store; how many bytes it had."""
    if partial.is_dir():
        written = sum(p.stat().st_size for p in partial.rglob("*") if p.is_file())
        shutil.rmtree(partial)
        return written
    written = partial.stat().st_size if partial.exists() else 0
    partial.unlink(missing_ok=True)
    return written


def check_packages(layout: str | None) -> None:
    """Before hours of work: what writes files of this layout is installed."""
    wanted = {
        "well": ["h5py"],
        "pdebench": ["h5py"],
        "zarr": ["xarray", "zarr"],
        "netcdf": ["xarray", "h5netcdf", "h5py"],
    }
    need(f"writing files of the layout {layout!r}", wanted.get(str(layout), []), "data")


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
    for part in path.rglob("*") if path.is_dir() else (path,):
        if not part.is_dir():
            readable(part)  # a pipe would be waited for
    if path.is_dir():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what zarr warns of, an array without its numbers, raises below
                _check_chunks(path)
                with _xarray().open_zarr(path, consolidated=False) as data:
                    _check_size(path, data.nbytes)
                    return from_xarray(data.load())
        except (OSError, KeyError, RuntimeError) as error:
            raise ValueError(f"{path} cannot be read as zarr, it may be unfinished: {_first_line(error)}") from error
    if path.suffix == ".mat":
        return read_fno(path)
    if path.suffix == ".nc":
        with _opened(path):  # says what is wrong with a broken file
            pass
        with _xarray().open_dataset(path, engine="h5netcdf") as data:
            _check_size(path, data.nbytes)
            return from_xarray(data.load())
    with _opened(path) as file:
        _check_size(path, _declared(file))
        _check_written(path, file)
        keys = list(file)
        if "t0_fields" in file or "boundary_conditions" in file:
            return read_well(file, str(path))
        if "tensor" in file or any(k in FLOW for k in keys) or any(k.isdecimal() for k in keys):
            return read_pdebench(file, str(path))
    if "velocity" in keys and {"force", "particles", "t"} & set(keys):
        raise ValueError(
            f"{path} is of PDEBench's incompressible set ({', '.join(keys[:8])}), which has neither coordinates nor "
            "one time axis for all of its arrays: open it with h5py and build a Trajectories from its velocity and "
            "particles, with the coordinates of your box."
        )
    raise ValueError(
        f"{path} is HDF5, but neither in The Well's layout (t0_fields, ...) nor in PDEBench's (tensor, density, 0000, "
        f"...): it holds {', '.join(keys[:8]) or 'nothing'}."
    )


def _declared(file: Any) -> int:
    """Bytes of all arrays of an open `h5py.File`, as they would stand in memory."""
    arrays: list[Any] = []
    file.visititems(lambda name, item: arrays.append(item) if hasattr(item, "nbytes") else None)
    return sum(item.nbytes for item in arrays)


def _check_written(path: Path, file: Any) -> None:
    """HDF5 reads 0 where a chunk was never written."""

    def look(name: str, item: Any) -> None:
        if not getattr(item, "size", 0) or item.is_virtual or item.external:
            return
        there, all_of_it = item.id.get_storage_size(), True
        if item.chunks:
            count = int(np.prod([-(-n // c) for n, c in zip(item.shape, item.chunks, strict=True)]))
            all_of_it = item.id.get_num_chunks() == count
        if not (there and all_of_it):
            raise ValueError(
                f"{path}: {name} was declared and not wholly written; make the file again or copy it again."
            )

    file.visititems(look)


def _check_chunks(path: Path) -> None:
    """Zarr reads 0 or NaN where a chunk is lost; the stores that `write` makes hold all of them."""
    import zarr

    for name, array in zarr.open_group(path, mode="r").arrays():
        if array.nchunks_initialized < array.nchunks:
            raise ValueError(
                f"{path}: {name} has {array.nchunks_initialized} of its {array.nchunks} chunks; copy or make it again."
            )


def _check_size(path: Path, declared: int) -> None:
    """A file of a few bytes may declare arrays of any size."""
    free = memory()
    if free is not None and declared > free:
        raise ValueError(
            f"{path} declares arrays of {size(declared)}, and {size(free)} of memory are free; open the file itself "
            "(by h5py or xarray) and read the part that you need."
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
        raise missing("an HDF5 file", "h5py", "data") from error
    return h5py


def _xarray() -> Any:
    try:
        import h5netcdf  # noqa: F401
        import xarray
        import zarr  # noqa: F401
    except ImportError as error:
        raise missing("zarr or netCDF", "xarray, zarr and h5netcdf", "data") from error
    return xarray
