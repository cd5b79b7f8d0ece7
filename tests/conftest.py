"""Every test runs on the CPU, with float64 switched on and with the annotations of the whole package checked."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Most of the suite's time is compilation. XLA's older way to emit fused loops compiles a third faster, and leaving out
# LLVM's expensive passes takes another third away; what they make is slower, which tests do not notice, and rounds
# differently, so tests that compare two compiled programs allow for rounding. Users, the demo and the benchmarks have
# neither; JAX_DISABLE_MOST_OPTIMIZATIONS=false XLA_FLAGS=--xla_cpu_use_fusion_emitters=true gives tests the same.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
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
