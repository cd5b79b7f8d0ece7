"""Plans as text: one line, or every row with its names and numbers."""

from typing import Any

import numpy as np

from .pattern import Pattern, Row
from .plan import Plan, Segment


def summary(plan: Plan) -> str:
    """One line: name, steps, evaluations, copies, what the model returns, and the times."""
    returns = f", model returns {plan.prediction}" if plan.prediction else ""
    copies = "once" if plan.copies == 1 else f"{plan.copies} times"
    first, last = (f"{np.ravel(plan.t)[i]:.6g}" if isinstance(plan.t, np.ndarray) else "?" for i in (0, -1))
    return (
        f"Plan {plan.name!r}: {plan.steps} steps, {plan.nfe} evaluations, the model stands {copies} in the program"
        f"{returns}, t = {first} .. {last}"
    )


def table(plan: Plan, digits: int = 5) -> str:
    """The rows of every segment as equations, then the coefficients of every step; constants stand in the equation."""
    lines, begin = [summary(plan)], 0
    for segment in plan.segments:
        lines += ["", *_segment(segment, begin, plan.t[begin : begin + segment.steps + 1], digits)]
        begin += segment.steps
    return "\n".join(lines)


def equations(pattern: Pattern, names: list[str] | None = None) -> list[str]:
    """The rows of a pattern as text; `names` of the coefficients in the order in which the rows read."""
    names = names or [f"c{k + 1}" for k in range(len(pattern.positions))]
    rest = iter(names)
    lines = []
    for row in pattern.rows:
        line = f"{row.out} = " + " + ".join(f"{next(rest)} {name}".strip() for name in row.reads)
        if row.call is not None:
            line += f",  {row.call} = {_model(row)}(tau, {', '.join((row.out, *row.args))})"
        lines.append(line)
    lines.append("keep " + ", ".join(f"{slot} <- {source}" for slot, source in pattern.keep))
    if pattern.draws:
        lines.append(f"draw {', '.join(pattern.draws)}")
    if pattern.consts:
        lines.append(f"read {', '.join(pattern.consts)}")
    return lines


def _model(row: Row) -> str:
    return "N" if row.model == 0 else f"N{row.model}"


def _segment(segment: Segment, begin: int, t: Any, digits: int) -> list[str]:
    columns: list[tuple[str, Any]] = []
    names = []
    for k, c in enumerate(segment.coef):
        varies = c.shape[0] > 1 or (segment.steps == 1 and c.ndim > 1)
        if varies or not isinstance(c, np.ndarray):
            names.append(f"c{k + 1}")
            columns.append((names[-1], c))
        else:
            text = _number(c[0], digits)
            names.append("" if text == "1" else f"({text})" if text.startswith("-") else text)
    taus = [f"tau{k + 1}" if segment.pattern.calls > 1 else "tau" for k in range(segment.pattern.calls)]
    head = ["step", "t", *taus, *(name for name, _ in columns)]
    body = [
        [
            str(begin + n),
            _number(t[n], digits),
            *(_number(tau, digits) for tau in segment.tau[n]),
            *(_number(c[n if c.shape[0] > 1 else 0], digits) for _, c in columns),
        ]
        for n in range(segment.steps)
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = [f"  {line}" for line in equations(segment.pattern, names)]
    return lines + ["  " + "  ".join(map(str.rjust, row, widths)) for row in (head, *body)]


def _number(value: Any, digits: int) -> str:
    if not isinstance(value, np.ndarray | np.generic):
        return "?"  # a tracer
    if value.ndim:
        low, high = np.min(np.abs(value)), np.max(np.abs(value))
        return f"|{low:.{digits}g}..{high:.{digits}g}|{list(value.shape)}"
    return f"{value:.{digits}g}"
