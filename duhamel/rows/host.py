"""Walk through a plan on the host, one step at a time: the loop of the checks, the canonical form and PyTorch."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from .carried import first_memories, remembering
from .pattern import ONES
from .plan import Plan
from .step import Asked, evaluations, kept, step


def as_models(plan: Plan, models: Callable | Sequence[Callable]) -> tuple[Callable, ...]:
    """The models as a tuple, as many as the plan calls; the first, if it says what it predicts, as the plan wants."""
    several = (models,) if callable(models) else tuple(models)
    if len(several) < plan.models:
        raise ValueError(f"plan {plan.name!r} calls {plan.models} models, got {len(several)}; pass models=(F, G, ...).")
    for k, model in enumerate(several):
        if not callable(model):
            raise TypeError(f"model {k} is a {type(model).__name__}; it must be a function F(tau, x).")
    said = getattr(several[0], "prediction", None) if several else None
    if isinstance(said, str) and plan.prediction is not None and said != plan.prediction:
        raise ValueError(
            f"plan {plan.name!r} wants a model that predicts {plan.prediction}, and this one says that it predicts "
            f"{said}; convert it with diffusion.as_prediction, or build the plan for {said}."
        )
    return several


def check_undoing(plan: Plan, eps: float) -> None:
    """Raise where a reversed plan magnifies the rounding of its numbers, of relative size `eps`, beyond all digits."""
    margin = plan.info.get("inversion_margin", 0.0)
    if margin * eps >= 1:
        wider = "run it in float64, with fewer steps, or" if eps > 1e-15 else "take fewer steps, or"
        raise ValueError(
            f"plan {plan.name!r} magnifies rounding {margin:.1e} times, and nothing is left of numbers with a relative "
            f"error of {eps:.1e}; {wider} build a plan of smaller margin."
        )


def march(
    plan: Plan,
    models: Callable | Sequence[Callable],
    slots: Mapping[str, Any],
    *,
    consts: Mapping[str, Any] | None = None,
    draw: Callable[[int, int], Any] | None = None,
    cast: Callable[[Any], Any] = lambda number: number,
) -> Iterator[dict[str, Any]]:
    """The slots before the first step, and after every step.

    models  F(tau, x, *args), or a sequence of such
    slots   first values; "x" must be there, slots not given are zeros like x
    draw    draw(n, d): draw d of step n, where the plan draws
    cast    turns a coefficient or a model time (NumPy) into what multiplies a value from the left
    """
    models = as_models(plan, models)
    slots, consts = _first(plan, slots, consts)
    memories = first_memories(models, slots["x"])
    models = remembering(models, memories)
    slots = slots | memories
    yield slots
    for pattern, coef, tau, draws in _steps(plan, draw, cast):
        env = step(pattern, coef, tau, {**slots, **draws(), **consts}, models)
        slots = {**slots, **kept(pattern, env), **memories}
        yield slots


def asked(
    plan: Plan,
    slots: Mapping[str, Any],
    *,
    consts: Mapping[str, Any] | None = None,
    draw: Callable[[int, int], Any] | None = None,
    cast: Callable[[Any], Any] = lambda number: number,
) -> Generator[Asked, Any, dict[str, Any]]:
    """`march` for those who call the model themselves: stops at every evaluation, goes on with the value it is sent,
    and returns the slots at the end. A draw is made when its step begins."""
    slots, consts = _first(plan, slots, consts)
    for pattern, coef, tau, draws in _steps(plan, draw, cast):
        env = yield from evaluations(pattern, coef, tau, {**slots, **draws(), **consts})
        slots = {**slots, **kept(pattern, env)}
    return slots


def advance(
    plan: Plan,
    n: int,
    models: Callable | Sequence[Callable],
    slots: Mapping[str, Any],
    *,
    consts: Mapping[str, Any] | None = None,
    draw: Callable[[int, int], Any] | None = None,
) -> dict[str, Any]:
    """The slots after step n of the plan, from those before it: `march`, one step at a time."""
    ((pattern, coef, tau, draws),) = islice(_steps(plan, draw, lambda number: number), n, n + 1)
    slots, consts = _first(plan, slots, consts)
    env = step(pattern, coef, tau, {**slots, **draws(), **consts}, as_models(plan, models))
    return {**slots, **kept(pattern, env)}


def _first(
    plan: Plan, slots: Mapping[str, Any], consts: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All slots and constants: slots not given are zeros like x, and `ONES` are ones like x."""
    x = slots["x"]
    ones = {ONES: x * 0 + 1} if ONES in plan.consts else {}
    return dict.fromkeys(plan.slots, x * 0) | dict(slots), ones | dict(consts or {})


def _steps(plan: Plan, draw: Callable | None, cast: Callable) -> Iterator[tuple[Any, ...]]:
    """Pattern, coefficients, model times and draws of every step."""
    n = 0
    for segment in plan.segments:
        names = segment.pattern.draws
        for k in range(segment.steps):
            coef, tau = segment.at(k)
            draws = lambda n=n, names=names: {name: draw(n, d) for d, name in enumerate(names)} if draw else {}  # noqa: E731
            yield segment.pattern, map(cast, coef), map(cast, tau), draws
            n += 1
