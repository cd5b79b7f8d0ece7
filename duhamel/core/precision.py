"""Double precision for a while, in this thread, by the name that the installed JAX has for it."""

from contextlib import AbstractContextManager


def enable_x64(on: bool = True) -> AbstractContextManager:
    """`with enable_x64(): ...`; `enable_x64(False)` is single precision."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(on)
    from jax import experimental  # its place before jax 0.8

    return experimental.enable_x64(on)  # pyright: ignore[reportAttributeAccessIssue]
