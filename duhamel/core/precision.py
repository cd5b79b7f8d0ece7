"""Double precision for a while, in this thread, by the name that the installed JAX has for it."""

from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.experimental

# Its name before jax 0.8 is the second.
_switch: Any = getattr(jax, "enable_x64", None) or getattr(jax.experimental, "enable_x64", None)


def enable_x64(on: bool = True) -> AbstractContextManager:
    """`with enable_x64(): ...`; `enable_x64(False)` is single precision."""
    return _switch(on)
