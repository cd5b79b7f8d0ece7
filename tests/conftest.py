"""Every test runs on the CPU, with float64 switched on and with the annotations of the whole package checked."""

import importlib.util
import mmap
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")


def understood(flag: str) -> bool:
    """Whether the installed jaxlib knows a flag of XLA: at one that it does not it ends the process without a word."""
    place = Path(importlib.util.find_spec("jaxlib").origin).parent
    for library in place.glob("*.so"):
        if library.stat().st_size > 2**25:
            with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
                if held.find(b"\0" + flag.encode() + b"\0") >= 0:  # without them: names that are reserved
                    return True
    return False


# Most of the suite's time is compilation. XLA's older way to emit fused loops compiles a third faster, and leaving out
# LLVM's expensive passes takes another third away; what they make is slower, which tests do not notice, and rounds
# differently, so tests that compare two compiled programs allow for rounding. Users, the demo and the benchmarks have
# neither; JAX_DISABLE_MOST_OPTIMIZATIONS=false XLA_FLAGS=--xla_cpu_use_fusion_emitters=true gives tests the same.
# jaxlib 0.12 has the new way only.
if "XLA_FLAGS" not in os.environ and understood("xla_cpu_use_fusion_emitters"):
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")

from jaxtyping import install_import_hook

# Before any import of duhamel: shapes and types in signatures are checked in tests, and cost users nothing.
install_import_hook("duhamel", "beartype.beartype")

import gc

import jax
import pytest

jax.config.update("jax_enable_x64", True)


@pytest.fixture(scope="module", autouse=True)
def forget_what_was_compiled():
    """Each file gives its compiled programs back.

    They hold about a dozen memory maps each; a process that reaches the kernel's limit of 65 530 dies inside XLA.
    """
    yield
    jax.clear_caches()
    gc.collect()
