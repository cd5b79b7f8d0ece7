"""Under `jax.shard_map` every array says over which mesh axes it varies, and a loop's carry may not change its mind."""

from typing import Any

import jax
from jaxtyping import Array, PyTree


def vary_together(tree: PyTree) -> PyTree:
    """The same arrays, all varying over every manual mesh axis that one of them varies over.

    Outside `jax.shard_map` nothing happens. A cotangent that comes back through here is summed over the devices, which
    is what weights that they share want.
    """
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    axes = frozenset().union(*(_varies(leaf) for leaf in arrays))
    if not axes:
        return tree

    def one(leaf: Any) -> Any:
        missing = axes - _varies(leaf) if isinstance(leaf, jax.Array) else None
        return _vary(leaf, tuple(missing)) if missing else leaf

    return jax.tree.map(one, tree)


def _vary(leaf: Array, axes: tuple) -> Array:
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(leaf, axes, to="varying")
    return jax.lax.pvary(leaf, axes)  # before jax 0.9  # pyright: ignore[reportAttributeAccessIssue]


def _varies(leaf: Array) -> frozenset:
    kind = jax.typeof(leaf)
    if hasattr(kind, "manual_axis_type"):
        return frozenset(kind.manual_axis_type.varying)
    return frozenset(getattr(kind, "vma", ()))  # its older name
