"""Message passing by shifts against the same sum over edges, one at a time, and the symmetries it must have."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.signal import correlate

from duhamel.nn.message_passing import Exchange, Line, MessagePassing, Slopes

UNEVEN = tuple((np.cumsum(np.random.default_rng(3).uniform(0.5, 1.5, 9)) / 10).tolist())
LINES = {
    "periodic": Line(2),
    "open": Line(2, "open"),
    "periodic, uneven": Line(2, positions=UNEVEN),
    "open, uneven": Line(3, "open", UNEVEN),
}
run = eqx.filter_jit(lambda f, *args: f(*args))


def silu(z):
    return z / (1 + np.exp(-z))


def dense(layer, z):
    return np.asarray(layer.weights[0]) @ z + np.asarray(layer.biases[0])


def edge_by_edge(layer, h, u, theta, line):
    """The layer as its docstring writes it, a loop over points and neighbours."""
    n = h.shape[1]
    x = np.arange(n) / n if line.positions is None else np.asarray(line.positions)
    new = np.empty_like(h)
    for i in range(n):
        messages = []
        for r in line.offsets:
            j = i + r
            if line.ends == "open" and not 0 <= j < n:
                continue
            apart = x[i] - x[j % n]
            if line.ends == "periodic":  # the nearest copy
                apart = min((apart - 1, apart, apart + 1), key=abs)
            j = j % n
            inner = dense(layer.here, np.concatenate([h[:, i], u[:, i], theta[:, i]]))
            inner = (
                inner + dense(layer.there, np.concatenate([h[:, j], -u[:, j]])) + np.asarray(layer.apart) * n * apart
            )
            messages.append(silu(dense(layer.message, silu(inner))))
        joined = np.concatenate([h[:, i], np.mean(messages, axis=0), theta[:, i]])
        new[:, i] = h[:, i] + silu(dense(layer.update, silu(dense(layer.join, joined))))
    new = new - new.mean(1, keepdims=True)
    return new / np.sqrt(new.var(1, keepdims=True) + 1e-5)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_layer_is_the_sum_over_its_edges(line):
    rng = np.random.default_rng(0)
    layer = Exchange(5, 3, 2, key=jax.random.key(1))
    h, u, theta = rng.standard_normal((5, 9)), rng.standard_normal((3, 9)), np.ones((2, 9)) * [[0.3], [-1.0]]
    found = run(layer, *map(jnp.asarray, (h, u, theta)), line)
    assert np.allclose(found, edge_by_edge(layer, h, u, theta, line), atol=1e-12)


def test_messages_see_differences_of_fields_only():
    """C acts on u_i - u_j: the weights of u in `here` and of -u in `there` may differ, as h may carry u itself."""
    line, layer = Line(1), Exchange(4, 2, 0, key=jax.random.key(0))
    same = layer.here.weights[0].at[:, 4:6].set(layer.there.weights[0][:, 4:6])
    layer = eqx.tree_at(lambda m: m.here.weights[0], layer, same)
    h, u = jax.random.normal(jax.random.key(1), (4, 7)), jax.random.normal(jax.random.key(2), (2, 7))
    none = jnp.zeros((0, 7))
    assert np.allclose(run(layer, h, u, none, line), run(layer, h, u + 3.0, none, line), atol=1e-12)


@pytest.mark.parametrize(("width", "outputs"), [(40, 25), (128, 25), (64, 1)])
def test_the_decoder_is_two_convolutions(width, outputs):
    decode = Slopes(width, outputs, key=jax.random.key(0))
    h = np.random.default_rng(0).standard_normal(width)
    z = np.stack([correlate(h, np.asarray(k), "valid")[:: decode.stride] for k in decode.first])
    z = silu(z + np.asarray(decode.first_bias)[:, None])
    truth = sum(correlate(a, np.asarray(k), "valid") for a, k in zip(z, decode.second, strict=True))
    assert truth.shape == (outputs,)
    assert np.allclose(run(decode, jnp.asarray(h)[:, None])[:, 0], truth + float(decode.second_bias), atol=1e-12)


def network(line=Line(2), **more):
    return MessagePassing(3, 2, width=20, depth=2, condition=1, line=line, key=jax.random.key(5), **more)


def fields(n=12, lanes=4):
    return jax.random.normal(jax.random.key(7), (3, lanes, n)), jnp.linspace(-1, 1, lanes)[None]


def test_a_shift_of_a_periodic_field_shifts_the_answer():
    u, theta = fields()
    answer = run(network(), u, theta)
    assert answer.shape == (2, 4, 12) and float(jnp.abs(answer).max()) > 1e-2
    assert np.allclose(run(network(), jnp.roll(u, 5, -1), theta), jnp.roll(answer, 5, -1), atol=1e-11)


@pytest.mark.parametrize("more", [{"places": True}, {"line": Line(2, "open")}])
def test_places_and_ends_break_that_symmetry(more):
    u, theta = fields()
    moved = jnp.roll(run(network(**more), u, theta), 5, -1)
    assert float(jnp.abs(run(network(**more), jnp.roll(u, 5, -1), theta) - moved).max()) > 1e-3


def test_no_lane_sees_another_and_parameters_matter():
    u, theta = fields()
    model = network()
    answer = run(model, u, theta)
    for lane in range(4):
        assert np.allclose(run(model, u[:, lane], theta[:, lane]), answer[:, lane], atol=1e-12)
    assert float(jnp.abs(run(model, u, theta + 1) - answer).max()) > 1e-3


def test_even_positions_are_no_positions():
    u, theta = fields()
    given = Line(2, positions=tuple((np.arange(12) / 12).tolist()))
    assert np.allclose(run(network(given), u, theta), run(network(), u, theta), atol=1e-12)


def test_the_contrast_is_another_basis_of_the_same_fields():
    """The last field, and the distance of the others from it."""
    u, theta = fields()
    seen = jnp.concatenate([4.0 * (u[:-1] - u[-1:]), u[-1:]])
    assert np.allclose(run(network(contrast=4.0), u, theta), run(network(), seen, theta), atol=1e-12)


def test_gradients_are_differences():
    u, theta = fields(n=7, lanes=2)
    model = MessagePassing(3, 2, width=17, depth=1, condition=1, line=Line(2, "open"), key=jax.random.key(5))
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    loss = jax.jit(lambda arrays, u: jnp.sum(eqx.combine(arrays, rest)(u, theta) ** 2))
    check_grads(loss, (arrays, u), order=1, modes=["rev"], eps=1e-6, atol=1e-5, rtol=1e-5)


def test_single_precision_stays_single():
    u, theta = fields()
    model = jax.tree.map(lambda a: a.astype(np.float32) if eqx.is_inexact_array(a) else a, network())
    assert run(model, u.astype(np.float32), theta.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: Line(0), "reach of at least 1"),
        (lambda: Line(1, "closed"), "periodic"),  # pyright: ignore[reportArgumentType]
        (lambda: Line(1, positions=(0.1, 0.1)), "sort the points"),
        (lambda: Slopes(30, 25, key=jax.random.key(0)), "width of 40 or more"),
        (lambda: MessagePassing(0, 1, key=jax.random.key(0)), "at least 1"),
        (lambda: network()(fields()[0]), "condition of 1 numbers and got 0"),
        (lambda: network()(fields(n=4)[0], fields()[1]), "5 points or more"),
        (lambda: network(Line(2, positions=UNEVEN))(*fields()), "9 positions, and the field 12"),
    ],
)
def test_mistakes_are_one_sentence(wrong, sentence):
    with pytest.raises(Exception, match=sentence):
        wrong()
