"""Every test runs on the CPU, with float64 switched on and with the annotations of the whole package checked."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

from jaxtyping import install_import_hook

# Before any import of duhamel: shapes and types in signatures are checked in tests, and cost users nothing.
install_import_hook("duhamel", "beartype.beartype")

import jax

jax.config.update("jax_enable_x64", True)
