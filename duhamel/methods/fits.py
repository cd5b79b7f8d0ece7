"""Which methods fit which problem: the words in which a method refuses one."""

from collections.abc import Sequence
from typing import NoReturn

from duhamel.core.flows import FlowsProblem
from duhamel.core.linear import Zero
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
        FlowsProblem: "an equation given by flows",
    }
    return names.get(type(problem), f"a {type(problem).__name__}")


def fitting(problem: Problem) -> tuple[str, ...]:
    """Names of methods that solve the problem, best known first."""
    if isinstance(problem, Stochastic):
        exponential = () if isinstance(problem.linear(), Zero) else fitting_linear(problem.noise, problem.calculus)
        return exponential + fitting_noise(problem.noise, problem.calculus)
    if isinstance(problem, LangevinProblem):
        return "UBU()", "QUICSORT()", "ALIGN()", "BAOAB()"
    names = {
        MassProblem: ("Rodas5P()", "Kvaerno5()", "BDF()"),
        SeparableProblem: ("Tsit5()", "Dopri8()", "StormerVerlet()", "McLachlan4()", "Yoshida8()"),
        SplitProblem: ("KenCarp4()", "KenCarp5()", "SBDF3()", "Strang()", "Tsit5()", "Dopri8()"),
        FlowsProblem: ("Strang()", "Lie()"),
        Deterministic: ("Tsit5()", "Dopri8()", "Bosh3()"),
    }
    return names.get(type(problem), ("Tsit5()",))


def fitting_linear(noise: str, calculus: str) -> tuple[str, ...]:
    """Names of methods that treat the linear drift of an SDE exactly."""
    if noise == "additive":
        return "ExponentialHeun()", "ExponentialEulerMaruyama()"
    return ("ExponentialEulerMaruyama()",) if calculus == "ito" else ("ExponentialHeun()",)


def fitting_noise(noise: str, calculus: str) -> tuple[str, ...]:
    """Names of methods for an SDE, the most accurate first."""
    if noise == "additive":
        return "ShARK()", "SRA1()", "EulerMaruyama()"
    if calculus == "ito":
        best = {
            "scalar": ("SOSRI()", "SRIW1()", "Milstein()"),
            "diagonal": ("SOSRI()", "SRIW1()", "Milstein()"),
            "commutative": ("Milstein()",),
            "general": ("Milstein(areas=True)",),
        }
        return *best[noise], "EulerMaruyama()", "DRI1()"
    if noise == "general":
        return "Milstein(areas=True)", "SPaRK()", "StochasticHeun()", "ReversibleHeun()"
    return "SlowRK()", "SPaRK()", "Milstein()", "StochasticHeun()", "ReversibleHeun()"


def refuse(method: str, problem: Problem) -> NoReturn:
    fit = fitting(problem)
    remedy = f"; use {listed(fit)}" if fit else ""
    raise ValueError(f"{method} cannot solve {kind(problem)}{remedy}.")


def listed(names: Sequence[str], last: str = "or") -> str:
    """a, b or c."""
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), names[-1])))
