"""Reference files that networks are measured against: a few of their numbers, and how far from the truth they are.

The numbers are facts from maziarraissi/PINNs (burgers_shock.mat, AC.mat, KdV.mat, NLS.mat), lululxvi/deepxde
(Allen_Cahn.mat, Lorenz.npz) and i207M/PINNacle (burgers1d.dat), snapshots of 2026.
"""

import numpy as np
import pytest
import scipy.io

from duhamel.bench import references, solutions
from duhamel.jobs.bench import run_bench

NLS_KINK = 6e-5  # what the jump of slope at the ends costs on the file's 256 points

FILES = {
    "burgers_shock.mat": (
        solutions.burgers,
        [0.0, 0.25, 0.5, 0.75],
        [-0.8431372549019608, -0.4980392156862745, -0.05882352941176472, -0.0117647058823529],
        [
            [0.273326748124428, 0.8056619164066212, 0.5940626347331694, 0.14818490924892502],
            [0.19076185600132617, 0.5949461680698681, 0.9762670750308315, 0.9332530176216668],
            [0.1463597524171948, 0.46317492567067375, 0.831445332105659, 0.7987723809326314],
        ],
        2e-8,
    ),
    "KdV.mat": (
        solutions.kdv,
        [0.0, 0.5, 1.0],
        [-1.0, -0.4140625, 0.171875, 0.7578125],
        [
            [-0.5852739913495218, 0.12049233559607736, -0.0024848533984271892, -0.8280113133306297],
            [-0.31504227841411264, -0.5272290342407839, -0.6348669663339628, -0.5726940300637301],
        ],
        1e-10,
    ),
    "Allen_Cahn.mat": (
        solutions.allen_cahn_walls,
        [0.0, 0.5, 1.0],
        [-0.8, -0.4, -0.2, 0.0],
        [
            [-0.9904401637832919, 0.4975848553579972, 0.36540458487099925, 0.0120263127486189],
            [-0.9999291740731272, 0.9876096584744681, 0.9765264940457786, 0.2757293314693296],
        ],
        5e-4,
    ),
    "AC.mat": (
        solutions.allen_cahn,
        [0.0, 0.5, 1.0],
        [-1.0, -0.609375, -0.296875, 0.0],
        [
            [-0.9998874854959158, -0.83748202726963, 0.5384715156894825, 0.0012164450648214364],
            [-0.9999988894533967, -0.9985159636202645, 0.9918031760279531, 0.02957972234920425],
        ],
        2e-6,  # at t = 1/2, from the jump of slope at the ends on 512 points
    ),
    "NLS.mat": (
        solutions.schroedinger,
        [0.0, np.pi / 4, np.pi / 2],
        [-4.21875, -1.09375, 0.0],
        [
            [
                0.051180167352459935 + 0.030425151638480523j,
                0.5633532558667596 + 0.23292927985931366j,
                -3.694460878085543 - 1.53004126572907j,
            ],
            [
                0.0380808520016908 + 0.05477275287900891j,
                0.8527426901198915 + 0.8526889191305551j,
                1.417052866536066 + 1.4145615434243357j,
            ],
        ],
        NLS_KINK,
    ),
}
QUICK = ("burgers_shock.mat", "KdV.mat")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in FILES])
def test_the_file_agrees_to_its_accuracy(name):
    solution, t, x, values, accuracy = FILES[name]
    ours = solution(np.array(t), np.array(x), 1)
    np.testing.assert_allclose(ours[1:], np.array(values), rtol=0, atol=accuracy)


def test_pinnacles_burgers_is_wrong_at_the_shock():
    """By 5 % of the amplitude next to the shock while it forms; the other file and Cole and Hopf's formula agree."""
    from duhamel import pde

    t, x = np.array([0.0, 0.25, 0.5, 0.75, 1.0]), np.array([-0.5, -0.04, -0.02])
    ours = solutions.burgers(t, x, 1)
    grid = pde.periodic(100, 2.0)
    exact = pde.Burgers(viscosity=0.01 / np.pi).exact(grid, 0.5)  # at x + 1, multiples of 0.02
    np.testing.assert_allclose(ours[2], exact[[25, 48, 49]], atol=1e-7)
    theirs = np.array([0.5922882132540357, 0.98409537624574, 0.9333390727328397])
    apart = np.abs(theirs - ours[2])
    assert apart[0] < 1e-3 and 1e-3 < apart[1:].max() < 0.09, apart


def test_lorenz_as_integrated_with_a_loose_tolerance():
    t = np.array([0.0, 0.57747023, 1.75397377, 3.0])
    ours = solutions.lorenz(t, t, 1)
    theirs = [
        [4.674796934076926, 5.194091954008366, 11.683386720189198],
        [7.126206862496815, 7.254853046338332, 14.78184718947654],
        [5.430238438217022, 5.391742630070061, 13.438345631864737],
    ]
    np.testing.assert_allclose(ours[1:], theirs, atol=0.013)
    assert np.abs(ours[3] - theirs[2]).max() > 1e-3
    from scipy.integrate import solve_ivp

    def slope(t, u):
        return [10 * (u[1] - u[0]), u[0] * (15 - u[2]) - u[1], u[0] * u[1] - 8 / 3 * u[2]]

    found = solve_ivp(slope, (0, 3), [-8, 7, 27], method="DOP853", t_eval=t, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours, found.y.T, atol=1e-8)


def test_the_benchmark_reads_a_folder(tmp_path):
    """Files in the repositories' shapes, made of our own numbers, moved by a known part."""
    t = np.linspace(0.0, 3.0, 7)
    (tmp_path / "deep").mkdir()
    np.savez(tmp_path / "deep" / "Lorenz.npz", t=t[:, None], y=1.001 * solutions.lorenz(t, t, 2))
    found = run_bench("references", data=tmp_path, root=tmp_path / "runs", json=tmp_path / "r.json")
    assert len(found) == 1 and found[0].name == "lululxvi/deepxde: Lorenz.npz"
    assert found[0].value == pytest.approx(1e-3, rel=1e-6) and found[0].error == pytest.approx(0, abs=1e-10)
    rows = np.column_stack([[-1.0, 0.0, 1.0], np.zeros((3, 11))])
    np.savetxt(tmp_path / "burgers1d.dat", rows, header="a line of words", comments="% ")
    times, x, values = references.REFERENCES["burgers1d.dat"].read(tmp_path / "burgers1d.dat")
    assert times.tolist() == pytest.approx([0.1 * i for i in range(11)]) and values.shape == (11, 3)
    scipy.io.savemat(tmp_path / "KdV.mat", {"tt": t[None], "x": x[None], "uu": np.zeros((3, 7))})
    times, x, values = references.REFERENCES["KdV.mat"].read(tmp_path / "KdV.mat")
    assert times.shape == (7,) and x.shape == (3,) and values.shape == (7, 3)


def test_bad_folders_and_files(tmp_path):
    with pytest.raises(ValueError, match="belongs to the benchmark `references`"):
        run_bench("references", root=tmp_path)
    with pytest.raises(ValueError, match="belongs to the benchmark `references`"):
        run_bench("spectral", data=tmp_path, root=tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        references.run(folder=tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds none of burgers_shock\.mat"):
        references.run(folder=tmp_path)
    np.savez(tmp_path / "Lorenz.npz", t=np.zeros(3))
    with pytest.raises(ValueError, match="holds no y; it is another file of this name"):
        references.run(folder=tmp_path)
    np.savez(tmp_path / "Lorenz.npz", t=np.linspace(0, 1, 3), y=np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"values of shape \(3, 2\), and its problem has \(3, 3\)"):
        references.run(folder=tmp_path)
