"""The standard sets against closed forms and SciPy."""

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from duhamel.pde.emulate.sets import burgers_set, darcy, darcy_set, navier_stokes_set, resampled
from duhamel.pde.emulate.windows import Pairs, Symmetric


def test_a_set_has_the_stated_spectrum_and_is_one_function_on_every_grid():
    u0, _ = burgers_set(500, 64, seed=1, steps=1)
    modes = np.fft.rfft(u0[:, 0]) / 64
    for k in (1, 2, 5):
        expected = 625 / ((2 * np.pi * k) ** 2 + 25) ** 2  # E|c_k|^2 of sqrt(2 lam) (xi cos + eta sin)
        assert np.mean(np.abs(modes[:, k]) ** 2) == pytest.approx(expected, rel=0.2)  # four standard errors
    assert np.abs(modes[:, 0]).max() < 1e-7
    u = np.random.default_rng(0).standard_normal((2, 15))
    assert np.allclose(resampled(resampled(u, 64), 15), u) and np.allclose(resampled(u, 45)[:, ::3], u)


def test_burgers_pairs_are_solutions():
    """Against SciPy's LSODA on the Fourier-differentiated equation of 128 points."""
    u0, u1 = burgers_set(2, 1024, seed=3)
    k = 2j * np.pi * np.fft.rfftfreq(128, 1 / 128)
    start = np.fft.irfft(np.fft.rfft(np.asarray(u0[0, 0], float))[:64] / 8, 128)

    def right(t, u):
        modes, square = np.fft.rfft(u), np.fft.rfft(u * u)
        return np.fft.irfft(0.1 * k**2 * modes - 0.5 * k * square, 128)

    truth = solve_ivp(right, (0, 1), start, method="LSODA", rtol=1e-8, atol=1e-10).y[:, -1]
    assert np.abs(u1[0, 0, ::8] - truth).max() < 3e-5 * np.abs(truth).max()
    for points in (256, 4096):
        other = burgers_set(2, points, seed=3)[1]
        stride = max(points, 1024) // min(points, 1024)
        pair = (u1[..., ::stride], other) if points < 1024 else (u1, other[..., ::stride])
        assert np.allclose(*pair, atol=1e-7)


def test_darcy_converges_to_the_series_of_a_constant_coefficient():
    """-a Laplacian u = 1 on the square: u = sum 16/(pi^4 a) sin sin/(m n (m^2 + n^2)) over odd m, n; order 2."""
    errors = []
    for n in (17, 33, 65):
        x = np.linspace(0, 1, n)
        m = np.arange(1, 200, 2)
        s = np.sin(np.pi * m[:, None] * x) / m[:, None]
        truth = 16 / (np.pi**4 * 3) * np.einsum("mi,nj,mn->ij", s, s, 1 / (m[:, None] ** 2 + m[None, :] ** 2))
        errors.append(np.abs(darcy(np.full((n, n), 3.0)) - truth).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.2)


def test_darcy_across_a_jump_is_the_two_parabolas():
    """With a = a(x) the flux is continuous where a jumps; far from the ends in y the solution is one-dimensional.

    Here the layers are rows of a tall system: a depends on x only and the middle row is compared with its own
    one-dimensional balance, -(a u_x)_x = 1 + (a u_y)_y, summed over the square: the outflow is the source.
    """
    n = 65
    a = np.where(np.linspace(0, 1, n) < 0.5, 3.0, 12.0)[:, None] * np.ones((1, n))
    u, h = darcy(a), 1 / (n - 1)
    outflow = sum(
        (edge * inner).sum() for edge, inner in ((a[1], u[1]), (a[-2], u[-2]), (a[:, 1], u[:, 1]), (a[:, -2], u[:, -2]))
    )
    assert outflow == pytest.approx((n - 2) ** 2 * h**2, rel=1e-10)
    assert np.allclose(u, u[:, ::-1], atol=1e-14) and not np.allclose(u, u[::-1], atol=1e-4)


def test_darcy_set_has_both_materials():
    a, u = darcy_set(3, 41, seed=0)
    assert a.shape == u.shape == (3, 1, 41, 41) and set(np.unique(a)) == {3.0, 12.0}
    assert 0.1 < (a == 12).mean() < 0.9 and np.all(u[:, :, 0] == 0) and np.all(u[:, :, 1:-1, 1:-1] > 0)
    assert np.allclose(u[1, 0], darcy(a[1, 0].astype(float)), rtol=1e-6)
    fine = darcy_set(3, 81, seed=0)[0]
    assert np.mean(fine[..., ::2, ::2] == a) > 0.99  # points on the line between the materials may fall to either side
    with pytest.raises(ValueError, match="do not carry 40 half waves"):
        darcy_set(1, 40)


def test_turned_batches_are_solutions_too():
    """The five-point scheme commutes with the symmetries of the square, all eight of which turn up."""
    a, u = darcy_set(1, 41, seed=0)
    data, seen = Symmetric(Pairs(a, u, 1)), set()
    for step in range(40):
        window = data(jax.random.key(0), step)
        key = np.asarray(window.past).tobytes()
        if key not in seen:
            turned = np.asarray(window.past[0, 0, 0], float)
            assert np.allclose(window.future[0, 0, 0], darcy(turned), rtol=1e-5)
        seen.add(key)
    assert len(seen) == 8


def test_stirred_flow_is_the_published_equation():
    """Against SciPy's LSODA on 16 x 16 points, written with four derivatives and none of our spectral forms."""
    n, times = 16, np.array([1.0, 2.0])
    found = navier_stokes_set(1, n, seed=1, times=times, viscosity=5e-3)[0, :, 0]
    k = 2 * np.pi * np.fft.fftfreq(n, 1 / n)
    kx, ky = k[:, None], k[None, :]
    square = kx**2 + ky**2
    square[0, 0] = 1.0
    keep = (np.abs(kx) < 2 * np.pi * n / 3) & (np.abs(ky) < 2 * np.pi * n / 3)
    x = np.arange(n) / n
    phase = 2 * np.pi * (x[:, None] + x[None, :])
    force = 0.1 * (np.sin(phase) + np.cos(phase))
    back = lambda modes: np.fft.ifft2(modes).real  # noqa: E731

    def right(t, flat):
        w = np.fft.fft2(flat.reshape(n, n)) * keep
        u, v = back(1j * ky * w / square), back(-1j * kx * w / square)
        moved = keep * np.fft.fft2(u * back(1j * kx * w) + v * back(1j * ky * w))
        return (back(-moved - 5e-3 * (kx**2 + ky**2) * w) + force).ravel()

    solved = solve_ivp(right, (1, 2), found[0].ravel().astype(float), method="LSODA", rtol=1e-7, atol=1e-9).y[:, -1]
    assert np.abs(found[1].ravel() - solved).max() < 1e-4 * np.abs(solved).max()
