"""Files of other collections that Trajectories cannot hold are named, with what to do."""

import numpy as np
import pytest

from duhamel.pde.data.files import read

h5py = pytest.importorskip("h5py")


@pytest.mark.parametrize(
    ("axes", "kind"), [(("theta", "phi"), "equiangular"), (("log_r", "theta", "phi"), "spherical")]
)
def test_curvilinear_axes_of_the_well(tmp_path, axes, kind):
    path, space = tmp_path / "sphere.hdf5", (4,) * len(axes)
    with h5py.File(path, "w") as f:
        f.attrs.update({"dataset_name": "s", "grid_type": kind, "n_spatial_dims": len(axes), "n_trajectories": 1})
        d = f.create_group("dimensions")
        d.attrs["spatial_dims"] = list(axes)
        for name, n in (("time", 2), *((a, 4) for a in axes)):
            d.create_dataset(name, data=np.arange(float(n)))
        f.create_group("scalars").attrs["field_names"] = []
        for rank in range(3):
            group = f.create_group(f"t{rank}_fields")
            group.attrs["field_names"] = ["velocity"] if rank == 1 else []
            if rank == 1:
                one = group.create_dataset("velocity", data=np.zeros((1, 2, *space, len(axes)), np.float32))
                one.attrs.update({"dim_varying": [True] * len(axes), "sample_varying": True, "time_varying": True})
    with pytest.raises(ValueError, match=rf"{kind} grid with the axes {', '.join(axes)}.*Cartesian.*h5py"):
        read(path)


def test_incompressible_set_of_pdebench(tmp_path):
    path = tmp_path / "ns_incom_inhom_2d_512-0.h5"
    with h5py.File(path, "w") as f:
        for name, shape in (("velocity", (1, 3, 4, 4, 2)), ("particles", (1, 3, 4, 4, 1)), ("force", (1, 4, 4, 2))):
            f.create_dataset(name, data=np.zeros(shape, np.float32))
        f.create_dataset("t", data=np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"PDEBench's incompressible set .*neither coordinates.*h5py"):
        read(path)
