"""Compression within a bound: held at every point of every array; coarse fields from a beginning of the bytes."""

import zlib
from itertools import pairwise

import numpy as np
import pytest

from duhamel.pde.data.compress import bytes_up_to, compress, decompress, levels

RNG = np.random.default_rng(5)


def waves(shape, dtype=np.float64):
    axes = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij", sparse=True)
    return (np.sin(6 * sum(axes)) + np.prod(np.broadcast_arrays(*(np.cos(9 * x) for x in axes)), axis=0)).astype(dtype)


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (1000,), (17, 5), (64, 33), (1, 40), (9, 16, 7), (3, 4, 5, 6, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_comes_back_within_the_bound(shape, dtype):
    """Smooth, rough, large and constant fields, at bounds from 1e-1 to 1e-6."""
    for u in (waves(shape, dtype), RNG.normal(size=shape).astype(dtype), np.full(shape, 3, dtype)):
        for bound in 10.0 ** -np.arange(1, 7):
            back = decompress(compress(u, bound))
            assert back.dtype == dtype and back.shape == shape
            assert np.abs(back.astype(float) - u.astype(float)).max() <= bound
    wild = (1e6 * RNG.standard_cauchy(size=shape)).astype(np.float64)
    assert np.abs(decompress(compress(wild, 1e-4)) - wild).max() <= 1e-4


def test_smooth_fields_need_few_bytes():
    u = waves((40, 128, 128), np.float32)
    ratio = u.nbytes / len(compress(u, 1e-3))
    assert ratio > 5 * u.nbytes / len(zlib.compress(u.tobytes(), 9)) and ratio > 40


def test_coarse_levels_come_first_and_errors_fall():
    u = waves((65, 65), np.float64)
    data = compress(u, 1e-6)
    errors = [np.abs(decompress(data, n) - u).max() for n in range(1, len(levels(u.shape)) + 1)]
    assert all(b < a for a, b in pairwise(errors[1:])) and errors[-1] <= 1e-6 < 0.5 < errors[0]
    sizes = [bytes_up_to(data, n) for n in range(1, len(errors) + 1)]
    assert sizes == sorted(sizes) and sizes[-1] == len(data) and sizes[-3] < len(data) / 5
    np.testing.assert_array_equal(decompress(data[: sizes[3]], 4), decompress(data, 4))  # the rest is not looked at


def test_against_sz3():
    """The codec of the SZ3 team at the same bound: both keep it; ours needs no more than three times the bytes."""
    pysz = pytest.importorskip("pysz")
    u, bound = waves((32, 64, 64), np.float32), 1e-3
    config = pysz.szConfig()
    config.errorBoundMode, config.absErrorBound = pysz.szErrorBoundMode.ABS, bound
    theirs, _ = pysz.sz.compress(u, config)
    back, _ = pysz.sz.decompress(theirs, np.float32, u.shape)
    assert np.abs(back - u).max() <= bound * (1 + 1e-6)
    assert len(compress(u, bound)) < 3 * len(theirs)


def test_bad_input_is_told_in_a_sentence():
    with pytest.raises(ValueError, match="NaN or infinite"):
        compress(np.array([1.0, np.nan]), 0.1)
    with pytest.raises(ValueError, match="store u as it is"):
        compress(np.full(4, 1e6, np.float32), 1e-3)
    with pytest.raises(ValueError, match="give float32 or float64"):
        compress(np.arange(4), 0.1)
    data = compress(waves((9,)), 0.1)
    with pytest.raises(ValueError, match="not made by duhamel"):
        decompress(b"PNG" + data)
    with pytest.raises(ValueError, match="not copied to the end"):
        decompress(data[:-3])
    with pytest.raises(ValueError, match="has levels 1 to 4"):
        decompress(data, 9)
