"""Error-bounded compression of fields: a hierarchy of grids, predictions from the coarser one, quantised differences.

    for strides 2^L, ..., 2, 1, and along each axis in turn:
        predict the new points by cubic interpolation of those known (as they will be *decoded*)
        keep round((u - prediction)/(2 bound)); its decoded value is within `bound` of u

Every point is within the bound, since each is quantised once against what the decoder knows. Integers of one level are
coded together, coarse levels first, so that a beginning of the bytes gives a coarse field: progressive decoding.

The hierarchy is MGARD's, without its L2 projection; predicting from decoded values is SZ3's way, and is what makes the
bound hold on every level with the full budget. Sources: Ainsworth, Tugluk, Whitney and Klasky, SIAM J. Sci. Comput. 41
(2019) A1278 (MGARD); Zhao et al., ICDE 2021 (SZ3's interpolation).
"""

import bz2
import json
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from duhamel.core.grid import Number

MAGIC = b"DUHC1"
# Symbols of a byte each that hardly repeat: no context but the symbol itself.
RAW: dict[str, Any] = {"format": lzma.FORMAT_RAW, "filters": [{"id": lzma.FILTER_LZMA2, "lc": 0, "lp": 0, "pb": 0}]}


def compress(u: np.ndarray, bound: Number) -> bytes:
    """Bytes from which every number of u comes back within `bound` (absolute), whatever u holds that is finite.

    u: float32 or float64, 1 to 5 axes, those of time and samples included (smooth axes help).
    """
    u = np.asarray(u)
    if u.dtype not in (np.float32, np.float64) or not 1 <= u.ndim <= 5 or not u.size:
        raise ValueError(f"u is {u.dtype} of shape {u.shape}; give float32 or float64 numbers along 1 to 5 axes.")
    if not np.all(np.isfinite(u)):
        raise ValueError("u holds values that are NaN or infinite, which no bound can be kept for; mask them first.")
    rounding = 0.5 * float(np.spacing(np.abs(u).max() + u.dtype.type(bound)))
    kept = float(bound) - rounding  # the decoder rounds to the dtype of u
    if not kept > rounding:
        raise ValueError(
            f"bound = {bound} is not above {2 * rounding:.1e}, to which {u.dtype} is rounded here; store u as it is."
        )
    blocks: list[bytes] = []

    def quantise(values: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        steps = np.rint((values - predicted) / (2 * kept)).astype(np.int64)
        blocks.append(_pack(steps.reshape(-1)))
        return predicted + 2 * kept * steps

    _sweep(u.astype(np.float64), np.zeros(u.shape), quantise, len(levels(u.shape)))
    header = {"shape": u.shape, "dtype": str(u.dtype), "step": (2 * kept).hex(), "sizes": [len(b) for b in blocks]}
    head = json.dumps(header).encode()
    return MAGIC + struct.pack("<I", len(head)) + head + b"".join(blocks)


def decompress(data: bytes, level: int | None = None) -> np.ndarray:
    """The field; level: use only so many levels (see `levels`) and interpolate the rest, a coarser field for less."""
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("these bytes were not made by duhamel's compress.")
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    start = len(MAGIC) + 4 + length
    header = json.loads(data[len(MAGIC) + 4 : start])
    shape, step = tuple(header["shape"]), float.fromhex(header["step"])
    count = len(levels(shape)) if level is None else level
    if not 1 <= count <= len(levels(shape)):
        raise ValueError(f"level = {level}; a field of shape {shape} has levels 1 to {len(levels(shape))}.")
    ends = start + np.cumsum([0, *header["sizes"]])
    wanted = sum(_parts(shape)[:count])
    if len(data) < ends[wanted]:
        raise ValueError(f"{len(data)} bytes are given and {ends[wanted]} are needed; they were not copied to the end.")
    blocks = pairwise(ends)

    def restore(values: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        a, b = next(blocks)
        return predicted + step * _unpack(data[a:b]).reshape(predicted.shape)

    u = _sweep(np.zeros(shape), np.zeros(shape), restore, count)
    return u.astype(header["dtype"])


def levels(shape: tuple[int, ...]) -> list[int]:
    """Strides of the grids, coarse to fine."""
    most = max(int(np.ceil(np.log2(max(shape) - 1))), 0) if max(shape) > 1 else 0
    return [2**j for j in range(most, -1, -1)]


def bytes_up_to(data: bytes, level: int) -> int:
    """How many of the bytes `decompress(data, level)` looks at."""
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    start = len(MAGIC) + 4 + length
    header = json.loads(data[len(MAGIC) + 4 : start])
    return start + sum(header["sizes"][: sum(_parts(tuple(header["shape"]))[:level])])


def _sweep(u: np.ndarray, known: np.ndarray, code: Callable, count: int) -> np.ndarray:
    """Fill `known` from coarse to fine; code(values, predicted) gives what the decoder will see. Levels beyond `count`
    are interpolated only."""
    strides = levels(u.shape)
    first = tuple(slice(None, None, strides[0]) for _ in u.shape)
    known[first] = code(u[first], np.zeros_like(u[first]))
    for number, stride in enumerate(strides[1:], 2):
        for axis, new in _new_points(u.shape, stride):
            predicted = _predict(known, axis, stride, new)
            known[new] = code(u[new], predicted) if number <= count else predicted
    return known


def _new_points(shape: tuple[int, ...], stride: int) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Along each axis the odd multiples of the stride: axes before are refined already, axes after are not."""
    for axis, n in enumerate(shape):
        if n > stride:
            before = [slice(None, None, stride)] * axis
            after = [slice(None, None, 2 * stride)] * (len(shape) - axis - 1)
            yield axis, (*before, slice(stride, None, 2 * stride), *after)


def _parts(shape: tuple[int, ...]) -> list[int]:
    """Blocks of each level."""
    return [1] + [len(list(_new_points(shape, stride))) for stride in levels(shape)[1:]]


def _predict(known: np.ndarray, axis: int, stride: int, new: tuple[slice, ...]) -> np.ndarray:
    """Of the new points, which lie midway between known ones: polynomials through the four, three, ... nearest of them.

    Inside, (-a + 9 b + 9 c - d)/16. At the ends as many points as there are on one side; the last new point may lie
    beyond all that is known.
    """
    coarse = list(new)
    coarse[axis] = slice(None, None, 2 * stride)
    v = np.moveaxis(known[tuple(coarse)], axis, 0)
    n, count = len(v), np.moveaxis(known[new], axis, 0).shape[0]
    found = np.empty((count, *v.shape[1:]))
    found[1 : n - 2] = (9 * (v[1 : n - 2] + v[2 : n - 1]) - v[: n - 3] - v[3:n]) / 16 if n > 3 else 0.0
    for j in {0, n - 2, n - 1} & set(range(count)):
        if not 0 < j < n - 2:
            near = sorted(range(n), key=lambda i, j=j: abs(i - j - 0.5))[: 4 if j < n - 1 else 3]
            found[j] = sum(w * v[i] for i, w in zip(near, _lagrange(near, j + 0.5), strict=True))
    return np.moveaxis(found, 0, axis)


def _lagrange(nodes: list[int], x: float) -> list[float]:
    """Weights of the polynomial through the nodes, at x."""
    return [float(np.prod([(x - k) / (i - k) for k in nodes if k != i])) for i in nodes]


def _pack(steps: np.ndarray) -> bytes:
    """Integers of the narrowest kind that holds them, bytes of equal weight together; the best of three coders."""
    reach = int(np.abs(steps).max()) if steps.size else 0
    kind = next(k for k in (np.int8, np.int16, np.int32, np.int64) if reach <= np.iinfo(k).max)
    narrow = np.ascontiguousarray(steps.astype(kind))
    planes = narrow.view(np.uint8).reshape(-1, narrow.itemsize).T.tobytes()
    coded = (zlib.compress(planes, 9), bz2.compress(planes, 9), lzma.compress(planes, **RAW))
    best = min(range(3), key=lambda i: len(coded[i]))
    return bytes([narrow.itemsize, best]) + coded[best]


def _unpack(block: bytes) -> np.ndarray:
    decode = (zlib.decompress, bz2.decompress, lambda b: lzma.decompress(b, **RAW))[block[1]]
    planes = np.frombuffer(decode(block[2:]), np.uint8).reshape(block[0], -1)
    return np.ascontiguousarray(planes.T).view(f"<i{block[0]}").reshape(-1).astype(np.int64)
