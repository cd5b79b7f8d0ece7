"""Timing of one work by two libraries in one process: medians of interleaved runs, and a ratio."""

import platform
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from duhamel.core.extras import missing

BLOCK, WARM = 12, 3  # calls in a row, and how many of them are left out


def peer(name: str) -> Any:
    """The peer's module, or a sentence that says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise missing("this benchmark", name, "bench") from error


def machine() -> str:
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    import os

    return f"{platform.machine()} CPU, {len(os.sched_getaffinity(0))} cores"


def seconds(f: Callable, *args: Any) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(f(*args))
    return time.perf_counter() - begin


def race(ours: Callable, theirs: Callable, args: tuple, *, budget: float = 6.0) -> tuple[float, float]:
    """Median seconds of each, compiled beforehand.

    Blocks of calls alternate, so that a busy machine hits both; the first calls of a block, which find the caches full
    of the other's data, are left out.
    """
    for f in (ours, theirs):
        seconds(f, *args)  # compile
    both = seconds(ours, *args) + seconds(theirs, *args)
    blocks = int(np.clip(budget / (BLOCK * both), 3, 50))
    times = {ours: [], theirs: []}
    for f in (ours, theirs) * blocks:
        times[f] += [seconds(f, *args) for _ in range(BLOCK)][WARM:]
    return float(np.median(times[ours])), float(np.median(times[theirs]))


def record(name: str, ours: float, theirs: float, package: str, error: float | None, peer_error: float | None) -> dict:
    return {
        "name": name,
        "value": ours * 1e3,
        "unit": "ms",
        "error": error,
        "ratio": theirs / ours,
        "peer": package,
        "peer_value": theirs * 1e3,
        "peer_error": peer_error,
        "peer_version": version(package),
        "machine": machine(),
    }
