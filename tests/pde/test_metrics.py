"""Metrics against closed forms, quadrature and double sums; and that bands count both signs of every wavenumber."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from duhamel import pde
from duhamel.pde import metrics

RNG = np.random.default_rng(0)


def test_errors_of_a_scaled_field():
    truth = RNG.normal(size=(5, 3, 16, 16))
    assert np.allclose(metrics.relative_l2(1.1 * truth, truth), 0.1)
    assert metrics.relative_l2(1.1 * truth, truth).shape == (5,)
    assert np.allclose(metrics.nrmse(0.7 * truth, truth, (-2, -1)), 0.3)
    assert metrics.nrmse(truth, truth, (-2, -1)).shape == (5, 3)


def test_vrmse_is_one_for_the_mean_and_knows_no_offset():
    truth = 3.0 + RNG.normal(size=(4, 64))
    mean = np.broadcast_to(truth.mean(-1, keepdims=True), truth.shape)
    np.testing.assert_allclose(metrics.vrmse(mean, truth, -1), 1, atol=1e-6)
    e = RNG.normal(size=truth.shape)
    np.testing.assert_allclose(metrics.vrmse(truth + e, truth, -1), metrics.vrmse(truth + e + 9, truth + 9, -1))
    assert np.all(metrics.nrmse(mean, truth, -1) < 0.5)  # nRMSE is flattered by an offset, VRMSE is not


def test_relative_l2_of_complex_fields_counts_both_parts():
    u = RNG.normal(size=(2, 32)) + 1j * RNG.normal(size=(2, 32))
    np.testing.assert_allclose(metrics.relative_l2(u * np.exp(0.3j), u), 2 * np.sin(0.15), rtol=1e-12)


def test_pearson_of_shifted_waves_is_the_cosine_of_the_shift():
    x = 2 * np.pi * np.arange(64) / 64
    shifts = np.linspace(0, np.pi, 7)
    u = np.sin(x + shifts[:, None])
    found = metrics.pearson(5 * u + 2, np.broadcast_to(np.sin(x), u.shape), -1)
    np.testing.assert_allclose(found, np.cos(shifts), atol=1e-14)
    assert metrics.pearson(np.ones(8), x[:8], -1) == 0


def test_correlation_time_interpolates_and_has_ends():
    t = np.array([0.0, 1.0, 2.0, 3.0])
    c = np.array([[1.0, 0.9, 0.6, 0.1], [1.0, 0.99, 0.95, 0.9], [0.5, 0.9, 0.9, 0.9], [1.0, 0.7, 0.9, 0.2]])
    np.testing.assert_allclose(metrics.correlation_time(c, t), [1 + 1 / 3, 3.0, 0.0, 2 / 3])
    assert jax.jit(metrics.correlation_time)(c, t).dtype == jnp.float64
    with pytest.raises(ValueError, match="give one each"):
        metrics.correlation_time(c, t[:2])


@pytest.mark.parametrize("s", [-2.0, -1.0, -0.5, 0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("shape, length, m", [((33,), (3.0,), (4,)), ((16, 20), (2.0, 5.0), (-3, 6))])
def test_sobolev_norm_of_one_mode(s, shape, length, m):
    """||cos(k.x)||_s = (1 + |k|^2)^(s/2) sqrt(volume/2), and |k|^s without the 1."""
    grid = pde.periodic(shape, length)
    k = [2 * np.pi * j / side for j, side in zip(m, length, strict=True)]
    u = np.cos(sum(kj * x for kj, x in zip(k, grid.coordinates(), strict=True)))
    size, norm = np.linalg.norm(k), np.sqrt(grid.volume / 2)
    assert metrics.sobolev_norm(u, grid, s) == pytest.approx((1 + size**2) ** (s / 2) * norm, rel=1e-12)
    assert metrics.sobolev_norm(u, grid, s, homogeneous=True) == pytest.approx(size**s * norm, rel=1e-12)
    wave = np.exp(1j * sum(kj * x for kj, x in zip(k, grid.coordinates(), strict=True)))
    assert metrics.sobolev_norm(wave, grid, s) == pytest.approx((1 + size**2) ** (s / 2) * np.sqrt(grid.volume))


def test_sobolev_norm_against_quadrature_and_duality():
    """s = 1: int u^2 + u_x^2 by the trapezoidal rule; s = -1: the supremum of <u, v> over ||v||_1 = 1."""
    grid = pde.periodic(256, 2.0)
    (x,) = grid.coordinates()
    u = np.exp(np.sin(np.pi * x)) - 0.4 * np.cos(3 * np.pi * x)
    du = np.pi * np.cos(np.pi * x) * np.exp(np.sin(np.pi * x)) + 1.2 * np.pi * np.sin(3 * np.pi * x)
    assert metrics.sobolev_norm(u, grid, 1.0) == pytest.approx(np.sqrt(2 * np.mean(u**2 + du**2)), rel=1e-12)
    k = grid.wavenumbers()[0]
    best = np.fft.irfft(np.fft.rfft(u) / (1 + k**2), 256)  # Riesz representative: (1 - d_xx) v = u
    dual = float(metrics.sobolev_norm(u, grid, -1.0))
    assert 2 * np.mean(u * best) / metrics.sobolev_norm(best, grid, 1.0) == pytest.approx(dual, rel=1e-12)
    for _ in range(20):
        v = np.fft.irfft(RNG.normal(size=129) * np.exp(-k / 20), 256)
        assert 2 * np.mean(u * v) / metrics.sobolev_norm(v, grid, 1.0) <= dual
    assert metrics.sobolev_error(1.2 * u, u, grid, -0.7) == pytest.approx(0.2)


def first_quadrant(error, bands):
    """What PDEBench's `metric_func` adds up: only modes with all m >= 0 (and below N/2)."""
    n, m = error.shape
    power = np.abs(np.fft.fft2(error) / error.size)[: n // 2, : m // 2] ** 2
    size = np.hypot(*np.meshgrid(np.arange(n // 2), np.arange(m // 2), indexing="ij"))
    edges = [0, *bands, np.inf]
    return np.array([np.sqrt(power[(size >= a) & (size < b)].sum()) for a, b in itertools.pairwise(edges)])


def test_bands_count_both_signs_of_every_wavenumber():
    """An error along (m, -n) is invisible to PDEBench's loop over the first quadrant, and half of one along (m, n)."""
    grid = pde.periodic((32, 32), 2 * np.pi)
    x, y = grid.coordinates()
    truth = np.zeros((32, 32))
    for sign, seen in ((1, np.sqrt(0.5)), (-1, 0.0)):
        error = np.cos(5 * x + sign * 4 * y)
        ours = metrics.frmse(truth + error, truth, grid)
        np.testing.assert_allclose(ours, [0, np.sqrt(0.5), 0], atol=1e-14)
        np.testing.assert_allclose(first_quadrant(error, metrics.BANDS)[1], seen * np.sqrt(0.5), atol=1e-14)


@pytest.mark.parametrize("shape", [(31,), (32,), (12, 15), (8, 9, 10)])
def test_bands_and_shells_add_up_to_the_whole(shape):
    """Parseval: nothing is lost or counted twice, odd and even sizes, real and complex."""
    grid = pde.periodic(shape, tuple(1.0 + i for i in range(len(shape))))
    for u in (RNG.normal(size=(2, *shape)), RNG.normal(size=(2, *shape)) + 1j * RNG.normal(size=(2, *shape))):
        mean = np.mean(np.abs(u) ** 2, axis=grid.axes)
        bands = metrics.frmse(u, np.zeros_like(u), grid, (2, 3.5))
        assert bands.shape == (2, 3)
        np.testing.assert_allclose(np.sum(np.asarray(bands) ** 2, axis=-1), mean)
        k, energy = metrics.energy_spectrum(u, grid)
        np.testing.assert_allclose(np.sum(energy, axis=-1), mean / 2)
        assert k.shape == energy.shape[-1:]


def test_energy_spectrum_puts_a_mode_into_its_shell():
    grid = pde.periodic((32, 32), (4.0, 4.0))
    x, y = grid.coordinates()
    u = np.cos(2 * np.pi / 4 * (3 * x - 4 * y)) + 0 * x
    k, energy = metrics.energy_spectrum(u, grid)
    assert np.argmax(energy) == 5
    assert k[5] == pytest.approx(5 * np.pi / 2)
    assert energy[5] == pytest.approx(0.25)


def test_crps_is_the_double_sum_and_the_closed_form():
    x, y = RNG.normal(size=(7, 4)), RNG.normal(size=4)
    pairs = np.abs(x[:, None] - x[None]).sum((0, 1))
    first = np.abs(x - y).mean(0)
    np.testing.assert_allclose(metrics.crps(x, y), first - pairs / (2 * 7 * 6))
    np.testing.assert_allclose(metrics.crps(x.T, y, axis=-1, fair=False), first - pairs / (2 * 49))
    y = np.linspace(-2, 2, 5)  # of N(0, 1): y (2 Phi(y) - 1) + 2 phi(y) - 1/sqrt(pi)
    exact = y * erf(y / np.sqrt(2)) + 2 * np.exp(-(y**2) / 2) / np.sqrt(2 * np.pi) - 1 / np.sqrt(np.pi)
    many = RNG.normal(size=(20_000, 1)) + np.zeros(5)
    np.testing.assert_allclose(metrics.crps(many, y), exact, atol=0.02)


def test_spread_equals_skill_when_truth_is_one_of_the_members():
    """A reliable ensemble of 5: the raw ratio would be sqrt(5/6)."""
    draws = RNG.normal(size=(6, 40_000))
    spread, skill, ratio = metrics.spread_skill(draws[:5], draws[5], axes=-1)
    assert ratio == pytest.approx(1, abs=0.02)
    assert spread / skill == pytest.approx(np.sqrt(5 / 6), abs=0.02)
    assert metrics.spread_skill(0.5 * draws[:5], draws[5], axes=-1)[2] < 0.6


def test_drift_of_invariants_sees_what_is_lost():
    """Heat-like decay: energy of sin falls as exp(-2 nu t), mass stays."""
    grid, nu = pde.periodic(64, 2 * np.pi), 0.1
    (x,), t = grid.coordinates(), np.linspace(0, 1, 5)
    u = 1 + np.exp(-nu * t)[:, None] * np.sin(x)
    found = metrics.invariants_drift(pde.Burgers(viscosity=nu), grid, u)
    assert np.abs(found["mass"]).max() < 1e-14
    np.testing.assert_allclose(found["energy"], (1 + np.exp(-2 * nu * t) / 2) / 1.5 - 1, atol=1e-13)
    np.testing.assert_allclose(metrics.drift(np.array([0.0, 0.5]), relative=False), [0, 0.5])


def test_metrics_keep_the_precision_and_work_under_jit_and_grad():
    grid = pde.periodic((8, 8), 1.0)
    for dtype in (np.float32, np.float64):
        a, b = (RNG.normal(size=(3, 8, 8)).astype(dtype) for _ in range(2))
        found = (
            metrics.relative_l2(a, b),
            metrics.vrmse(a, b, (-2, -1)),
            metrics.pearson(a, b, (-2, -1)),
            jax.jit(lambda a, b: metrics.sobolev_error(a, b, grid, -1.0))(a, b),
            jax.jit(lambda a, b: metrics.frmse(a, b, grid))(a, b),
            metrics.energy_spectrum(a, grid)[1],
            metrics.crps(a, b[0]),
            *metrics.spread_skill(a, b[0], (-2, -1)),
        )
        assert all(v.dtype == dtype for v in found)
        slope = jax.grad(lambda a, b=b: jnp.sum(metrics.sobolev_error(a, b, grid, 1.0)))(jnp.asarray(a))
        assert np.all(np.isfinite(slope))


def test_bad_input_is_told_in_a_sentence():
    grid = pde.periodic(8, 1.0)
    with pytest.raises(ValueError, match="compare fields of one shape"):
        metrics.relative_l2(np.ones((2, 8)), np.ones(8))
    with pytest.raises(ValueError, match="must be those of the grid"):
        metrics.energy_spectrum(np.ones(9), grid)
    with pytest.raises(ValueError, match="let them increase"):
        metrics.frmse(np.ones(8), np.zeros(8), grid, (4, 2))
    with pytest.raises(ValueError, match="needs at least 2"):
        metrics.crps(np.ones((1, 8)), np.ones(8))
