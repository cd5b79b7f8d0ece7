"""Which methods fit which problem: the words in which a method refuses one."""

from typing import NoReturn

from duhamel.core.problem import (
    Deterministic,
    LangevinProblem,
    MassProblem,
    Problem,
    SeparableProblem,
    SplitProblem,
    Stochastic,
)


def kind(problem: Problem) -> str:
    """What a problem is, in words."""
    if isinstance(problem, Stochastic):
        return f"a stochastic equation ({problem.calculus.capitalize()}, {problem.noise} noise)"
    names = {
        Deterministic: "an ordinary differential equation",
        SplitProblem: "a split equation",
        SeparableProblem: "a separable equation in (q, p)",
        MassProblem: "an equation with a mass matrix",
        LangevinProblem: "underdamped Langevin dynamics",
    }
    return names.get(type(problem), f"a {type(problem).__name__}")


def fitting(problem: Problem) -> tuple[str, ...]:
    """Names of methods that solve the problem, best known first."""
    if isinstance(problem, Stochastic | LangevinProblem):
        return ()
    names = {
        MassProblem: (),
        SeparableProblem: ("Tsit5()", "Dopri8()", "StormerVerlet()", "McLachlan4()", "Yoshida8()"),
        SplitProblem: ("Tsit5()", "Dopri8()"),
        Deterministic: ("Tsit5()", "Dopri8()", "Bosh3()"),
    }
    return names.get(type(problem), ("Tsit5()",))


def refuse(method: str, problem: Problem) -> NoReturn:
    fit = fitting(problem)
    remedy = f"; use {', '.join(fit)}" if fit else ""
    raise ValueError(f"{method} cannot solve {kind(problem)}{remedy}.")
