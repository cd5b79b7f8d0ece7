"""JAX's switches about promotion are for a user's own arithmetic. The library's own runs as if they were not set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

_theirs: ContextVar[tuple[str, str] | None] = ContextVar("switches of the user", default=None)


def _now() -> tuple[str, str]:
    return jax.config.jax_numpy_dtype_promotion, jax.config.jax_numpy_rank_promotion  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def _set(dtype: str, rank: str) -> Iterator[None]:
    with jax.numpy_dtype_promotion(dtype), jax.numpy_rank_promotion(rank):
        yield


P = ParamSpec("P")
R = TypeVar("R")


def own_arithmetic(f: Callable[P, R]) -> Callable[P, R]:
    """f, whose sums and products may promote; functions of the user inside it (`theirs`) have their switches back."""

    @wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        now = _now()
        if now == ("standard", "allow"):
            return f(*args, **kwargs)
        token = _theirs.set(now)
        try:
            with _set("standard", "allow"):
                return f(*args, **kwargs)
        finally:
            _theirs.reset(token)

    return call


@contextmanager
def theirs() -> Iterator[None]:
    """The switches as the user set them, while a function of theirs is called."""
    before = _theirs.get()
    if before is None:
        yield
        return
    with _set(*before):
        yield
