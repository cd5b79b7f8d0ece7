"""Standard normal numbers as a function of a key and two counters: Threefry-2x32 with 20 rounds, written out.

`jax.random` runs the same rounds in a loop on the CPU, which no compiler vectorises: 17 ns a number. Written out they
fuse with whatever uses them: 4 to 7 ns. A number depends on (key, counter, its place in the array) alone.

Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def words(key: Any) -> Array:
    """The two words that stand for a key of `jax.random`, typed or raw."""
    return jax.random.bits(key, (2,), jnp.uint32)


def threefry(key: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """Threefry-2x32-20 of the counter (x0, x1), all uint32; key: two words."""
    k = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    x0, x1 = x0 + k[0], x1 + k[1]
    for i in range(5):
        for r in ROTATIONS[i % 2]:
            x0 = x0 + x1
            x1 = (x1 << np.uint32(r)) | (x1 >> np.uint32(32 - r))
            x1 = x1 ^ x0
        x0, x1 = x0 + k[(i + 1) % 3], x1 + k[(i + 2) % 3] + np.uint32(i + 1)
    return x0, x1


def fold(key: Any, n: Any) -> tuple[Any, Any]:
    """`jax.random.fold_in`, bit for bit, on the two words of a key."""
    return threefry(key, jnp.uint32(0), jnp.asarray(n).astype(jnp.uint32))


def jax_normal(key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """`jax.random.normal`, bit for bit, for the two words of a key, in float32 or float64.

    Words of shape (n,), of as many keys, give (n, *shape). Written out it compiles in a third of the time and runs in
    half of it: on the CPU the noise of a sampler took as long to compile as a network of twelve blocks.
    """
    place = jax.lax.iota(jnp.uint32, prod(shape)).reshape(shape)
    each = [jnp.reshape(word, jnp.shape(word) + (1,) * len(shape)) for word in key]
    x0, x1 = threefry(each, jnp.uint32(0), place)
    if jnp.dtype(dtype) == jnp.float64:
        bits = (x0.astype(jnp.uint64) << np.uint64(32)) | x1.astype(jnp.uint64)
        one = jax.lax.bitcast_convert_type((bits >> np.uint64(12)) | np.uint64(0x3FF0000000000000), jnp.float64)
    else:
        one = jax.lax.bitcast_convert_type(((x0 ^ x1) >> np.uint32(9)) | np.uint32(0x3F800000), jnp.float32)
    end, kind = np.array(1, dtype), np.dtype(dtype)
    low = np.nextafter(-end, 0 * end, dtype=kind)
    u = jnp.maximum(low, (one - end) * (end - low) + low)
    z = np.sqrt(2.0).astype(kind) * jax.lax.erf_inv(u)
    return jnp.where(u == 0, u, z)  # z is 0 there anyway; ending in a product, XLA makes the numbers anew for each use


def written_out(key: Any) -> bool:
    """Whether `fold` and `jax_normal` make what `jax.random` makes of this key."""
    return str(jax.random.key_impl(key)) == "threefry2x32" and bool(jax.config.jax_threefry_partitionable)  # pyright: ignore[reportAttributeAccessIssue]


def normal(key: Any, counter: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """Independent standard normal numbers of this shape and dtype; key: two words (`words`), counter: uint32."""
    place = jax.lax.iota(jnp.uint32, prod(shape)).reshape(shape)
    return normal_at(key, jnp.broadcast_to(jnp.asarray(counter).astype(jnp.uint32), shape), place, dtype)


def normal_at(key: Any, x0: Any, x1: Any, dtype: Any) -> Array:
    """The standard normal number of each counter (x0, x1), two uint32 arrays of one shape."""
    kind = jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32
    return (np.sqrt(2.0).astype(kind) * jax.lax.erf_inv(_uniform(*threefry(key, x0, x1), kind))).astype(dtype)


def uniform_at(key: Any, x0: Any, x1: Any, dtype: Any) -> Array:
    """The number of each counter (x0, x1), uniform in (-1, 1)."""
    kind = jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32
    return _uniform(*threefry(key, x0, x1), kind).astype(dtype)


def _uniform(a: Array, b: Array, kind: Any) -> Array:
    """In (-1, 1): odd multiples of 2^-24, or of 2^-53. Neither end nor zero occurs, and both halves are alike."""
    if kind == jnp.float32:
        return ((a >> np.uint32(8)).astype(jnp.int32) * 2 - (2**24 - 1)).astype(kind) * np.float32(2.0**-24)
    high = (a >> np.uint32(5)).astype(kind) * 2.0**26 + (b >> np.uint32(6)).astype(kind)  # 53 bits
    return (high - (2.0**52 - 0.5)) * 2.0**-52
