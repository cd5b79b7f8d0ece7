"""Timing of one work by two libraries in one process: medians of interleaved runs, and a ratio."""

import platform
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import jax
import numpy as np


def peer(name: str) -> Any:
    """The peer's module, or a sentence that says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ModuleNotFoundError(f'this benchmark compares with {name}: pip install "duhamel[bench]".') from error


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
    """Median seconds of each, compiled beforehand; runs alternate, so that a busy machine hits both."""
    for f in (ours, theirs):
        seconds(f, *args)  # compile
    both = seconds(ours, *args) + seconds(theirs, *args)
    repeats = int(np.clip(budget / both, 5, 200))
    times = np.array([(seconds(ours, *args), seconds(theirs, *args)) for _ in range(repeats)])
    return tuple(np.median(times, axis=0).tolist())


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
