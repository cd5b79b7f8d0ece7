"""duhamel: differential equations, solved and learned.

Names are loaded when they are first used (PEP 562), so that `import duhamel` costs nothing and
`import duhamel.torch` never imports JAX.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "core.cde": ("CDE", "LogODE"),
    "core.path": ("HermitePath", "LinearPath", "NaturalCubicPath", "Path", "RectilinearPath"),
    "core.flows": ("Flows",),
    "core.brownian": ("Counter", "Noise", "VirtualTree"),
    "core.problem": ("DAE", "Langevin", "ODE", "Problem", "SDE", "Semilinear", "Separable", "Split"),
    "core.linear": ("Dense", "Diagonal", "Linear", "Scalar", "Zero"),
    "core.status": ("Status",),
    "methods.auto": ("Auto",),
    "methods.base": ("Method",),
    "methods.bdf": ("BDF",),
    "methods.consistent": ("consistent_start",),
    "methods.explicit": (
        "Bosh3",
        "Dopri5",
        "Dopri8",
        "Euler",
        "ExplicitRK",
        "Heun",
        "Midpoint",
        "RK4",
        "Ralston",
        "SSPRK2",
        "SSPRK3",
        "SSPRK104",
        "Tsit5",
        "Verner6",
        "Verner7",
        "Verner8",
        "Verner9",
    ),
    "methods.exponential_sde": ("ExponentialEulerMaruyama", "ExponentialHeun"),
    "methods.langevin": ("ALIGN", "BAOAB", "QUICSORT", "UBU"),
    "methods.milstein": ("Milstein",),
    "methods.reversible_heun": ("ReversibleHeun",),
    "methods.stochastic": (
        "EulerHeun",
        "EulerMaruyama",
        "SOSRI",
        "SPaRK",
        "SRA1",
        "SRIW1",
        "ShARK",
        "SlowRK",
        "StochasticHeun",
        "StochasticMidpoint",
        "StochasticRK",
    ),
    "methods.weak": ("DRI1",),
    "methods.exponential": ("ETD1", "ETDRK2", "ETDRK3", "ETDRK4", "ExponentialRK", "HochbruckOstermann", "Krogstad"),
    "methods.imex": ("ARS222", "ARS232", "ARS343", "ARS443", "IMEXRK", "KenCarp3", "KenCarp4", "KenCarp5"),
    "methods.sbdf": ("SBDF", "SBDF2", "SBDF3", "SBDF4"),
    "methods.implicit": (
        "ESDIRK",
        "ESDIRK32",
        "ESDIRK43",
        "ESDIRK54",
        "ImplicitEuler",
        "Kvaerno3",
        "Kvaerno4",
        "Kvaerno5",
        "TRBDF2",
        "Trapezoid",
    ),
    "methods.newton": ("Newton",),
    "methods.reversible": ("Reversible",),
    "methods.splitting": ("Lie", "Splitting", "Strang"),
    "methods.symplectic": (
        "McLachlan4",
        "McLachlan8",
        "PositionVerlet",
        "SemiImplicitEuler",
        "StormerVerlet",
        "Symplectic",
        "Yoshida4",
        "Yoshida6",
        "Yoshida8",
    ),
    "methods.krylov": ("Krylov",),
    "methods.linalg": ("Banded", "BlockDiagonal", "DenseLU", "LinearSolver"),
    "methods.rosenbrock": ("Rodas4", "Rodas5P", "Ros23", "Rosenbrock"),
    "methods.tase": ("MSRKTASE2", "MSRKTASE3", "TASE"),
    "rows.pattern": ("Pattern", "Row"),
    "rows.plan": ("Plan", "Segment"),
    "solver.adjoint": ("Forward", "Tape"),
    "solver.backsolve": ("Backsolve",),
    "solver.control": ("CFL", "Fixed", "PID"),
    "solver.direct": ("Direct",),
    "solver.event": ("Event",),
    "solver.ensemble": ("ensemble",),
    "solver.interpolating": ("Interpolating",),
    "solver.linear_cde": ("linear_cde",),
    "solver.progress": ("Bar",),
    "solver.reversible_adjoint": ("ReversibleAdjoint",),
    "solver.save": ("Save",),
    "solver.solution": ("Events", "Solution", "SolveError", "Stats"),
    "solver.solve": ("solve",),
    "solver.steady": ("SteadyState", "steady_state"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
_SUBPACKAGES = frozenset(
    (
        *("core", "diffusion", "methods", "nde", "nn", "papers", "pde", "problems", "rows", "solver", "testing"),
        *("torch", "train"),
    )
)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(import_module(f"duhamel.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    if name in _SUBPACKAGES:
        return import_module(f"duhamel.{name}")
    raise AttributeError(f"module 'duhamel' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF, *_SUBPACKAGES])
