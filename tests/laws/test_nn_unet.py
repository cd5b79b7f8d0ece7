"""Convolutions against SciPy, group norm against its definition, and the U-Net's symmetries."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate

from duhamel.nn.conv import Conv, GroupNorm
from duhamel.nn.unet import UNet

run = eqx.filter_jit(lambda f, *args: f(*args))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("padding", "mode"), [("periodic", "grid-wrap"), ("zeros", "constant")])
@pytest.mark.parametrize("shape", [(9,), (6, 8), (4, 5, 6)])
def test_convolution_is_scipys_correlation(shape, padding, mode, stride):
    conv = Conv(2, 3, len(shape), stride=stride, padding=padding, key=jax.random.key(0))
    u = jnp.asarray(np.random.default_rng(1).standard_normal((2, *shape)))
    found = np.asarray(run(conv, u))
    every = (slice(None, None, stride),) * len(shape)
    for o in range(3):
        expected = sum(correlate(np.asarray(u[i]), np.asarray(conv.weight[o, i]), mode=mode) for i in range(2))
        assert np.allclose(found[o], expected[every], atol=1e-13)


def test_group_norm_is_its_definition():
    norm, u = GroupNorm(6, 2, groups=4), jax.random.normal(jax.random.key(0), (6, 5, 7, 8)) * 3 + 1
    assert norm.groups == 3  # the most that divide six, up to four
    found = np.asarray(norm(u))
    for group in range(3):
        for lane in range(5):
            z = np.asarray(u)[2 * group : 2 * group + 2, lane]
            assert np.allclose(found[2 * group : 2 * group + 2, lane], (z - z.mean()) / np.sqrt(z.var() + 1e-5))


def small(padding="periodic", condition=0):
    return UNet(2, 1, 1, width=4, factors=(1, 2), padding=padding, condition=condition, key=jax.random.key(0))


def stirred(**more):
    """A network with no weight at zero, drawn by NumPy, which needs no compilation."""
    rng, like = np.random.default_rng(0), eqx.filter_eval_shape(small, **more)
    drawn = lambda w: jnp.asarray(rng.standard_normal(w.shape) / np.sqrt(w.size / w.shape[0]))  # noqa: E731
    return jax.tree.map(lambda w: drawn(w) if isinstance(w, jax.ShapeDtypeStruct) else w, like)


def test_it_starts_at_zero():
    net = small()
    assert np.all(np.asarray(net.last.weight) == 0) and np.all(np.asarray(net.middle.convs[1].weight) == 0)
    assert np.all(np.asarray(run(net, jnp.ones((2, 8)))) == 0)


def test_every_lane_is_alone_with_its_condition():
    net = stirred(condition=2)
    u, c = (jnp.asarray(np.random.default_rng(i).standard_normal((2, 5, *more))) for i, more in ((1, (8,)), (2, ())))
    found = run(net, u, c)
    assert found.shape == (1, 5, 8) and np.abs(found - run(net, u, 0 * c)).max() > 1e-3
    assert np.allclose(found[:, 2:3], run(net, u[:, 2:3], c[:, 2:3]), atol=1e-12)
    with pytest.raises(ValueError, match="a condition of 2 features"):
        net(u)


@pytest.mark.parametrize("padding", ["periodic", "zeros"])
def test_a_periodic_one_commutes_with_shifts_by_its_coarsest_cell(padding):
    u, net = np.random.default_rng(1).standard_normal((2, 16)), stirred(padding=padding)
    shifted, found = (np.asarray(run(net, jnp.asarray(v))) for v in (np.roll(u, 4, -1), u))
    apart = np.abs(shifted - np.roll(found, 4, -1)).max()
    assert apart < 1e-12 if padding == "periodic" else apart > 1e-4


def test_it_is_built_in_two_and_three_dimensions():
    for dim in (2, 3):
        shape = (8, 12, 4)[:dim]
        net = lambda u, d=dim: UNet(2, 3, d, width=4, key=jax.random.key(0), factors=(1, 2, 2))(u)  # noqa: E731
        assert jax.eval_shape(net, jnp.zeros((2, 7, *shape))).shape == (3, 7, *shape)


def test_sides_that_cannot_be_halved_are_a_sentence():
    with pytest.raises(ValueError, match=r"sides \(9,\) are not multiples of 2"):
        stirred()(jnp.zeros((2, 9)))
    with pytest.raises(ValueError, match="kernel of an odd size"):
        Conv(1, 1, 2, size=4, key=jax.random.key(0))
