"""Models that remember: what a model returns, or when it is asked at all, may depend on what it saw before.

A step is rows, and rows call a model; a model that carries a memory is the one place where a choice made from the state
enters: a time shifted to fit the state, a value extrapolated instead of computed, a count. Every executor threads the
memory through its loop, so such a model works with every plan.

    F, memory = model(memory, tau, x, *args),     memory = model.start(x) before the first call

NumPy-free, so that PyTorch users import this module without JAX.
"""

from collections.abc import Callable, Sequence
from typing import Any


def carries(model: Callable) -> bool:
    """Has the model a memory? It then has a method `start(x)`, and takes and returns the memory first and last."""
    return callable(getattr(model, "start", None))


def name_of(k: int) -> str:
    """The slot in which the memory of model k goes from step to step; `run(..., save="slots")` returns it."""
    return f"memory of model {k}"


def first_memories(models: Sequence[Callable], x: Any) -> dict[str, Any]:
    """The memories before the first call, by slot."""
    return {name_of(k): getattr(model, "start")(x) for k, model in enumerate(models) if carries(model)}  # noqa: B009


def remembering(models: Sequence[Callable], memories: dict[str, Any]) -> list[Callable]:
    """The models as functions F(tau, x, *args) that read their memory from `memories` and leave the next one there.

    One such list belongs to one pass: to one step inside a traced loop, or to one march on the host.
    """

    def call(k: int, model: Callable) -> Callable:
        def value(tau: Any, x: Any, *args: Any) -> Any:
            F, memories[name_of(k)] = model(memories[name_of(k)], tau, x, *args)
            return F

        return value

    return [call(k, model) if carries(model) else model for k, model in enumerate(models)]
