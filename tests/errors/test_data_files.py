"""Data files that are none, that declare more than a machine holds, or that lost a part: a sentence, at once."""

import os
import shutil

import numpy as np
import pytest

from duhamel.core import files as core_files
from duhamel.pde.data import files
from duhamel.pde.data.files import read, write
from duhamel.pde.data.trajectories import Trajectories

h5py = pytest.importorskip("h5py")
pytest.importorskip("xarray")
pytest.importorskip("zarr")


def data():
    rng = np.random.default_rng(0)
    fields, times = rng.normal(size=(4, 3, 16, 1)).astype(np.float32), np.linspace(0, 1, 3)
    return Trajectories(fields, ("u",), times, (np.arange(16.0) / 16,), {"nu": np.arange(1.0, 5.0)}, ("periodic",))


@pytest.mark.parametrize("suffix", [".hdf5", ".h5", ".nc", ".mat", ".zarr", " in a folder", " in a store"])
def test_a_pipe_is_not_waited_for(tmp_path, suffix):
    path = place = tmp_path / f"pipe{suffix}"
    if suffix == " in a folder":
        path.mkdir()
        place = path / "a.hdf5"
    if suffix == " in a store":
        path = write(data(), tmp_path / "a.zarr")
        place = path / "u" / "c" / "0"
        shutil.rmtree(place, ignore_errors=True)
    os.mkfifo(place)
    with pytest.raises(ValueError, match="is a pipe, not a regular file"):
        read(path)


@pytest.mark.parametrize("layout", ["well", "netcdf", "zarr", "fno"])
def test_what_does_not_fit_into_memory_is_told_before_it_is_read(tmp_path, layout, monkeypatch):
    """48 GB may be declared by a file of a few kilobytes; here the machine is made small instead."""
    few = Trajectories(data().fields[:, :2], ("u",), np.arange(2.0), data().coordinates)
    path = write(few, tmp_path / f"a{files.SUFFIXES[layout]}", layout)
    monkeypatch.setattr(files, "memory", lambda: 100)
    monkeypatch.setattr("duhamel.pde.data.fno.memory", lambda: 100)
    with pytest.raises(ValueError, match=r"declares .* 100 bytes of memory are free"):
        read(path)


def test_a_sparse_file_that_was_never_written_is_no_field_of_zeros(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("tensor", (60, 10, 1000), "float64", chunks=(1, 1, 1000))
        file["tensor"][0] = 1.0
        file["x-coordinate"], file["t-coordinate"] = np.arange(1000.0), np.arange(11.0)
    with pytest.raises(ValueError, match="tensor was declared and not wholly written"):
        read(tmp_path / "a.hdf5")


@pytest.mark.parametrize("lost", ["time", "x", "nu", "u"])
def test_a_store_that_lost_a_chunk_is_told(tmp_path, lost):
    path = write(data(), tmp_path / "a.zarr")
    chunks = [p for p in (path / lost).rglob("*") if p.is_file() and p.name != "zarr.json"]
    chunks[0].unlink()
    with pytest.raises(ValueError, match=rf"{lost} has \d of its \d chunks; copy or make it again"):
        read(path)


@pytest.mark.parametrize("layout", ["well", "netcdf", "zarr", "fno"])
def test_a_full_disk_leaves_no_part_of_a_data_file(tmp_path, layout, monkeypatch):
    few = Trajectories(data().fields[:, :2], ("u",), np.arange(2.0), data().coordinates)
    whole = files._write

    def half(data, partial, layout):
        whole(data, partial, layout)
        raise OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')")

    monkeypatch.setattr(files, "_write", half)
    with pytest.raises(OSError, match=r"the disk is full after [0-9.]+ .?B of it .*no part of it is left"):
        write(few, tmp_path / "a", layout)
    assert list(tmp_path.iterdir()) == []


def test_a_chunk_of_zeros_is_no_lost_chunk(tmp_path):
    zeros = Trajectories(0 * data().fields, ("u",), data().times, data().coordinates)
    assert not read(write(zeros, tmp_path / "a.zarr")).fields.any()


def test_times_and_parameters_that_are_not_finite_are_told(tmp_path):
    strange = data().times.copy()
    strange[1] = np.nan
    path = write(Trajectories(data().fields, ("u",), strange, data().coordinates), tmp_path / "a.hdf5", "well")
    with pytest.raises(ValueError, match="'time' holds NaN or infinite values"):
        read(path)
    assert np.isnan(read(path, finite=False).times[1])


def test_memory_is_a_number_of_bytes():
    assert 2**26 < core_files.memory() < 2**50
