"""Layouts of The Well and PDEBench, attribute by attribute, read back; and what is said of files that are wrong."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
pytest.importorskip("xarray")
pytest.importorskip("zarr")

from duhamel.pde import data
from duhamel.pde.data.files import SUFFIXES, shards
from duhamel.pde.data.trajectories import Trajectories

RNG = np.random.default_rng(3)
NAMES = ("height", "velocity_x", "velocity_y", "stress_xx", "stress_xy", "stress_yx", "stress_yy")


def line(samples=3, frames=5, points=8, dtype=np.float32):
    x = np.linspace(0, 1, points, endpoint=False)
    t = np.linspace(0, 2, frames)
    fields = RNG.normal(size=(samples, frames, points, 1)).astype(dtype)
    parameters = {"Nu": 0.01, "amplitude": np.arange(samples) / 2}
    return Trajectories(fields, ("u",), t, (x,), parameters, name="burgers", provenance={"seed": 1, "steps": 100})


def plane(samples=2, frames=3, shape=(6, 4), boundaries=("periodic", "wall")):
    coordinates = tuple(np.arange(n) / n for n in shape)
    fields = RNG.normal(size=(samples, frames, *shape, len(NAMES))).astype(np.float32)
    fields[..., 5] = fields[..., 4]
    parameters, tensors = {"gravity": 9.81}, {"velocity": 1, "stress": 2}
    return Trajectories(fields, NAMES, np.arange(float(frames)), coordinates, parameters, boundaries, tensors)


def same(a, b):
    np.testing.assert_array_equal(a.fields, b.fields)
    np.testing.assert_array_equal(a.times, b.times)
    assert a.fields.dtype == b.fields.dtype
    assert (a.names, a.boundaries, dict(a.tensors), a.name) == (b.names, b.boundaries, dict(b.tensors), b.name)
    assert a.provenance == b.provenance
    for x, y in zip(a.coordinates, b.coordinates, strict=True):
        np.testing.assert_array_equal(x, y)
    assert set(a.parameters) == set(b.parameters)
    for name, value in a.parameters.items():
        np.testing.assert_allclose(b.parameters[name], value, rtol=1e-7)


@pytest.mark.parametrize("kind", [line, plane])
@pytest.mark.parametrize(
    "layout, suffix", [("well", ".hdf5"), ("pdebench", ".h5"), ("zarr", ".zarr"), ("netcdf", ".nc")]
)
def test_written_and_read_back(tmp_path, kind, layout, suffix):
    made = kind()
    path = data.write(made, tmp_path / f"set{SUFFIXES[layout]}", layout)
    found = data.read(path)
    order = [found.names.index(n) for n in made.names]  # The Well sorts by rank
    if layout == "well":
        assert sorted(found.names) == sorted(made.names)
        np.testing.assert_array_equal(found.fields[..., order], made.fields)
    else:
        same(made, found)
    assert not list(tmp_path.glob("*.partial"))


def test_the_well_as_documented(tmp_path):
    """docs/data_format.md of The Well, line by line."""
    made = plane()
    with h5py.File(data.write(made, tmp_path / "a.hdf5", "well")) as f:
        assert list(f.attrs["simulation_parameters"]) == ["gravity"] and f.attrs["gravity"] == 9.81
        assert (f.attrs["dataset_name"], f.attrs["grid_type"]) == ("trajectories", "cartesian")
        assert (f.attrs["n_spatial_dims"], f.attrs["n_trajectories"]) == (2, 2)
        assert list(f["dimensions"].attrs["spatial_dims"]) == ["x", "y"]
        assert [f["dimensions"][d].shape for d in ("time", "x", "y")] == [(3,), (6,), (4,)]
        for d in ("x", "y"):
            assert not f["dimensions"][d].attrs["sample_varying"] and not f["dimensions"][d].attrs["time_varying"]
        assert not f["dimensions/time"].attrs["sample_varying"]
        wall = f["boundary_conditions/y_wall"]
        assert list(wall.attrs["associated_dims"]) == ["y"] and len(wall.attrs["associated_fields"]) == 0
        assert wall.attrs["bc_type"].lower() == "wall"
        assert not wall.attrs["sample_varying"] and not wall.attrs["time_varying"]
        assert wall["mask"].dtype == bool and wall["mask"][:].tolist() == [True, False, False, True]
        assert wall["values"].shape == (2,)
        assert list(f["scalars"].attrs["field_names"]) == ["gravity"]
        assert not f["scalars/gravity"].attrs["sample_varying"] and not f["scalars/gravity"].attrs["time_varying"]
        for rank, name, tail in ((0, "height", ()), (1, "velocity", (2,)), (2, "stress", (2, 2))):
            group = f[f"t{rank}_fields"]
            assert list(group.attrs["field_names"]) == [name]
            assert group[name].shape == (2, 3, 6, 4, *tail) and group[name].dtype == np.float32
            assert group[name].attrs["dim_varying"].tolist() == [True, True]
            assert group[name].attrs["sample_varying"] and group[name].attrs["time_varying"]
        np.testing.assert_array_equal(f["t1_fields/velocity"][..., 1], made["velocity_y"])
        np.testing.assert_array_equal(f["t2_fields/stress"][..., 1, 0], made["stress_yx"])
        assert f["t2_fields/stress"].attrs["symmetric"] and not f["t2_fields/stress"].attrs["antisymmetric"]


def test_a_file_of_the_well_with_fields_that_lack_axes(tmp_path):
    """Constant fields and fields of fewer axes are spread out; a boundary type in any case of letters is read."""
    with h5py.File(tmp_path / "b.hdf5", "w") as f:
        f.attrs.update({"dataset_name": "b", "grid_type": "cartesian", "n_spatial_dims": 2, "n_trajectories": 2})
        f.attrs["simulation_parameters"] = ["a"]
        f.create_group("dimensions").attrs["spatial_dims"] = ["x", "y"]
        for name, n in (("time", 3), ("x", 4), ("y", 5)):
            f["dimensions"].create_dataset(name, data=np.arange(n)).attrs["sample_varying"] = False
        wall = f.create_group("boundary_conditions/y_boundary")
        wall.attrs.update({"associated_dims": ["y"], "bc_type": "Wall"})
        f.create_group("scalars").attrs["field_names"] = ["a"]
        f["scalars"].create_dataset("a", data=[2.0]).attrs.update({"sample_varying": False, "time_varying": False})
        for i in range(3):
            f.create_group(f"t{i}_fields").attrs["field_names"] = [["depth", "slope"], ["v"], []][i]
        depth, slope, v = RNG.normal(size=(2, 4, 5)), RNG.normal(size=(2, 3, 5)), RNG.normal(size=(2, 3, 4, 5, 2))
        for group, name, values, time_varying, dims in (
            ("t0_fields", "depth", depth, False, [True, True]),
            ("t0_fields", "slope", slope, True, [False, True]),
            ("t1_fields", "v", v, True, [True, True]),
        ):
            one = f[group].create_dataset(name, data=values)
            one.attrs.update({"sample_varying": True, "time_varying": time_varying, "dim_varying": dims})
    found = data.read(tmp_path / "b.hdf5")
    assert found.names == ("depth", "slope", "v_x", "v_y") and found.boundaries == ("open", "wall")
    np.testing.assert_array_equal(found["depth"][:, 2], depth)
    np.testing.assert_array_equal(found["slope"][:, :, 3], slope)
    np.testing.assert_array_equal(found["v"], v)
    assert found.parameters == {"a": 2.0}


def test_pdebench_line_has_one_time_more_than_frames(tmp_path):
    made = line()
    with h5py.File(data.write(made, tmp_path / "1D_Burgers.hdf5", "pdebench")) as f:
        assert f["tensor"].shape == (3, 5, 8) and f["tensor"].dtype == np.float32
        assert f["x-coordinate"].shape == (8,)
        np.testing.assert_allclose(f["t-coordinate"], [0, 0.5, 1, 1.5, 2, 2.5])
        assert f.attrs["Nu"] == 0.01


def test_pdebench_flow_darcy_and_seeds(tmp_path):
    x = np.arange(4.0)
    flow = Trajectories(RNG.normal(size=(2, 3, 4, 4, 4)), ("density", "pressure", "Vx", "Vy"), x[:3], (x, x))
    with h5py.File(data.write(flow, tmp_path / "2D_CFD.hdf5", "pdebench")) as f:
        assert {"density", "pressure", "Vx", "Vy", "x-coordinate", "y-coordinate", "t-coordinate"} == set(f)
        assert f["Vy"].shape == (2, 3, 4, 4)
    same(flow, data.read(tmp_path / "2D_CFD.hdf5"))

    darcy = Trajectories(RNG.normal(size=(2, 1, 4, 4, 2)), ("nu", "tensor"), np.zeros(1), (x, x), {"beta": 1.0})
    with h5py.File(data.write(darcy, tmp_path / "2D_DarcyFlow.hdf5", "pdebench")) as f:
        assert f["nu"].shape == (2, 4, 4) and f["tensor"].shape == (2, 1, 4, 4) and "t-coordinate" not in f
        assert f.attrs["beta"] == 1.0
    same(darcy, data.read(tmp_path / "2D_DarcyFlow.hdf5"))

    pair = Trajectories(RNG.normal(size=(12, 3, 4, 4, 2)), ("u", "v"), x[:3], (x, x), {"k": np.arange(12.0)})
    with h5py.File(data.write(pair, tmp_path / "2D_diff-react.h5", "pdebench")) as f:
        assert sorted(f) == [f"{i:04d}" for i in range(12)]
        assert f["0007/data"].shape == (3, 4, 4, 2)
        assert {k: f["0007/grid"][k].shape for k in f["0007/grid"]} == {"x": (4,), "y": (4,), "t": (3,)}
        assert json.loads(f["0007"].attrs["config"]) == {"k": 7.0}
    same(pair, data.read(tmp_path / "2D_diff-react.h5"))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of xarray, about its own future
def test_the_wells_own_reader_opens_our_file(tmp_path):
    """`the_well.data.WellDataset`: names, windows of frames, grids, boundaries, scalars."""
    pytest.importorskip("torch")
    reader = pytest.importorskip("the_well.data.datasets")
    made = plane(boundaries=("periodic", "open"))
    data.write(made, tmp_path / "a.hdf5", "well")
    found = reader.WellDataset(path=str(tmp_path), n_steps_input=2, n_steps_output=1)
    assert len(found) == 2
    assert found.metadata.field_names == {0: ["height"], 1: list(NAMES[1:3]), 2: list(NAMES[3:])}
    assert found.metadata.constant_scalar_names == ["gravity"]
    window = found[1]
    np.testing.assert_array_equal(window["input_fields"].numpy(), made.fields[1, :2])
    np.testing.assert_array_equal(window["output_fields"].numpy(), made.fields[1, 2:])
    np.testing.assert_array_equal(window["space_grid"][..., 1].numpy()[0], made.coordinates[1])
    assert window["boundary_conditions"].tolist() == [[2, 2], [1, 1]]  # periodic, open
    assert window["constant_scalars"].numpy() == pytest.approx(9.81)
    np.testing.assert_array_equal(found.to_xarray("numpy")["height"].values, made["height"])


def test_a_file_from_the_wells_own_writer_is_read(tmp_path):
    writer = pytest.importorskip("the_well.utils.dummy_data")
    writer.write_dummy_data(str(tmp_path / "dummy.hdf5"))
    found = data.read(tmp_path / "dummy.hdf5")
    with h5py.File(tmp_path / "dummy.hdf5") as f:
        np.testing.assert_array_equal(found["field"], f["t1_fields/field"][()])
        np.testing.assert_array_equal(found["constant_field"][:, 1], f["t0_fields/constant_field"][()])


def contents(path):
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path.parent)).split("/", 1)[-1]: p.read_bytes() for p in files}


def test_the_same_data_give_the_same_bytes_a_second_later(tmp_path):
    made = {suffix: line() for suffix in (".hdf5", ".h5", ".zarr", ".nc")}
    layouts = {".hdf5": "well", ".h5": "pdebench", ".zarr": "zarr", ".nc": "netcdf"}
    for i in (1, 2):
        for suffix, one in made.items():
            data.write(one, tmp_path / str(i) / f"set{suffix}", layouts[suffix])
        time.sleep(1.1 * (i == 1))
    for suffix in made:
        one, two = (contents(tmp_path / str(i) / f"set{suffix}") for i in (1, 2))
        assert list(one.values()) == list(two.values())


def test_a_folder_of_shards_is_one_set(tmp_path):
    parts = [line(samples=2), line(samples=3)]
    for i, one in enumerate(parts):
        data.write(one, tmp_path / f"shard-{i}.hdf5", "pdebench")
    (tmp_path / "shard-2.hdf5.partial").write_bytes(b"half a file")
    found = data.read(tmp_path)
    np.testing.assert_array_equal(found.fields, np.concatenate([p.fields for p in parts]))
    np.testing.assert_array_equal(found.parameters["amplitude"], [0, 0.5, 0, 0.5, 1])
    assert found.parameters["Nu"] == 0.01
    assert len(shards(tmp_path)) == 2
    with pytest.raises(ValueError, match="join sets of one kind"):
        data.joined([parts[0], line(points=9)])


def test_nothing_is_overwritten(tmp_path):
    path = data.write(line(), tmp_path / "set.zarr")
    before = contents(path)
    with pytest.raises(FileExistsError, match="is not overwritten"):
        data.write(line(), path)
    assert contents(path) == before


def test_broken_files_are_told_in_a_sentence(tmp_path):
    path = data.write(line(points=400), tmp_path / "a.hdf5", "well")
    whole = path.read_bytes()
    for name, cut in (("half.hdf5", len(whole) // 2), ("none.hdf5", 0)):
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="is not a whole HDF5 file"):
            data.read(tmp_path / name)
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(ValueError, match="is not a whole HDF5 file"):
        data.read(tmp_path / "text.nc")
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["weights"] = np.ones(3)
    with pytest.raises(ValueError, match=r"neither in The Well's layout .* it holds weights"):
        data.read(tmp_path / "other.h5")
    with h5py.File(path, "r+") as f:
        del f["t1_fields"]
        del f.attrs["n_trajectories"]
    with pytest.raises(ValueError, match="lacks the group t1_fields, the attribute n_trajectories"):
        data.read(path)
    with h5py.File(data.write(line(), tmp_path / "p.hdf5", "pdebench"), "r+") as f:
        del f["x-coordinate"]
    with pytest.raises(ValueError, match="lacks x-coordinate"):
        data.read(tmp_path / "p.hdf5")
    zarr = data.write(line(), tmp_path / "z.zarr")
    (zarr / "u" / "zarr.json").unlink()
    with pytest.raises(ValueError, match=r"z\.zarr: .* lacks u; it may be unfinished"):
        data.read(zarr)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        data.read(tmp_path / "nowhere.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no files of trajectories"):
        data.read(tmp_path / "empty")


def test_files_that_lack_a_part_are_told_in_a_sentence(tmp_path):
    """Fields, times, attributes or half of a chunk gone, or fewer points than coordinates: never an answer."""

    def well(part):
        path = data.write(line(), tmp_path / f"{part.replace('/', '-')}.hdf5", "well")
        with h5py.File(path, "r+") as f:
            del f[part]
        return path

    for part in ("t0_fields/u", "dimensions/time", "dimensions/x"):
        with pytest.raises(ValueError, match=r"\.hdf5 is unfinished, damaged or of another layout"):
            data.read(well(part))
    path = data.write(line(), tmp_path / "bare.hdf5", "well")
    with h5py.File(path, "r+") as f:
        del f["t0_fields/u"].attrs["dim_varying"]
    with pytest.raises(ValueError, match="unfinished, damaged"):
        data.read(path)
    path = data.write(line(), tmp_path / "fewer.hdf5", "pdebench")
    with h5py.File(path, "r+") as f:
        kept = f["tensor"][()][..., :5]
        del f["tensor"]
        f["tensor"] = kept
    with pytest.raises(ValueError, match=r"fewer\.hdf5: fields has shape"):
        data.read(path)
    store = data.write(line(), tmp_path / "half.zarr")
    (chunk,) = (store / "u" / "c").rglob("0/0/0")
    chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(ValueError, match="cannot be read as zarr"):
        data.read(store)
    chunk.unlink()
    with pytest.raises(ValueError, match="u has 0 of its 1 chunks"):
        data.read(store)
    store = data.write(line(), tmp_path / "places.zarr")
    (store / "x").rename(store / "y")
    with pytest.raises(ValueError, match=r"places\.zarr: this xarray data set lacks x"):
        data.read(store)
    path = data.write(line(), tmp_path / "gone.nc")
    with h5py.File(path, "r+") as f:
        del f["u"]
    with pytest.raises(ValueError, match=r"gone\.nc: this xarray data set lacks u"):
        data.read(path)


def test_nan_is_told_with_its_place(tmp_path):
    made = line()
    made.fields[1, 3, 2] = np.nan
    path = data.write(made, tmp_path / "a.hdf5", "pdebench")
    with pytest.raises(ValueError, match=r"field 'u' holds NaN or infinite values, first in sample 1 at time 1.5"):
        data.read(path)
    assert np.isnan(data.read(path, finite=False).fields).sum() == 1


def test_trajectories_that_contradict_themselves():
    good = line()
    for change, message in (
        ({"names": ("u", "v")}, r"must be \(samples, 5, 8, 2\)"),
        ({"boundaries": ("round",)}, "say periodic, wall, open"),
        ({"parameters": {"Nu": np.ones(7)}}, "one for each of the 3 samples"),
        ({"tensors": {"w": 1}}, "whose components w_x are not among names"),
    ):
        with pytest.raises(ValueError, match=message):
            Trajectories(**{**vars(good), **change})
    with pytest.raises(TypeError, match="float32 or float64"):
        Trajectories(**{**vars(good), "fields": good.fields * 1j})
    with pytest.raises(ValueError, match="does not tell the layout"):
        data.write(good, Path("a.hdf5"))
    with pytest.raises(KeyError, match="there are u"):
        good["v"]
