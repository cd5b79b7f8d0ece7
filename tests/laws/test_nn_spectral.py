"""Spectral convolutions and the networks made of them: the formula, resolution transfer, symmetries, conditions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.nn import spectral
from duhamel.nn.fno import FNO
from duhamel.nn.spectral import FactorisedConv, SpectralConv

run = eqx.filter_jit(lambda f, *args: f(*args))  # one compilation instead of one an operation
CASES = [((5,), (12,)), ((5,), (9,)), ((3, 4), (8, 9)), ((4, 3), (7, 12)), ((2, 2, 3), (4, 5, 6)), ((1, 1), (4, 4))]


def noise(*shape, seed=1):
    """Drawn by NumPy, which needs no compilation."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def built(make):
    """A network whose weights NumPy has drawn, none at zero."""
    draw = lambda w: noise(*w.shape, seed=w.size) / np.sqrt(w.size / w.shape[0])  # noqa: E731
    like = eqx.filter_eval_shape(make)
    return jax.tree.map(lambda w: draw(w) if isinstance(w, jax.ShapeDtypeStruct) else w, like)


def band_limited(key, channels, waves, shape, dtype):
    """A field of |k| <= waves along each axis, drawn on the coarsest grid that holds them and given at `shape`."""
    d = len(shape)
    coarse = tuple(2 * w + 1 for w in waves)
    modes = np.fft.fftn(noise(channels, *coarse, seed=key), axes=range(-d, 0))
    fine = np.zeros((channels, *shape), complex)
    for index in np.ndindex(*coarse):
        k = tuple((i + w) % c - w for i, w, c in zip(index, waves, coarse, strict=True))
        fine[(slice(None), *k)] = modes[(slice(None), *index)]
    scale = np.prod(shape) / np.prod(coarse)
    field = np.fft.ifftn(fine, axes=range(-d, 0)).real * scale
    return jnp.asarray(field, dtype)


@pytest.mark.parametrize(("modes", "shape"), CASES)
def test_it_is_the_sum_of_its_formula(modes, shape):
    """Real part of sum_k R_k u^(k) e^(2 pi i k.x), the waves of a negative last number as conjugates."""
    conv, x = SpectralConv(2, 3, modes, key=jax.random.key(0)), noise(2, *shape)
    R = np.asarray(conv.weight[..., 0] + 1j * conv.weight[..., 1])
    at = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"))
    expected = np.zeros((3, *shape))
    for index in np.ndindex(*R.shape[: len(modes)]):
        k = [i if i < m else i - (2 * m - 1) for i, m in zip(index, modes, strict=True)]
        wave = np.exp(2j * np.pi * np.tensordot(k, at, 1))
        coefficient = np.tensordot(np.asarray(x), wave.conj(), len(shape)) / np.prod(shape)
        twice = 1 if k[-1] == 0 else 2
        expected += twice * (np.tensordot(R[index].T @ coefficient, wave, 0)).real
    assert np.allclose(run(conv, x), expected, atol=1e-13)


@pytest.mark.parametrize(("modes", "shape"), CASES[:5])
def test_products_and_ffts_are_one_transform(modes, shape, monkeypatch):
    conv, x = SpectralConv(2, 3, modes, key=jax.random.key(0)), noise(2, 4, *shape)
    by_products = run(conv, x)
    monkeypatch.setattr(spectral, "FEW", 0)
    assert np.allclose(jax.jit(lambda u: conv(u))(x), by_products, atol=1e-13)


@pytest.mark.parametrize("few", [0, 32])
@pytest.mark.parametrize(
    ("modes", "shape"), [((3,), (8,)), ((3,), (7,)), ((4,), (8,)), ((9,), (8,)), ((4,), (7,)), ((3, 9), (5, 6))]
)
def test_gradients_are_central_differences(modes, shape, few, monkeypatch):
    """On even and odd grids, and with all waves that they hold, or more (the Nyquist mode of 8 points is wave 4)."""
    monkeypatch.setattr(spectral, "FEW", few)
    conv, x = SpectralConv(2, 2, modes, key=jax.random.key(0)), noise(2, 3, *shape)
    at = lambda w, u: jnp.sum(jnp.sin(eqx.tree_at(lambda c: c.weight, conv, w)(u)))  # noqa: E731
    both = jax.jit(jax.value_and_grad(at, (0, 1)))
    slopes, eps = both(conv.weight, x)[1], 1e-4
    for i, start in enumerate((conv.weight, x)):
        along = noise(*start.shape, seed=5 + i)
        ends = [[conv.weight, x] for _ in range(2)]
        for end, sign in zip(ends, (1, -1), strict=True):
            end[i] = start + sign * eps * along
        slope = (both(*ends[0])[0] - both(*ends[1])[0]) / (2 * eps)
        assert slope == pytest.approx(float(jnp.vdot(slopes[i], along)), rel=1e-6)
    if max(modes) == 9:  # weights of waves that the grid does not hold rest
        assert np.all(np.asarray(slopes[0])[..., (shape[-1] + 1) // 2 :, :, :, :] == 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.float64, 1e-12)])
@pytest.mark.parametrize("kind", [SpectralConv, FactorisedConv])
@pytest.mark.parametrize(
    ("modes", "coarse", "fine"),
    [((8,), (17,), (64,)), ((8,), (32,), (45,)), ((3, 5), (8, 12), (20, 33)), ((2, 3, 2), (6, 8, 5), (12, 9, 10))],
)
def test_the_same_weights_are_the_same_function_on_another_grid(kind, modes, coarse, fine, dtype, tolerance):
    """Whether the input has more waves than the kernel or fewer, and on even and odd grids."""
    conv = jax.tree.map(lambda w: w.astype(dtype), kind(3, 4, modes, key=jax.random.key(0)))
    waves = tuple((n - 1) // 2 for n in coarse)
    answers = [np.asarray(run(conv, band_limited(1, 3, waves, shape, dtype))) for shape in (coarse, fine)]
    spectra = [np.fft.fftn(a, axes=range(-len(modes), 0)) / np.prod(a.shape[1:]) for a in answers]
    index = np.ix_(range(4), *(np.arange(-w, w + 1) for w in waves))
    scale = np.abs(spectra[0]).max()
    assert answers[0].dtype == dtype and np.abs(spectra[0][index] - spectra[1][index]).max() < tolerance * scale
    rest = np.abs(spectra[1]).sum() - np.abs(spectra[1][index]).sum()
    assert rest < 100 * tolerance * scale


def test_a_grid_too_coarse_for_the_modes_uses_those_it_has():
    conv = SpectralConv(1, 1, (20,), key=jax.random.key(0))
    fine, coarse = (band_limited(1, 1, (7,), (n,), float) for n in (90, 15))
    assert np.allclose(run(conv, fine)[:, ::6], run(conv, coarse), atol=1e-13)


def test_lanes_are_a_batch():
    conv, x = SpectralConv(2, 3, (3, 4), key=jax.random.key(0)), noise(2, 5, 6, 9, 8)
    each = run(jax.vmap(jax.vmap(conv, 1, 1), 2, 2), x)
    assert np.allclose(run(conv, x), each, atol=1e-14) and each.shape == (3, 5, 6, 9, 8)


def test_a_shift_of_the_input_shifts_the_output():
    """Without coordinates the whole operator commutes with shifts of a periodic box; with them it does not."""
    u = noise(1, 4, 24, 20)
    for coordinates in (False, True):
        net = built(lambda c=coordinates: FNO(1, 2, (4, 4), width=6, depth=2, coordinates=c, key=jax.random.key(0)))
        there, here = run(net, jnp.roll(u, (3, 5), (-2, -1))), jnp.roll(run(net, u), (3, 5), (-2, -1))
        apart = np.abs(there - here).max()
        assert (apart < 1e-12) != coordinates


def test_an_extended_domain_is_the_same_box_on_finer_grids():
    """The continued box has 1.25 times the length on both grids, so every layer sees the same waves."""
    net = built(lambda: FNO(1, 1, (5,), width=8, depth=1, extension=0.25, key=jax.random.key(0)))
    errors = []
    for n in (80, 160, 320):
        u = [jnp.sin(3 * jnp.linspace(0, 1, m + 1))[None] for m in (n, 2 * n)]
        errors.append(np.abs(run(net, u[1])[:, ::2] - run(net, u[0])).max())
    assert errors[2] < errors[0] / 3 and errors[2] < 0.02
    with pytest.raises(ValueError, match="not one interval"):
        FNO(1, 1, (2,), width=4, extension=0.01, key=jax.random.key(0))(jnp.zeros((1, 20)))


def test_a_condition_modulates_each_lane_by_its_own():
    fresh = FNO(1, 1, (3,), width=5, depth=2, condition=2, key=jax.random.key(0))
    assert all(np.all(np.asarray(w) == 0) for layer in fresh.layers for w in layer.modulation.linear.weights)
    moved = built(lambda: FNO(1, 1, (3,), width=5, depth=2, condition=2, key=jax.random.key(0)))
    u, c = noise(1, 7, 16), noise(2, 7, seed=2)
    assert np.abs(run(moved, u, c) - run(moved, u, 0 * c)).max() > 1e-2
    for lane in (0, 6):
        assert np.allclose(run(moved, u, c)[:, lane], run(moved, u[:, lane], c[:, lane]), atol=1e-13)
    with pytest.raises(ValueError, match="a condition of 2 features"):
        moved(u)
    with pytest.raises(ValueError, match="a condition of none"):
        built(lambda: FNO(1, 1, (3,), width=5, key=jax.random.key(0)))(u, c)


def test_layers_keep_the_size_of_their_input():
    """Before training every layer has outputs of order 1 for inputs of order 1."""
    conv, x = SpectralConv(32, 32, (7, 7), key=jax.random.key(0)), band_limited(1, 32, (6, 6), (16, 16), float)
    assert 0.8 < float(run(conv, x).std() / x.std()) < 1.2


@pytest.mark.parametrize("modes", [(), (0,), (2, 0), (1, 1, 1, 1)])
def test_modes_are_checked(modes):
    with pytest.raises(ValueError, match="give one number of waves"):
        SpectralConv(1, 1, modes, key=jax.random.key(0))


def test_a_field_without_enough_axes_is_a_sentence():
    with pytest.raises(ValueError, match="give \\(channels, \\*lanes, \\*space\\) with 2 of space"):
        SpectralConv(1, 1, (2, 2), key=jax.random.key(0))(jnp.zeros((1, 8)))
