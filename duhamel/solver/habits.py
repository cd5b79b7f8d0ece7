"""Names that users of SciPy and diffrax write, and what they are called here."""

import difflib
import inspect
from collections.abc import Callable
from typing import Any

HERE = {
    "rtol": "control=PID(rtol=..., atol=...)",
    "atol": "control=PID(rtol=..., atol=...)",
    "tol": "control=PID(rtol=..., atol=...)",
    "dt": "control=Fixed(steps) for equal steps, or dt0=... for the first one of adaptive steps",
    "h": "control=Fixed(steps) for equal steps, or dt0=... for the first one of adaptive steps",
    "step_size": "control=Fixed(steps)",
    "steps": "control=Fixed(steps)",
    "first_step": "dt0=...",
    "max_step": "control=PID(max_step=...)",
    "min_step": "control=PID(min_step=...)",
    "dtmax": "control=PID(max_step=...)",
    "stepsize_controller": "control=PID(rtol=..., atol=...) or Fixed(steps)",
    "controller": "control=PID(rtol=..., atol=...) or Fixed(steps)",
    "t": "solve(f, x0, ts): the end time or the save times come third",
    "ts": "solve(f, x0, ts): the end time or the save times come third",
    "t1": "solve(f, x0, t1, t0=...): the end time comes third",
    "t_eval": "solve(f, x0, ts): the save times come third",
    "t_span": "solve(f, x0, t1, t0=...): the end time comes third",
    "saveat": "save times third, solve(f, x0, ts), or save=Save(steps=True) or Save(dense=True)",
    "dense_output": "save=Save(dense=True)",
    "y0": "solve(f, x0, t1): the initial state comes second",
    "solver": "method=...",
    "event": "events=...",
    "terms": "solve(f, x0, t1): the vector field or problem comes first",
    "jac": "nothing: Jacobians are taken of f by differentiation",
    "rng": "key=jax.random.key(0)",
    "seed": "key=jax.random.key(0)",
}


def refuse(door: Callable, other: dict[str, Any]) -> None:
    """One sentence for keyword arguments that a front door does not have."""
    if not other:
        return
    name = next(iter(other))
    if name in HERE:
        raise TypeError(f"{door.__name__} has no {name}=; here it is {HERE[name]}.")
    known = [p.name for p in inspect.signature(door).parameters.values() if p.kind is not p.VAR_KEYWORD]
    near = difflib.get_close_matches(name, known, 1, 0.6)
    did = f" Did you mean {near[0]}=?" if near else ""
    raise TypeError(f"{door.__name__} has no {name}=; it has {', '.join(known)}.{did}")
