"""Initial conditions: spectra by statistics against closed forms, and one function per key whatever the grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel import pde
from duhamel.pde import data
from duhamel.pde.data import named
from duhamel.pde.data.gaussian import GaussianField, TruncatedFourier

KEY = jax.random.key(7)


def many(sampler, grid, n=3000):
    return np.asarray(jax.jit(lambda: data.draw(sampler, KEY, grid, np.arange(n)))())


def test_spectrum_of_a_gaussian_field_is_the_stated_one():
    """volume E|c_m|^2 = sigma^2 (|k|^2 + tau^2)^-alpha for every mode; chi-square: 5 standard errors of each mean."""
    grid, n = pde.periodic((16, 12), (2.0, 3.0)), 3000
    u = many(GaussianField(sigma=2.0, tau=4.0, alpha=1.5), grid, n)
    power = grid.volume * np.mean(np.abs(np.fft.rfftn(u, axes=(1, 2)) / (16 * 12)) ** 2, axis=0)
    wanted = 4.0 * (-grid.laplacian() + 16.0) ** -1.5 * grid.mask(1)
    wanted[0, 0] = 0
    seen = wanted > 0
    assert np.abs(power[~seen]).max() < 1e-25
    # Modes that are their own mirror images do not occur among those seen, so E|c|^2 is exponential: sd = mean.
    ratio = power[seen] / wanted[seen]
    assert np.abs(ratio - 1).max() < 5 / np.sqrt(n)
    assert abs(ratio.mean() - 1) < 5 / np.sqrt(n * seen.sum() / 2)
    gaussian = u[:, 3, 5] / u[:, 3, 5].std()
    assert abs(np.mean(gaussian**4) - 3) < 5 * np.sqrt(96 / n)


@pytest.mark.parametrize(
    "boundary, covariance",
    [
        ("dirichlet", lambda s, t: np.minimum(s, t) - s * t),  # the Brownian bridge
        ("neumann", lambda s, t: (s**2 + t**2) / 2 - np.maximum(s, t) + 1 / 3),  # Brownian motion less its mean
        ("periodic", lambda s, t: 1 / 12 - np.abs(s - t) * (1 - np.abs(s - t)) / 2),  # the bridge less its mean
    ],
)
def test_the_inverse_laplacian_as_covariance(boundary, covariance):
    """alpha = 1, tau = 0 on (0, 1): Green's functions of -u'' in closed form."""
    grid = pde.periodic(128, 1.0)
    u = many(GaussianField(sigma=1.0, tau=0.0, alpha=1.0, boundary=boundary), grid)
    at = [20, 64, 100]
    s = np.array(at) / 128
    found = u[:, at].T @ u[:, at] / len(u)
    # 127 modes of sum 1/(pi m)^2 leave out less than 1e-3, 63 periodic pairs half of it
    np.testing.assert_allclose(found, covariance(s[:, None], s), atol=5 * 0.25 / np.sqrt(3000) + 1e-3)


def test_fno_sets_are_what_their_generators_draw():
    """Power of the published recipes, in NumPy: real part of modes that are not Hermitian; inverse DCT for Darcy."""
    rng, n, s = np.random.default_rng(0), 600, 16
    m = np.fft.fftfreq(s, 1 / s)
    square = m[:, None] ** 2 + m**2
    root = s**2 * np.sqrt(2) * 7**1.5 * (4 * np.pi**2 * square + 49) ** -1.25
    root[0, 0] = 0
    theirs = np.fft.ifftn(root * (rng.normal(size=(n, s, s)) + 1j * rng.normal(size=(n, s, s))), axes=(1, 2)).real
    ours = many(named.FNO_NAVIER_STOKES, pde.periodic((s, s), 1.0), n)
    assert np.mean(ours**2) == pytest.approx(np.mean(theirs**2), rel=0.06)

    from scipy.fft import idctn

    m = np.arange(s)
    root = s * 3.0 * (np.pi**2 * (m[:, None] ** 2 + m**2) + 9) ** -1.0
    root[0, 0] = 0
    theirs = idctn(root * rng.normal(size=(n, s, s)), axes=(1, 2), norm="ortho")
    ours = many(named.FNO_DARCY.sampler, pde.periodic((s, s), 1.0), n)
    assert np.mean(ours**2) == pytest.approx(np.mean(theirs**2), rel=0.12)  # theirs at midpoints of the cells
    levels = many(named.FNO_DARCY, pde.periodic((s, s), 1.0), 50)
    assert set(np.unique(levels)) == {3.0, 12.0}

    variance = 2 * np.sum(625.0 * (4 * np.pi**2 * np.arange(1, 64) ** 2 + 25) ** -2.0)
    ours = many(named.FNO_BURGERS, pde.periodic(128, 1.0))
    assert np.mean(ours**2) == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("shape", [(24,), (16, 20), (8, 8, 12)])
def test_a_key_names_one_gaussian_field_on_every_grid(shape):
    """The coarse field is the fine one without its finer modes, to rounding."""
    sampler, length = GaussianField(alpha=1.0), tuple(1.0 + 0.5 * i for i in range(len(shape)))
    coarse, fine = pde.periodic(shape, length), pde.periodic(tuple(3 * n for n in shape), length)
    a, b = (np.asarray(sampler(KEY, grid)) for grid in (coarse, fine))
    axes = coarse.axes
    modes = np.fft.fftshift(np.fft.fftn(b, axes=axes), axes=axes)
    window = tuple(slice(3 * n // 2 - n // 2, 3 * n // 2 - n // 2 + n) for n in shape)
    cut = np.fft.ifftshift(modes[window], axes=axes) / 3 ** len(shape)
    keep = np.prod(np.meshgrid(*(np.abs(np.fft.fftfreq(n, 1 / n)) < n / 2 for n in shape), indexing="ij"), axis=0)
    np.testing.assert_allclose(np.fft.ifftn(cut * keep).real, a, atol=1e-13 * np.abs(a).max())


@pytest.mark.parametrize("name", ["apebench", "mp-pde", "pdebench", "blobs", "jumps", "dam-break"])
def test_a_key_names_one_function_at_shared_points(name):
    length = 5.0
    sampler = TruncatedFourier(norm="none") if name == "apebench" else data.sampler_named(name)  # max sees the grid
    dims = 1 if name in ("mp-pde", "pdebench") else 2
    coarse, fine = pde.periodic((20,) * dims, length), pde.periodic((60,) * dims, length)
    a, b = (np.asarray(sampler(KEY, grid)) for grid in (coarse, fine))
    np.testing.assert_allclose(b[(slice(None, None, 3),) * dims], a, atol=1e-12)
    assert a.std() > 0


@pytest.mark.parametrize("name", ["fno-navier-stokes", "apebench", "blobs", "jumps", "pdebench"])
def test_samples_do_not_depend_on_their_batch_and_keys_differ(name):
    sampler, grid = named.SAMPLERS[name], pde.periodic((16,) * (1 if name == "pdebench" else 2), 1.0)
    some = jax.jit(lambda i: data.draw(sampler, KEY, grid, i))
    a = np.asarray(some(np.array([5, 6, 7])))
    np.testing.assert_allclose(a[1], np.asarray(some(np.array([6])))[0], rtol=0, atol=1e-14 * np.abs(a).max())
    assert np.abs(a[0] - a[1]).max() > 1e-3


def test_single_precision_draws_the_same_fields():
    grid = pde.periodic((32, 32), 1.0)
    for sampler in (GaussianField(), TruncatedFourier()):
        double = np.asarray(sampler(KEY, grid))
        with jax.enable_x64(False):
            single = sampler(KEY, grid)
        assert double.dtype == np.float64 and single.dtype == jnp.float32
        np.testing.assert_allclose(single, double, atol=2e-5 * np.abs(double).max())


def test_truncated_fourier_has_only_its_modes_and_its_norm():
    grid = pde.periodic((32, 24), (1.0, 2.0))
    u = many(TruncatedFourier(cutoff=3, norm="rms", offset=2.0), grid, 20)
    np.testing.assert_allclose(np.mean((u - 2) ** 2, axis=(1, 2)), 1)
    power = np.abs(np.fft.rfftn(u - 2, axes=(1, 2))).max(0)
    m = grid.numbers()
    inside = (np.abs(m[0]) <= 3) & (np.abs(m[1]) <= 3)
    assert power[~inside].max() < 1e-10
    assert np.sort(power[inside])[1] > 1  # all but the mean
    assert np.abs(many(named.APEBENCH, grid, 20)).max(axis=(1, 2)) == pytest.approx(1.0)


def test_random_sines_have_their_amplitudes_windows_and_signs():
    grid = pde.periodic(64, 16.0)
    u = many(named.MP_PDE, grid)
    assert np.mean(u**2) == pytest.approx(5 * (1 / 12) / 2, rel=0.1)  # E A^2 = 1/12, sin^2 averages to 1/2
    assert np.abs(np.fft.rfft(u)[:, 4:]).max() < 1e-10
    assert np.abs(np.fft.rfft(u)[:, [1, 2, 3]]).max() > 1
    windowed = many(data.RandomSines(window=1.0), grid, 50)
    assert np.abs(windowed[:, :4]).max() < 1e-2 < np.abs(windowed[:, 32]).max()
    bent = many(data.RandomSines(absolute=1.0, signs=True), grid, 400)
    positive = np.mean(np.all(bent >= 0, axis=1))
    assert 0.4 < positive < 0.6 and positive + np.mean(np.all(bent <= 0, axis=1)) == 1


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet"])
def test_waves_between_walls_have_the_walls_conditions(boundary):
    """Sines vanish at the walls and cosines have no slope there; only the waves asked for occur."""
    sampler = TruncatedFourier(cutoff=3, norm="none", boundary=boundary)
    u = np.asarray(sampler(KEY, pde.periodic((4096, 32), (2.0, 1.0))))
    inside = np.abs(u).max()
    assert (np.abs(u[0]) if boundary == "dirichlet" else np.abs(u[1] - u[0])).max() < 1e-5 * inside
    space = pde.box(*(pde.Sine(32, 1.0) if boundary == "dirichlet" else pde.Cosine(32, 1.0) for _ in "xy"))
    modes = np.abs(np.asarray(space.to_modes(jnp.asarray(sampler(KEY, space)))))
    assert (modes > 1e-12).sum() == (9 if boundary == "dirichlet" else 15)


def test_solenoidal_fields_have_no_divergence_and_patches_are_concentrations():
    grid = pde.periodic((16, 16, 16), (1.0, 2.0, 3.0))
    u = data.sampler_named("solenoidal")(KEY, grid)
    modes = grid.to_modes(u)
    divergence = sum(grid.slope(modes[i], i) for i in range(3))
    assert np.abs(divergence).max() < 1e-11 * np.abs(grid.slope(modes[0], 0)).max()
    assert np.mean(np.sum(np.asarray(u) ** 2, axis=0)) == pytest.approx(1)
    b = np.asarray(data.Patches()(KEY, pde.periodic((32, 32), 2.5)))
    assert b.shape == (2, 32, 32) and b[0].min() >= 0.5 and 0 <= b[1].min() < 0.01 and 0.1 < b[1].max() <= 0.25
    with pytest.raises(ValueError, match="periodic boxes in three dimensions"):
        data.sampler_named("solenoidal")(KEY, pde.periodic((16, 16), 1.0))


def test_rescaled_complex_jumps_and_discs():
    grid = pde.periodic((32, 32), 5.0)
    u = np.asarray(data.Rescaled(GaussianField(), 0.0, 1.0)(KEY, grid))
    assert (u.min(), u.max()) == (0, 1)
    psi = data.Complex(GaussianField())(KEY, grid)
    assert np.iscomplexobj(psi) and abs(np.corrcoef(psi.real.ravel(), psi.imag.ravel())[0, 1]) < 0.9
    v = np.asarray(data.Jumps(pieces=3)(KEY, grid))
    assert len(np.unique(v)) <= 3 and np.ptp(v, axis=1).max() == 0
    x, y = grid.coordinates()
    dam = np.asarray(data.Disc(radius=(0.5, 0.5))(KEY, grid))
    np.testing.assert_array_equal(dam == 2, (x - 2.5) ** 2 + (y - 2.5) ** 2 <= 0.25)


def test_bad_wishes_are_told_in_a_sentence():
    plane, line = pde.periodic((8, 8), 1.0), pde.periodic(8, 1.0)
    with pytest.raises(ValueError, match="written on a line"):
        named.MP_PDE(KEY, plane)
    with pytest.raises(ValueError, match="take more points or a smaller cutoff"):
        named.APEBENCH(KEY, line)
    with pytest.raises(ValueError, match="sigma > 0"):
        GaussianField(sigma=-1.0)
    with pytest.raises(ValueError, match="did you mean apebench"):
        data.sampler_named("apebensh")
    with pytest.raises(ValueError, match="two plateaus"):
        data.Jumps(pieces=1)
