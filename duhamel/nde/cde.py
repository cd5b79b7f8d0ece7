"""Networks that read irregular series: a neural controlled differential equation, and a recurrent one beside it.

    NeuralCDE   z(t0) = zeta(X(t0)),   dz = f(z) dX,   logits = readout(z(t1))
    GRUDelta    the usual answer: a gated recurrent unit that is also told the time since the last observation

Both read a batch at once and return logits. Sources: Kidger, Morrill, Foster, Lyons, arXiv 2005.08926; Cho and others,
arXiv 1406.1078; for the time differences Che and others, arXiv 1606.01865.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from duhamel.core.cde import CDE
from duhamel.core.path import Path
from duhamel.methods.explicit import Heun
from duhamel.nn.mlp import MLP
from duhamel.solver.control import Fixed
from duhamel.solver.ensemble import ensemble


class NeuralCDE(eqx.Module):
    """Logits of series given as paths, (batch, classes).

    f is a multilayer perceptron with tanh at its end, from z to one column for each channel, so that the size of f is
    bounded and z moves only as far as the path does: data that rests moves nothing, and padding costs no accuracy.

    steps   of Heun's method over the path; good values: one or two per data point
    """

    initial: MLP
    field: MLP
    readout: MLP
    steps: int = eqx.field(static=True)

    def __init__(self, channels: int, classes: int, *, hidden: int, width: int, steps: int, key: PRNGKeyArray):
        """Good values for a few hundred short series: hidden 16-32, width 32-64."""
        if min(channels, classes, hidden, width, steps) < 1:
            raise ValueError(
                f"NeuralCDE needs channels, classes, hidden, width and steps of at least 1, got {channels}, {classes}, "
                f"{hidden}, {width}, {steps}."
            )
        k1, k2, k3 = jax.random.split(key, 3)
        self.initial = MLP(channels, hidden, width=width, depth=0, key=k1)
        self.field = MLP(hidden, hidden * channels, width=width, depth=1, key=k2, last_scale=0.1)
        self.readout = MLP(hidden, classes, width=width, depth=0, key=k3)
        self.steps = steps

    def __call__(self, paths: Path) -> Float[Array, "batch classes"]:
        """paths: one a series, stacked (`jax.vmap(HermitePath)`), over the same span of time."""
        t0, t1 = paths.knots[0, 0], paths.knots[0, -1]
        start = jax.vmap(lambda path: self.initial(path.coefficients[0, 0]))(paths)  # X(t0)
        problem = CDE(_columns, lambda args: args[1])
        args = (self.field, paths)
        sols = ensemble(
            problem,
            start,
            t1,
            t0=t0,
            args=args,
            in_axes=(None, 0),
            method=Heun(),
            control=Fixed(self.steps),
            chunk=start.shape[0],  # matrix products want all lanes at once
            throw=False,
        )
        return self.readout(sols.x1.T).T


def _columns(t: Any, z: Float[Array, " hidden"], args: tuple[MLP, Path]) -> Float[Array, "hidden channels"]:
    return jnp.tanh(args[0](z)).reshape(z.shape[0], -1)


class GRUDelta(eqx.Module):
    """Logits of series given as rows with times, (batch, classes); rows not observed leave the state as it is.

        r = sigmoid(W_r [x, dt, z]),  u = sigmoid(W_u [x, dt, z]),  z <- u z + (1 - u) tanh(W_z [x, dt, r z])

    dt is the time since the row observed before, 0 at the first.
    """

    gates: MLP
    candidate: MLP
    readout: MLP

    def __init__(self, channels: int, classes: int, *, hidden: int, key: PRNGKeyArray):
        if min(channels, classes, hidden) < 1:
            raise ValueError(
                f"GRUDelta needs channels, classes and hidden of at least 1, got {channels}, {classes}, {hidden}."
            )
        k1, k2, k3 = jax.random.split(key, 3)
        self.gates = MLP(channels + 1 + hidden, 2 * hidden, width=1, depth=0, key=k1)
        self.candidate = MLP(channels + 1 + hidden, hidden, width=1, depth=0, key=k2)
        self.readout = MLP(hidden, classes, width=1, depth=0, key=k3)

    def __call__(
        self, series: tuple[Float[Array, "batch n"], Float[Array, "batch n channels"]]
    ) -> Float[Array, "batch classes"]:
        """series: times, and rows that are NaN in every channel where nothing was observed."""
        ts, xs = series
        seen: Bool[Array, "batch n"] = ~jnp.all(jnp.isnan(xs), axis=-1)
        last = jax.lax.cummax(jnp.where(seen, ts, ts[:, :1]), axis=1)
        dt = ts - jnp.concatenate([ts[:, :1], last[:, :-1]], axis=1)
        rows = jnp.concatenate([jnp.nan_to_num(xs), dt[..., None]], axis=-1)
        hidden = self.candidate.biases[0].shape[0]

        def step(z: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
            x, seen = row[0].T, row[1]
            gate = jax.nn.sigmoid(self.gates(jnp.concatenate([x, z])))
            r, u = gate[:hidden], gate[hidden:]
            new = u * z + (1 - u) * jnp.tanh(self.candidate(jnp.concatenate([x, r * z])))
            return jnp.where(seen, new, z), None

        z = jnp.zeros((hidden, ts.shape[0]), rows.dtype)
        z, _ = jax.lax.scan(step, z, (jnp.moveaxis(rows, 1, 0), seen.T))
        return self.readout(z).T


def cross_entropy(model: Any, batch: tuple[Any, Int[Array, " batch"]], key: Any = None) -> Float[Array, ""]:
    """Mean of -log p(label): a loss for `train.fit` with batches of (inputs, labels)."""
    del key
    inputs, labels = batch
    rows = jax.nn.log_softmax(model(inputs))
    return -jnp.mean(jnp.take_along_axis(rows, labels[:, None], axis=1))


def parameters(model: Any) -> int:
    """How many numbers training moves."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
