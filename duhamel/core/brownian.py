"""Brownian motion: what a user chooses (`Counter`, `VirtualTree`) and what a step draws from it.

A step over [s, s + h] reads some of

    dW = W(s+h) - W(s)                                              variance h
    H  = (1/h) int_s^{s+h} B(r) dr                                  variance h/12     space-time area
    K  = (1/h^2) int_s^{s+h} B(r) (s + h/2 - r) dr                  variance h/720    space-time-time area

with the bridge B(r) = W(r) - W(s) - (r - s)/h dW. The three are independent: with dW(r) as white noise they are its
first Legendre coefficients on the step, dW = xi_0, H = -xi_1/2, K = xi_2/12, xi_k = int P_k(2(r-s)/h - 1) dW(r).
Time is counted from the beginning of the solve; SDEs run forwards, so h > 0 (where h = 0, all three are zero).
"""

from abc import abstractmethod
from collections.abc import Sequence
from math import sqrt
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .levy import METHODS, counted_area
from .threefry import fold, normal, words
from .wavelets import Matrix, weights as tree_weights

NAMES = ("dW", "H", "K", "A")
VARIANCE = {"dW": 1.0, "H": 1 / 12, "K": 1 / 720}
SIGNS = {"dW": 1, "H": -1, "K": 1}  # of the Legendre coefficient in each
INSIDE = 16  # levels of the tree inside a step of a grid


class BoundNoise(eqx.Module):
    """One sample's Brownian motion."""

    @abstractmethod
    def increment(self, index: Any, s: Any, h: Any) -> dict[str, Any]:
        """The named quantities of the step, each a pytree like `shape`.

        index  number of the attempt
        s, h   beginning and length of the step, scalars, in time since the beginning of the solve; h >= 0
        """

    def within(self, index: Any, s: Any, h: Any, part: Any) -> dict[str, Any]:
        """The quantities of [s, s + part], 0 <= part <= h, on the path whose increments over the whole step
        `increment` gives: what a value saved inside the step is made of."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say what its path does inside a step: put the save times on the grid."
        )


class Noise(eqx.Module):
    """Where the Brownian increments of a solve come from."""

    @abstractmethod
    def bind(self, key: Any, shape: Any, span: Any, names: Sequence[str]) -> BoundNoise:
        """The Brownian motion of one sample.

        key    a key of `jax.random`, typed or raw, of this sample alone
        shape  a pytree of ShapeDtypeStruct: shapes and real dtypes of W
        span   length of the time the solve covers
        names  which of "dW", "H", "K", "A" the steps read
        """


class Counter(Noise):
    """Independent draws numbered by the step: for fixed grids, no tree, no state.

    A draw depends on (key, number of the step, name, leaf), and on h through its scale alone. Another grid is another
    path: choose `VirtualTree` to refine a grid on the same path. Inside a step the path is a bridge between its draws;
    a Levy area is drawn anew for a part of a step, given the part's increment and space-time area.

    area   how the Levy area "A" of a vector of Brownian motions is drawn: "davie", "foster" or "series" (`core.levy`)
    terms  of "series". Good values: 1/sqrt(h) and above
    """

    area: str = eqx.field(static=True, default="foster")
    terms: int = eqx.field(static=True, default=10)

    def __check_init__(self):
        if self.area not in METHODS:
            raise ValueError(f"area must be one of {', '.join(METHODS)}, got {self.area!r}.")

    def bind(self, key: Any, shape: Any, span: Any, names: Sequence[str]) -> "BoundCounter":
        del span
        _check(shape, names)
        if "A" in names:
            _check_vector(shape)
        leaves, tree = jax.tree.flatten(shape)
        drawn = tuple(name for name in NAMES if name in names or ("A" in names and name in ("dW", "H")))
        keys = {
            name: [words(jax.random.fold_in(jax.random.fold_in(key, j), NAMES.index(name))) for j in range(len(leaves))]
            for name in drawn
        }
        inside = [words(jax.random.fold_in(jax.random.fold_in(key, j), len(NAMES))) for j in range(len(leaves))]
        return BoundCounter(keys, inside, tuple(leaves), tree, tuple(names), self.area, self.terms)


class BoundCounter(BoundNoise):
    keys: dict[str, list[Any]]
    inside: list[Any]
    leaves: tuple[jax.ShapeDtypeStruct, ...] = eqx.field(static=True)
    tree: Any = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    area: str = eqx.field(static=True)
    terms: int = eqx.field(static=True)

    def increment(self, index: Any, s: Any, h: Any) -> dict[str, Any]:
        del s
        return self._named(self._whole(index, h), index, h)

    def within(self, index: Any, s: Any, h: Any, part: Any) -> dict[str, Any]:
        """On a tree over the step alone, whose polynomials are what the step drew."""
        del s
        drawn = self._whole(index, h)
        positive = h > 0
        size = jnp.where(positive, h, 1.0)
        length, numbers, weights = tree_weights(INSIDE, len(drawn), size, 0.0 * size, jnp.where(positive, part, 0.0))
        scale = {name: sign * sqrt(VARIANCE[name]) for name, sign in SIGNS.items() if name in drawn}
        parts: dict[str, list[Any]] = {name: [] for name in drawn}
        for j, (key, leaf) in enumerate(zip(self.inside, self.leaves, strict=True)):
            root = [drawn[name][j] / (scale[name] * _sqrt(size)).astype(leaf.dtype) for name in drawn]
            total = _combined(fold(key, index), numbers[:-1], [[w[:-1] for w in row] for row in weights], leaf)
            for i, name in enumerate(drawn):
                z = total[i] + sum(w[-1].astype(leaf.dtype) * r for w, r in zip(weights[i], root, strict=True))
                parts[name].append(jnp.where(positive, (scale[name] * _sqrt(length)).astype(leaf.dtype) * z, 0.0))
        return self._named(parts, index, part)

    def _whole(self, index: Any, h: Any) -> dict[str, list[Any]]:
        """What a step draws but its Levy area, leaf by leaf, in the order of NAMES."""
        return {
            name: [self._draw(name, j, leaf, index, h) for j, leaf in enumerate(self.leaves)]
            for name in SIGNS  # a dictionary that was traced has its keys sorted
            if name in self.keys
        }

    def _named(self, drawn: dict[str, list[Any]], index: Any, h: Any) -> dict[str, Any]:
        if "A" in self.names:
            first = {name: value[0] for name, value in drawn.items()}
            drawn = drawn | {"A": [counted_area(self.keys["A"][0], index, first, h, self.area, self.terms)]}
        return {name: self.tree.unflatten(drawn[name]) for name in self.names}

    def _draw(self, name: str, j: int, leaf: Any, index: Any, h: Any) -> Any:
        z = normal(self.keys[name][j], index, leaf.shape, leaf.dtype)
        scale = _sqrt(VARIANCE[name] * jnp.abs(h))
        return scale.astype(leaf.dtype) * z


class VirtualTree(Noise):
    """One path, whatever the steps: for adaptive steps, where a rejected increment must not be lost, and for comparing
    grids.

    What a step draws is a function of (key, s, s + h) alone, and has exactly the law of a Brownian motion and its areas
    as long as no two of the times asked for lie in one cell of length span / 2^levels. White noise is expanded in
    piecewise polynomials on a dyadic tree over the solve (`core.wavelets`); those orthogonal to the step drop out, and
    two a level are left: a step costs 2 levels draws, all at once. Steps shorter than a cell have the right law each,
    but not jointly.

    W and its areas belong to one path, which depends on the highest area asked for.

    levels  of the tree, 1 to 29: 2^levels well above the largest number of steps. Good values: 12 to 24

    Jelincic, Foster and Kidger, Single-seed generation of Brownian paths and integrals for adaptive and high order SDE
    solvers, 2024, arXiv 2405.06464: the same law, by descending the tree.
    """

    levels: int = eqx.field(static=True, default=20)

    def __check_init__(self):
        if not 1 <= self.levels <= DEEPEST:
            raise ValueError(f"levels must be 1 to {DEEPEST}, got {self.levels}; cells have length span / 2^levels.")

    def bind(self, key: Any, shape: Any, span: Any, names: Sequence[str]) -> "BoundTree":
        _check(shape, names)
        if "A" in names:
            raise ValueError(
                "VirtualTree has no Levy area A, whose law after a rejected step is not known; take fixed steps and "
                "Counter()."
            )
        leaves, tree = jax.tree.flatten(shape)
        keys = [words(jax.random.fold_in(key, j)) for j in range(len(leaves))]
        span = jax.lax.stop_gradient(jnp.asarray(span))
        return BoundTree(keys, span, tuple(leaves), tree, tuple(names), self.levels)


DEEPEST = 29  # nodes are numbered in 32 bits


class BoundTree(BoundNoise):
    keys: list[Any]
    span: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...] = eqx.field(static=True)
    tree: Any = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    levels: int = eqx.field(static=True)

    def increment(self, index: Any, s: Any, h: Any) -> dict[str, Any]:
        del index
        return self._between(s, s + h, self.names)

    def within(self, index: Any, s: Any, h: Any, part: Any) -> dict[str, Any]:
        del index, h
        return self._between(s, s + part, self.names)

    def path(self, s: Any) -> Any:
        """W(s), with W(0) = 0."""
        s = jnp.asarray(s, jnp.result_type(s, float))
        return self._between(jnp.zeros_like(s), s, ("dW",))["dW"]

    def _between(self, s: Any, u: Any, names: Sequence[str]) -> dict[str, Any]:
        k = 1 + max(NAMES.index(name) for name in self.names)
        length, numbers, weights = tree_weights(self.levels, k, self.span, s, u)
        scale = {name: _sqrt(length) * sqrt(VARIANCE[name]) * sign for name, sign in SIGNS.items()}
        sums = [_combined(key, numbers, weights, leaf) for key, leaf in zip(self.keys, self.leaves, strict=True)]
        return {
            name: self.tree.unflatten([scale[name].astype(total[0].dtype) * total[NAMES.index(name)] for total in sums])
            for name in names
        }


def _combined(key: Any, numbers: Any, weights: Matrix, leaf: Any) -> list[Any]:
    """Standardised Legendre coefficients of white noise on the step: sums over the tree's draws.

    weights[j][i][n]  of draw i at node n in coefficient j
    """
    k = len(weights)
    rows = jnp.stack([jnp.stack(row) for row in weights]).astype(leaf.dtype)  # (coefficient, wavelet, node)

    def term(number: Any, w: Any) -> list[Any]:
        z = normal(key, number, (k, *leaf.shape), leaf.dtype)
        return [sum(w[j, i] * z[i] for i in range(k)) for j in range(k)]

    if leaf.size <= AT_ONCE:
        return [jnp.sum(t, 0) for t in jax.vmap(term, in_axes=(0, 2))(numbers, rows)]

    def add(total: list[Any], each: Any) -> tuple[list[Any], None]:
        return [a + b for a, b in zip(total, term(*each), strict=True)], None

    zero = [jnp.zeros(leaf.shape, leaf.dtype)] * k
    return jax.lax.scan(add, zero, (numbers, jnp.moveaxis(rows, 2, 0)))[0]


AT_ONCE = 1024  # larger leaves are summed node by node, in the memory of one


def _sqrt(variance: Any) -> Any:
    """Square root whose derivative at 0 is 0: an idle lane steps by h = 0."""
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)


def _check(shape: Any, names: Sequence[str]) -> None:
    for name in names:
        if name not in NAMES:
            raise ValueError(f"names must be among {', '.join(NAMES)}, got {name!r}.")
    for leaf in jax.tree.leaves(shape):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise ValueError(f"Brownian motion is real: shape must have floating dtypes, got {leaf.dtype}.")


def _check_vector(shape: Any) -> None:
    leaves = jax.tree.leaves(shape)
    if len(leaves) != 1 or len(leaves[0].shape) != 1:
        found = ", ".join(str(leaf.shape) for leaf in leaves)
        raise ValueError(f"Levy areas are of one vector of Brownian motions, got shapes {found}; flatten them.")
