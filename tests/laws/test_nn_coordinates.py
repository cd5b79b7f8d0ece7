"""The coordinates that an operator appends are those of its grid: both ends of a domain, or a periodic box's points."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duhamel.nn.fno import FNO


@pytest.mark.parametrize("shape", [(13,), (9, 17)], ids=["line", "plane"])
@pytest.mark.parametrize("extension", [0.0, 0.25], ids=["periodic", "both ends"])
def test_an_operator_appends_where_its_points_are(shape, extension):
    """The same weights with the coordinates given as fields, first axis first, are the same operator."""
    dim, built = len(shape), {}
    draw = lambda w: np.random.default_rng(w.size).standard_normal(w.shape) / 3  # noqa: E731
    for own in (True, False):
        make = lambda own=own: FNO(  # noqa: E731
            1 + (0 if own else dim), 1, (3,) * dim, width=4, depth=2, coordinates=own, extension=extension,
            key=jax.random.key(0),
        )  # fmt: skip
        like = eqx.filter_eval_shape(make)
        built[own] = jax.tree.map(lambda w: jnp.asarray(draw(w)) if isinstance(w, jax.ShapeDtypeStruct) else w, like)
    axes = [np.linspace(0.0, 1.0, n, endpoint=extension > 0) for n in shape]
    u = np.random.default_rng(0).standard_normal((1, 2, *shape))
    places = [np.broadcast_to(x, (1, 2, *shape)) for x in np.meshgrid(*axes, indexing="ij")]
    run = eqx.filter_jit(lambda net, v: net(v))
    given = run(built[False], jnp.asarray(np.concatenate([u, *places])))
    np.testing.assert_allclose(run(built[True], jnp.asarray(u)), given, rtol=1e-10, atol=1e-12)
