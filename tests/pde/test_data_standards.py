"""Published data sets, small: their numbers, their laws, and how far frames are from a finer run or another method."""

import json
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
import scipy.io
from scipy.integrate import solve_ivp

pytest.importorskip("h5py")
pytest.importorskip("xarray")
pytest.importorskip("zarr")

from duhamel import pde
from duhamel.jobs.data import Wish, generate_data, list_data
from duhamel.pde import data
from duhamel.pde.data import draw
from duhamel.pde.data.initial import Clusters
from duhamel.pde.data.recipe import Solver
from duhamel.pde.data.standards import PATTERNS, STANDARDS, finer, standard


def solved(recipe):
    with jax.enable_x64(True):
        return Solver(replace(recipe, dtype="float64"))(0)[0]


def distance(one, two):
    """Relative L2 of each frame, the largest over samples and fields."""
    space = tuple(range(2, one.ndim - 1))
    return np.sqrt(np.sum((one - two) ** 2, axis=space) / np.sum(two**2, axis=space)).max(axis=(0, 2))


SMALL = [
    ("fno-burgers", {"samples": 2, "points": (1024,), "keep_every": 1, "steps_per_frame": 100}, 1e-6),
    (
        "fno-navier-stokes-1e-3",
        {"points": (64, 64), "keep_every": 1, "t1": 2.0, "frames": 3, "steps_per_frame": 50},
        1e-6,
    ),
    ("pdebench-burgers", {"samples": 2, "t1": 0.2, "frames": 5}, 3e-4),
    ("pdebench-reaction-diffusion-1d", {"samples": 2, "t1": 0.1, "frames": 5}, 3e-4),
    ("pdebench-shallow-water", {"points": (32, 32), "t1": 0.5, "frames": 3}, 0.04),
    ("well-gray-scott-maze", {"t1": 10.0, "frames": 2, "steps_per_frame": 20}, 0.01),
]


@pytest.mark.parametrize(
    ("name", "changes", "bound"),
    [pytest.param(*row, marks=() if row[0] == "pdebench-burgers" else pytest.mark.slow, id=row[0]) for row in SMALL],
)
def test_a_small_set_is_written_read_back_and_converged(name, changes, bound, tmp_path):
    changes = {"samples": 1} | changes
    recipe = standard(name, **changes, batch=changes["samples"])
    found = data.read(data.generate(recipe, tmp_path)[0])
    solution = solved(recipe)
    np.testing.assert_allclose(found.fields, solution, rtol=2e-6, atol=2e-6)
    apart = distance(solution, solved(finer(recipe)))
    assert apart[-1] < bound, apart
    assert found.provenance["recipe"]["seed"] == 0 and found.provenance["method"]


def test_advection_is_the_first_field_moved():
    recipe = standard("pdebench-advection", samples=6, batch=6, t1=0.5, frames=3)
    found, grid = solved(recipe), recipe.grid()
    assert recipe.parameters == {"velocity": 0.1}
    (x,), k = grid.coordinates(), 2 * np.pi * np.fft.rfftfreq(1024, 1 / 1024)
    for frame, t in enumerate((0.0, 0.25, 0.5)):
        moved = np.fft.irfft(np.fft.rfft(found[:, 0, :, 0]) * np.exp(-1j * k * 0.1 * t), 1024)
        np.testing.assert_allclose(found[:, frame, :, 0], moved, atol=1e-10)
    assert x[0] == pytest.approx(0.5 / 1024) and x[-1] == pytest.approx(1 - 0.5 / 1024)


def test_navier_stokes_against_another_integrator():
    """Crank-Nicolson and Heun in NumPy, the first field of the set, its force written out at the points."""
    changes = {"points": (32, 32), "keep_every": 1, "t1": 0.5, "frames": 2, "steps_per_frame": 100}
    recipe = standard("fno-navier-stokes-1e-3", 1, **changes)
    ours = solved(recipe)[0, ..., 0]
    x = np.arange(32) / 32
    s = 2 * np.pi * (x[:, None] + x)
    force = np.fft.fft2(0.1 * (np.sin(s) + np.cos(s)))
    k = 2 * np.pi * np.fft.fftfreq(32, 1 / 32)
    kx, ky = k[:, None], k[None, :]
    square = kx**2 + ky**2
    inverse = 1 / np.where(square > 0, square, 1)
    keep = (np.abs(kx) < 2 / 3 * 16 * 2 * np.pi) & (np.abs(ky) < 2 / 3 * 16 * 2 * np.pi)

    def slope(w):
        psi = w * inverse
        u, v, wx, wy = (np.fft.ifft2(f).real for f in (1j * ky * psi, -1j * kx * psi, 1j * kx * w, 1j * ky * w))
        return force - keep * np.fft.fft2(u * wx + v * wy)

    w, dt, diffusion = np.fft.fft2(ours[0]), 0.5 / 2000, 1e-3 * square
    for _ in range(2000):
        first = slope(w)
        guess = ((1 - 0.5 * dt * diffusion) * w + dt * first) / (1 + 0.5 * dt * diffusion)
        both = 0.5 * (first + slope(guess))
        w = ((1 - 0.5 * dt * diffusion) * w + dt * both) / (1 + 0.5 * dt * diffusion)
    np.testing.assert_allclose(np.fft.ifft2(w).real, ours[1], atol=2e-6)
    assert np.abs(ours[1] - ours[0]).max() > 0.01


@pytest.mark.slow
def test_diffusion_reaction_against_finite_volumes():
    """The scheme of the published generator, five points and no flux, by DOP853: what is left is its h^2."""
    apart = []
    for n in (16, 32):
        recipe = standard("pdebench-diffusion-reaction", 1, points=(n, n), t1=0.5, frames=2, steps_per_frame=200)
        smooth = solved(replace(recipe, initial="apebench"))[0]
        h = 2 / n

        def laplace(u, h=h):
            p = np.pad(u, 1, mode="edge")
            return (p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u) / h**2

        def slope(t, y, n=n, laplace=laplace):
            u, v = y.reshape(2, n, n)
            return np.stack([1e-3 * laplace(u) + u - u**3 - 5e-3 - v, 5e-3 * laplace(v) + u - v]).ravel()

        first = np.moveaxis(smooth[0], -1, 0)
        end = solve_ivp(slope, (0, 0.5), first.ravel(), method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
        apart.append(np.abs(np.moveaxis(smooth[1], -1, 0).ravel() - end).max())
    assert apart[1] < 5e-3 and 3 < apart[0] / apart[1] < 5, apart


@pytest.mark.slow
def test_the_first_field_of_diffusion_reaction_is_noise_at_every_point():
    found = solved(standard("pdebench-diffusion-reaction", 1, points=(48, 48), t1=0.05, frames=2))
    assert found[0, 0].std() == pytest.approx(1, abs=0.05) and abs(found[0, 0].mean()) < 0.05


def test_darcy_is_balanced_and_converges_for_a_material_of_cells(tmp_path):
    """What flows out through the walls is the source's integral; cells cut into 3 x 3 move the solution by little."""
    recipe = standard("fno-darcy", 1, points=(33, 33), keep_every=1, batch=1)
    a, u = np.moveaxis(solved(recipe)[0, 0], -1, 0)
    assert set(np.unique(a)) == {3.0, 12.0} and u.min() > 0
    sides = ((0,), (-1,), (slice(None), 0), (slice(None), -1))
    assert sum(2 * np.sum(a[side] * u[side]) for side in sides) == pytest.approx(1.0, rel=1e-8)
    with jax.enable_x64(True):
        system = pde.elliptic.Darcy(a=np.kron(a, np.ones((3, 3)))).system(pde.elliptic.box((99, 99), 1.0))
        fine = np.asarray(pde.elliptic.solve(system, 1.0, pde.elliptic.PCG(pde.elliptic.Jacobi(), max_steps=2000)).u)
    fine = fine[1::3, 1::3]
    assert np.linalg.norm(u - fine) < 0.03 * np.linalg.norm(fine)
    found = data.read(data.generate(recipe, tmp_path)[0])
    assert found.names == ("nu", "tensor") and found.boundaries == ("wall", "wall")
    np.testing.assert_allclose(found["tensor"][0, 0], u, rtol=1e-6)
    assert scipy.io.loadmat(tmp_path / "darcy-00000.mat")["sol"].shape == (1, 33, 33)


def test_shallow_water_keeps_its_symmetry_and_its_water():
    found = solved(standard("pdebench-shallow-water", 2, points=(32, 32), t1=0.4, frames=3))[..., 0]
    for axis in (-1, -2):
        np.testing.assert_allclose(found, np.flip(found, axis), atol=1e-12)
    np.testing.assert_allclose(found, np.swapaxes(found, -1, -2), atol=1e-12)
    np.testing.assert_allclose(found.sum((-1, -2)), found[:, :1].sum((-1, -2)) * np.ones((1, 3)), rtol=1e-12)
    assert np.abs(found[0, 0] - found[1, 0]).max() == 1.0  # two radii


def test_clusters_are_the_sum_over_all_images():
    """Against Gaussians summed over nine images in NumPy, both species from 0 to 1."""
    grid = pde.periodic((32, 32), 2.0, -1.0)
    found = np.asarray(draw(Clusters(count=(3, 3)), jax.random.key(1), grid, [0, 1]))
    assert found.shape == (2, 2, 32, 32)
    np.testing.assert_allclose(found.min(axis=(2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(found.max(axis=(2, 3)), 1, atol=1e-6)
    _, two = jax.random.split(jax.random.fold_in(jax.random.key(1), 0))
    cx, cy, a, s, _ = np.split(np.asarray(jax.random.uniform(two, (13,)), float), np.cumsum([3, 3, 3, 3]))
    x = np.arange(32) / 32
    v = np.zeros((32, 32))
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            for j in range(3):
                square = 4 * ((x[:, None] - cx[j] + dx) ** 2 + (x - cy[j] + dy) ** 2)
                v += (1 + 2 * a[j]) * np.exp(-(150 + 150 * s[j]) * square)
    np.testing.assert_allclose(found[0, 1], (v - v.min()) / (v.max() - v.min()), atol=1e-5)
    with pytest.raises(ValueError, match="count = "):
        Clusters(count=(0, 3))


def test_the_numbers_are_the_publications():
    """Domains, parameters, times between frames and points of each, as their texts and configurations have them."""
    between = {name: s.recipe.t1 / max(1, s.recipe.frames - 1) for name, s in STANDARDS.items()}
    assert between["fno-burgers"] == between["fno-navier-stokes-1e-5"] == 1.0
    assert between["pdebench-burgers"] == between["pdebench-shallow-water"] == pytest.approx(0.01)
    assert between["pdebench-diffusion-reaction"] == 0.05 and between["well-gray-scott-maze"] == 10.0
    assert STANDARDS["pdebench-burgers"].recipe.parameters["viscosity"] == pytest.approx(0.01 / np.pi)
    assert [STANDARDS[f"fno-navier-stokes-{w}"].recipe.t1 for w in ("1e-3", "1e-4", "1e-5")] == [50, 30, 20]
    assert len(PATTERNS) == 6 and PATTERNS["spots"] == (0.03, 0.062)
    gray = STANDARDS["well-gray-scott-spots"].recipe
    assert gray.sizes() == (1001, 128, 128, 2) and gray.start == (-1.0, -1.0) and gray.names() == ("A", "B")
    for name, one in STANDARDS.items():
        one.recipe.check()
        assert one.published and one.source and one.error, name


def test_fnos_files_are_what_its_reader_expects(tmp_path):
    """a and u by name, samples first, time last; the same bytes each time; without our additions they still read."""
    flow = standard("fno-navier-stokes-1e-3", 2, points=(16, 16), t1=2.0, frames=3, steps_per_frame=5, keep_every=2)
    path = data.generate(flow, tmp_path / "flow")[0]
    raw, found = scipy.io.loadmat(path), data.read(path)
    assert raw["a"].shape == (2, 8, 8) and raw["u"].shape == (2, 8, 8, 2) and raw["t"].tolist() == [[1.0, 2.0]]
    np.testing.assert_array_equal(raw["u"][..., 1], found.fields[:, 2, ..., 0])
    assert found.names == ("vorticity",) and found.times.tolist() == [0.0, 1.0, 2.0]
    assert found.parameters["viscosity"] == 1e-3
    again = data.write(found, tmp_path / "again.mat")
    assert again.read_bytes() == path.read_bytes() and again.read_bytes().startswith(b"MATLAB 5.0")
    scipy.io.savemat(tmp_path / "bare.mat", {"a": raw["a"][:, 0], "u": raw["u"][:, 0, :, 0]})
    bare = data.read(tmp_path / "bare.mat")
    assert bare.names == ("u",) and bare.coordinates[0].tolist() == [i / 8 for i in range(8)]


def test_bad_files_and_wishes(tmp_path):
    for content, message in (
        (b"", "is not a whole MATLAB file"),
        (b"x" * 400, "is not a whole MATLAB file"),
    ):
        (tmp_path / "bad.mat").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            data.read(tmp_path / "bad.mat")
    scipy.io.savemat(tmp_path / "other.mat", {"uu": np.zeros(3)})
    with pytest.raises(ValueError, match=r"not in FNO's layout .* it holds uu"):
        data.read(tmp_path / "other.mat")
    scipy.io.savemat(tmp_path / "odd.mat", {"a": np.zeros((2, 4)), "u": np.zeros((2, 5))})
    with pytest.raises(ValueError, match=r"a has shape \(2, 4\) and u \(2, 5\)"):
        data.read(tmp_path / "odd.mat")
    whole = data.generate(standard("fno-burgers", 2, points=(32,), steps_per_frame=5, keep_every=1), tmp_path / "b")[0]
    (tmp_path / "cut.mat").write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(ValueError, match="is not a whole MATLAB file"):
        data.read(tmp_path / "cut.mat")
    pair = data.Trajectories(np.zeros((1, 2, 4, 4, 2)), ("A", "B"), np.arange(2.0), (np.arange(4.0),) * 2)
    with pytest.raises(ValueError, match="layout = 'fno' holds one field"):
        data.write(pair, tmp_path / "pair.mat")
    with pytest.raises(ValueError, match="did you mean pdebench-burgers"):
        standard("pdebench-burger")
    wishes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"frames": 2}, "is steady, so frames = 1"),
        ({"parameters": {"viscosity": 1.0}}, "darcy has no parameter 'viscosity'"),
        ({"walls": "periodic"}, "walls = 'insulated'"),
    )
    for change, message in wishes:
        with pytest.raises(ValueError, match=message):
            standard("fno-darcy", 1, points=(8, 8), **change).check()
    wishes = (
        ({"parameters": {"depth": 1.0}}, "shallow-water has no parameter 'depth'"),
        ({"walls": "fixed"}, "no given depth"),
    )
    for change, message in wishes:
        with pytest.raises(ValueError, match=message):
            standard("pdebench-shallow-water", 1, points=(8, 8), **change).check()
    with pytest.raises(ValueError, match="solved in waves"):
        replace(standard("fno-burgers", 1), walls="open").check()


def test_the_command_makes_published_sets(tmp_path, capsys):
    """A shorter set keeps the times between its frames; what is the set's own cannot be changed."""
    recipe = generate_data(
        "pdebench-burgers", Wish(samples=2, t1=0.05, points=128), out=tmp_path / "b", json=tmp_path / "r.json"
    )
    assert recipe.frames == 6 and recipe.layout == "pdebench" and json.loads((tmp_path / "r.json").read_text())
    assert data.read(tmp_path / "b").fields.shape == (2, 6, 128, 1)
    list_data()
    assert "well-gray-scott-worms" in capsys.readouterr().out
    with pytest.raises(ValueError, match="first fields, walls and a length of its own"):
        generate_data("fno-darcy", Wish(initial="noise"), out=tmp_path / "d")
    with pytest.raises(ValueError, match="is solved by ETDRK4"):
        generate_data("fno-burgers", Wish(method="etdrk2"), out=tmp_path / "d")
    with pytest.raises(ValueError, match="no published set is called 'fno-burger'"):
        generate_data("fno-burger", out=tmp_path / "d")


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of xarray, about its own future
def test_the_wells_own_reader_opens_the_gray_scott_set(tmp_path):
    """Names of fields and parameters as in its own files; windows of frames equal ours."""
    pytest.importorskip("torch")
    reader = pytest.importorskip("the_well.data.datasets")
    changes = {"points": (32, 32), "t1": 30.0, "frames": 4, "steps_per_frame": 5, "batch": 2}
    path = data.generate(standard("well-gray-scott-worms", 2, **changes), tmp_path)[0]
    found, ours = reader.WellDataset(path=str(tmp_path), n_steps_input=2, n_steps_output=1), data.read(path)
    assert found.metadata.field_names[0] == ["A", "B"] and {"F", "k"} <= set(found.metadata.constant_scalar_names)
    assert found.metadata.spatial_resolution == (16, 16) and len(found) == 4
    np.testing.assert_array_equal(found[0]["input_fields"].numpy(), ours.fields[0, :2])
    assert found[0]["boundary_conditions"].tolist() == [[2, 2], [2, 2]]  # periodic
