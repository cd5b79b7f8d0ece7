"""Data sets: the same numbers however they are cut, the same bytes after kill -9, plans that tell what a run costs."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

pytest.importorskip("h5py")
pytest.importorskip("xarray")
pytest.importorskip("zarr")

from duhamel.pde import data
from duhamel.pde.data.recipe import Recipe

SMALL = Recipe(
    "burgers", 10, 0.5, 5, (32,), (1.0,), 20, {"viscosity": (0.02, 0.1)}, "mp-pde", seed=3, layout="pdebench", batch=4
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return data.generate(replace(SMALL, shard=5), folder), data.read(folder)


def test_a_sample_is_the_solution_from_its_first_field(small):
    """Against SciPy's DOP853 on the same Fourier modes, with the viscosity that the file states."""
    found = small[1]
    k = 2 * np.pi * np.fft.rfftfreq(32, 1 / 32)
    keep = np.arange(17) < 2 / 3 * 16
    assert found.fields.shape == (10, 5, 32, 1) and found.fields.dtype == np.float32
    for i in (0, 7):
        nu, u0 = found.parameters["viscosity"][i], found.fields[i, 0, :, 0].astype(float)

        def slope(t, u, nu=nu):
            modes = np.fft.rfft(u)
            return np.fft.irfft(-0.5j * k * keep * np.fft.rfft(u**2) - nu * k**2 * modes, 32)

        end = solve_ivp(slope, (0, 0.5), u0, method="DOP853", t_eval=found.times, rtol=1e-10, atol=1e-12).y.T
        np.testing.assert_allclose(found.fields[i, ..., 0], end, atol=3e-6)
    assert found.provenance["recipe"]["seed"] == 3 and found.provenance["method"] == "ETDRK4, 80 equal steps"
    assert 0.02 <= found.parameters["viscosity"].min() < found.parameters["viscosity"].max() <= 0.1


def test_numbers_do_not_depend_on_shards_or_on_how_many_samples(small, tmp_path):
    """Bit for bit: shards of 5 and all at once; a larger set begins with the smaller one."""
    for name, other in (("one", {}), ("more", {"samples": 14, "shard": 7})):
        found = data.read(data.generate(replace(SMALL, **other), tmp_path / name)[0].parent)
        np.testing.assert_array_equal(found.fields[:10], small[1].fields)
        np.testing.assert_array_equal(found.parameters["viscosity"][:10], small[1].parameters["viscosity"])
    another = data.read(data.generate(replace(SMALL, seed=4), tmp_path / "seed")[0].parent)
    assert np.abs(another.fields - small[1].fields).max() > 0.1


def test_a_call_after_an_interruption_goes_on(small, tmp_path, monkeypatch):
    """The third rename fails: two shards stand, a partial file lies about, and the next call finishes the set."""
    from duhamel.pde.data import files

    recipe, calls = replace(SMALL, shard=2), []
    whole = data.generate(recipe, tmp_path / "whole")

    def replace_twice(a, b):
        calls.append(b)
        if len(calls) == 3:
            raise KeyboardInterrupt
        os.rename(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", replace_twice)
        with pytest.raises(KeyboardInterrupt):
            data.generate(recipe, tmp_path / "cut")  # recipe.json, one shard, and no more
    assert len(list((tmp_path / "cut").glob("*.hdf5"))) == 1
    assert len(list((tmp_path / "cut").glob("*.partial"))) == 1
    said = []
    again = data.generate(recipe, tmp_path / "cut", lambda what, fraction: said.append(what))
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in whole]
    assert len(said) == 5 and said[0].startswith("burgers-00001")  # the complete shard was not solved again
    assert not list((tmp_path / "cut").glob("*.partial"))


def command(folder, layout, *more):
    words = ["data", "generate", "burgers", "--samples", "80", "--frames", "21", "--points", "64", "--steps", "40"]
    words += ["--shard", "4", "--layout", layout, "--out", str(folder), *more]
    return [sys.executable, "-m", "duhamel", *words]


@pytest.mark.parametrize("layout", ["well", pytest.param("zarr", marks=pytest.mark.slow)])
def test_killed_and_run_again_gives_the_same_bytes(tmp_path, layout):
    """kill -9 in the middle; the same command again; every byte as in an uninterrupted run."""
    kill_and_compare(command(tmp_path / "cut", layout), command(tmp_path / "whole", layout), tmp_path, 20)


def kill_and_compare(cut, whole, folder, shards):
    process = subprocess.Popen(cut, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(complete(folder / "cut")) < 3 and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stand = {p: contents(p) for p in complete(folder / "cut")}
    assert 3 <= len(stand) < shards
    for words in (cut, whole):
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert all(contents(p) == before for p, before in stand.items())
    ours, theirs = complete(folder / "cut"), complete(folder / "whole")
    assert len(ours) == shards and [p.name for p in ours] == [p.name for p in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert contents(a) == contents(b)
    assert sorted(p.name for p in (folder / "cut").iterdir()) == sorted(p.name for p in (folder / "whole").iterdir())


def complete(folder):
    return sorted(p for p in folder.glob("*") if p.suffix in (".hdf5", ".zarr"))


def contents(path):
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


@pytest.mark.slow
def test_two_hundred_megabytes_killed_and_resumed(tmp_path):
    """25 shards of 8 MB, 512 points, 101 frames, 1000 samples."""
    more = ["--samples", "1000", "--frames", "101", "--points", "512", "--steps", "10", "--shard", "40"]
    more += ["--t1", "1"]
    cut, whole = (command(tmp_path / name, "pdebench", *more) for name in ("cut", "whole"))
    kill_and_compare(cut, whole, tmp_path, 25)
    size = sum(p.stat().st_size for p in complete(tmp_path / "cut"))
    assert size == pytest.approx(1000 * 101 * 512 * 4, rel=0.01) and size > 200e6


def test_a_plan_tells_what_a_run_costs_and_writes_nothing(small, tmp_path):
    found = data.plan(replace(SMALL, shard=5), tmp_path / "nowhere")
    assert (found.shards, found.samples_per_shard, found.batch) == (2, 5, 4)
    assert found.total_bytes == 10 * 5 * 32 * 4 == sum(p.nbytes for p in (small[1].fields,))
    assert found.memory > found.shard_bytes and found.seconds > 0 and found.free_bytes > 0
    assert not list(tmp_path.iterdir())


def test_a_plan_of_fifty_gigabytes():
    """101 frames of 256 x 256 vorticities: 2000 samples of 26.5 MB are 53 GB in quarter-gigabyte shards."""
    big = Recipe("navier-stokes-2d", 2000, 50.0, 101, (256, 256), (1.0, 1.0), 100, initial="fno-navier-stokes")
    found = data.plan(big, measure=False)
    assert found.total_bytes == 2000 * 101 * 256**2 * 4 == 52_953_088_000
    assert found.batch == 1 and found.samples_per_shard == 10 and found.shards == 200
    assert found.shard_bytes < 2**28 < found.shard_bytes + found.bytes_per_sample


def test_complex_and_plane_equations(tmp_path):
    psi = Recipe("nlse", 2, 0.2, 3, (32,), (10.0,), 20, layout="netcdf", batch=2, dtype="float64")
    found = data.read(data.generate(psi, tmp_path / "psi")[0])
    assert found.names == ("psi_real", "psi_imaginary") and found.fields.dtype == np.float64
    mass = np.sum(found.fields**2, axis=(2, 3))
    np.testing.assert_allclose(mass / mass[:, :1], 1, atol=1e-5)
    flow = Recipe("navier-stokes-2d", 2, 0.1, 3, (32, 32), (1.0, 1.0), 10, {"viscosity": 1e-3}, batch=2)
    flow = replace(flow, initial="fno-navier-stokes", double=False)
    found = data.read(data.generate(flow, tmp_path / "flow")[0])
    assert found.names == ("vorticity",) and found.parameters["viscosity"] == 1e-3
    assert np.all(np.sum(found.fields**2, axis=(2, 3, 4))[:, 2] < np.sum(found.fields**2, axis=(2, 3, 4))[:, 0])


def test_several_fields_and_walls(tmp_path):
    """PDEBench's diffusion-reaction set in small: two species, noise at every point, no flux through the walls."""
    species = Recipe("fitzhugh-nagumo", 2, 0.1, 3, (24, 24), (2.0, 2.0), 10, start=(-1.0, -1.0), walls="insulated")
    species = replace(species, initial="noise", layout="pdebench", batch=2)
    found = data.read(data.generate(species, tmp_path)[0])
    assert found.names == ("u", "v") and found.boundaries == ("wall", "wall")
    assert found.fields.shape == (2, 3, 24, 24, 2) and found.coordinates[0].min() > -1
    u, v = found["u"][:, 0], found["v"][:, 0]
    assert u.std() == pytest.approx(0.5, abs=0.08)  # of 1: products keep half of the modes along each axis
    assert abs(np.corrcoef(u.ravel(), v.ravel())[0, 1]) < 0.2
    with pytest.raises(ValueError, match="gives fields of shape"):
        replace(species, initial="patches", equation="allen-cahn").check()
    with pytest.raises(ValueError, match="say one of periodic, insulated, fixed, open"):
        replace(species, walls="round")


def test_a_sample_that_blows_up_is_told_and_complete_shards_are_kept(tmp_path):
    wild = Recipe("kuramoto-sivashinsky", 4, 400.0, 5, (64,), (100.0,), 1, batch=2, shard=2)
    with pytest.raises(FloatingPointError, match=r"sample 0 of kuramoto-.* is no longer finite at t = .* more"):
        data.generate(wild, tmp_path)
    assert not list(tmp_path.glob("*.hdf5*"))


def test_bad_wishes_stop_before_anything_is_written(tmp_path, monkeypatch):
    data.generate(replace(SMALL, samples=2), tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"holds data of another recipe \(it differs in t1, seed\)"):
        data.generate(replace(SMALL, samples=2, seed=9, t1=1.0), tmp_path)
    (tmp_path / "recipe.json").unlink()
    with pytest.raises(ValueError, match=r"holds burgers-00000.hdf5 and no recipe.json"):
        data.generate(replace(SMALL, samples=2), tmp_path)
    assert contents(tmp_path).keys() == before.keys() - {"recipe.json"}
    for change, message in (
        ({"samples": 0}, "samples = 0"),
        ({"frames": 1}, "frames = 1"),
        ({"t1": -1.0}, "t1 = -1.0"),
        ({"shard": 0}, "shard = 0"),
        ({"dtype": "int8"}, "float32 or float64"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(SMALL, **change)
    for change, message in (
        ({"equation": "burger"}, "did you mean burgers"),
        ({"parameters": {"nu": 1.0}}, "has no parameter 'nu'"),
        ({"initial": "apebensh"}, "did you mean apebench"),
        ({"method": "RK5"}, "no method is called 'RK5'"),
        ({"points": (32, 32), "length": (1.0, 1.0), "start": ()}, "written in 1 dimensions"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(SMALL, **change).check()
    monkeypatch.setattr("shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and type("", (), {"free": 10})())
    with pytest.raises(OSError, match="ask for less or choose another disk"):
        data.generate(SMALL, tmp_path / "full")


def test_two_processes_do_not_write_into_one_folder(tmp_path):
    from duhamel.pde.data.generation import _only_one

    with _only_one(tmp_path), pytest.raises(RuntimeError, match="another process is writing"):
        data.generate(SMALL, tmp_path)


def test_the_command_plans_generates_and_shows(tmp_path, capsys):
    from duhamel.cli.parse import parse

    words = ["data", "generate", "burgers", "--samples", "6", "--frames", "5", "--points", "32", "--steps", "10"]
    words += ["--parameter", "viscosity=0.02:0.1", "--out", str(tmp_path / "set")]
    with jax.enable_x64(False):
        assert parse([*words, "--plan"]) == 0
        assert not (tmp_path / "set").exists()
        said = capsys.readouterr().out
        assert "solving, estimated" in said and "memory" in said and "shards" in said
        assert parse([*words, "--json", str(tmp_path / "a.json")]) == 0
        assert parse(["data", "show", str(tmp_path / "set")]) == 0
    said = capsys.readouterr().out
    assert "6 samples, 5 times from 0 to 4" in said and "viscosity = 0.0" in said
    assert (tmp_path / "a.json").exists()
    for bad, message in (
        (["--parameter", "viscosity"], "is not NAME=NUMBER"),
        (["--method", "rk5"], "no method for partial equations"),
        (["--layout", "wel"], "say one of well, pdebench, fno, zarr, netcdf"),
        (["--frames", "1"], "frames = 1"),
    ):
        with pytest.raises(ValueError, match=message):
            parse([*words[:3], "--out", str(tmp_path / "other"), *bad])
    with pytest.raises(ValueError, match="did you mean burgers"):
        parse(["data", "generate", "burgerz"])
    assert not (tmp_path / "other").exists()
