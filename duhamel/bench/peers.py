"""The sides of a work-precision diagram: ours and the peers, each a function from a tolerance to an end value.

A side is left out where its package is not installed. All work in float64 on one problem; whatever can be compiled is
compiled before it is timed, and Python libraries call the quickest Python form of the right-hand side.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel.problems.known import InitialValueProblem

STEPS = 200_000

Solver = Callable[[float], tuple[Any, int | None]]


class Side(NamedTuple):
    """
    package  whose it is
    method   by its name there
    make     problem -> (rtol -> (x(t1), evaluations of f or None))
    stiff    whether it may be asked stiff problems; None: both kinds
    """

    package: str
    method: str
    make: Callable[[InitialValueProblem], Solver]
    stiff: bool | None

    @property
    def name(self) -> str:
        return f"{self.package} {self.method}"

    def suits(self, problem: InitialValueProblem) -> bool:
        return self.stiff is None or self.stiff == problem.stiff


def installed(package: str) -> bool:
    return package == "duhamel" or find_spec(package) is not None


def duhamel_side(method: str) -> Callable[[InitialValueProblem], Solver]:
    def make(problem: InitialValueProblem) -> Solver:
        how: dict[str, Any] = {"method": getattr(dh, method)(), "max_steps": STEPS, "throw": False}

        @jax.jit
        def run(x0: Any, rtol: Any) -> Any:
            sol = dh.solve(problem.problem, x0, problem.t1, control=dh.PID(rtol, rtol * problem.scale), **how)
            return jnp.where(sol.ok, sol.x, jnp.nan), sol.stats.nfe

        x0 = jnp.array(problem.x0)

        def solve(rtol: float) -> tuple[Any, int | None]:
            x, nfe = jax.block_until_ready(run(x0, jnp.asarray(rtol)))
            return x, int(nfe)

        return solve

    return make


def diffrax_side(method: str) -> Callable[[InitialValueProblem], Solver]:
    def make(problem: InitialValueProblem) -> Solver:
        diffrax: Any = import_module("diffrax")
        solver = getattr(diffrax, method)()
        term = diffrax.ODETerm(problem)
        explicit = isinstance(solver, diffrax.AbstractERK)
        calls = solver.tableau.num_stages - 1 if explicit else None  # first same as last

        @jax.jit
        def run(x0: Any, rtol: Any) -> Any:
            control = diffrax.PIDController(rtol=rtol, atol=rtol * problem.scale)
            how: dict[str, Any] = {"stepsize_controller": control, "max_steps": STEPS, "throw": False}
            sol = diffrax.diffeqsolve(term, solver, 0.0, problem.t1, None, x0, **how)
            return jnp.where(sol.result == diffrax.RESULTS.successful, sol.ys[-1], jnp.nan), sol.stats["num_steps"]

        x0 = jnp.array(problem.x0)

        def solve(rtol: float) -> tuple[Any, int | None]:
            x, steps = jax.block_until_ready(run(x0, jnp.asarray(rtol)))
            return x, None if calls is None else int(steps) * calls + 2

        return solve

    return make


def scipy_side(method: str) -> Callable[[InitialValueProblem], Solver]:
    """solve_ivp with the Python right-hand side; Jacobians by its own differences."""

    def make(problem: InitialValueProblem) -> Solver:
        from scipy.integrate import solve_ivp

        span, f = (problem.t0, problem.t1), problem.host

        def solve(rtol: float) -> tuple[Any, int | None]:
            sol = solve_ivp(f, span, problem.x0, method=method, rtol=rtol, atol=rtol * problem.scale)
            return sol.y[:, -1], int(sol.nfev)

        return solve

    return make


def numbalsoda_side(method: str) -> Callable[[InitialValueProblem], Solver]:
    """Compiled C and Fortran drivers with a right-hand side compiled by numba."""

    def make(problem: InitialValueProblem) -> Solver:
        import numba
        import numbalsoda

        n = problem.size
        rule: Any = numba.njit(problem.rule)
        names: dict[str, Any] = {"rule": rule, "math": __import__("math")}
        body = "\n".join(f"    dx[{i}] = value[{i}]" for i in range(n))
        state = ", ".join(f"x[{i}]" for i in range(n))
        exec(f"def f(t, x, dx, p):\n    value = rule(t, ({state},), math)\n{body}\n", names)
        address = numba.cfunc(numbalsoda.lsoda_sig)(names["f"]).address
        drive, x0, ts = getattr(numbalsoda, method), np.array(problem.x0), np.array([problem.t0, problem.t1])

        def solve(rtol: float) -> tuple[Any, int | None]:
            xs, ok = drive(address, x0, ts, rtol=rtol, atol=rtol * problem.scale, mxstep=STEPS)
            return (xs[-1] if ok else np.full(n, np.nan)), None

        return solve

    return make


def _torch() -> Any:
    return import_module("torch")


def torch_field(problem: InitialValueProblem) -> Callable[[Any, Any], Any]:
    torch = _torch()

    def f(t: Any, x: Any) -> Any:
        value = problem.rule(t, x, torch)
        return torch.stack(value) if isinstance(value, tuple) else value

    return f


def torchdiffeq_side(method: str) -> Callable[[InitialValueProblem], Solver]:
    def make(problem: InitialValueProblem) -> Solver:
        torch, torchdiffeq = _torch(), import_module("torchdiffeq")

        field, count = torch_field(problem), [0]

        def f(t: Any, x: Any) -> Any:
            count[0] += 1
            return field(t, x)

        x0 = torch.tensor(problem.x0, dtype=torch.float64)
        ts = torch.tensor([problem.t0, problem.t1], dtype=torch.float64)

        def solve(rtol: float) -> tuple[Any, int | None]:
            count[0] = 0
            with torch.no_grad():
                xs = torchdiffeq.odeint(f, x0, ts, rtol=rtol, atol=rtol * problem.scale, method=method)
            return xs[-1].numpy(), count[0]

        return solve

    return make


def torchode_side(method: str) -> Callable[[InitialValueProblem], Solver]:
    """Not compiled: torch.compile needs minutes for a solve of a millisecond."""

    def make(problem: InitialValueProblem) -> Solver:
        torch, torchode = _torch(), import_module("torchode")

        field = torch_field(problem)
        term: Any = torchode.ODETerm(lambda t, x: field(t[0], x[0])[None])
        step = getattr(torchode, method)(term=term)
        x0 = torch.tensor([problem.x0], dtype=torch.float64)
        ts = torch.tensor([[problem.t0, problem.t1]], dtype=torch.float64)

        def solve(rtol: float) -> tuple[Any, int | None]:
            control = torchode.IntegralController(atol=rtol * problem.scale, rtol=rtol, term=term)
            with torch.no_grad():
                sol = torchode.AutoDiffAdjoint(step, control).solve(torchode.InitialValueProblem(y0=x0, t_eval=ts))
            return sol.ys[0, -1].numpy(), int(sol.stats["n_f_evals"][0])

        return solve

    return make


def probdiffeq_side(method: str) -> Callable[[InitialValueProblem], Solver]:
    """A filter on `method` derivatives: "ts0-4" linearises nothing and carries four of them."""

    def make(problem: InitialValueProblem) -> Solver:
        from probdiffeq import ivpsolve, probdiffeq

        ode = probdiffeq.ode(lambda x, /, *, t: problem(t, x))
        space = probdiffeq.state_space_model_blockdiag()
        constraint = space.constraint_ode_ts0(ode)
        solver = probdiffeq.solver_mle(constraint=constraint, strategy=probdiffeq.strategy_filter())
        error = probdiffeq.error_residual_std(constraint=constraint)
        march = ivpsolve.solve_adaptive_terminal_values(solver=solver, error=error)
        expand = probdiffeq.jetexpand_ode_padded_scan(num=int(method[-1]))

        @jax.jit
        def run(x0: Any, rtol: Any) -> Any:
            derivatives, _ = expand(ode, [x0], t=problem.t0)
            prior = space.prior_wiener_integrated(derivatives)
            sol = march(prior, t0=problem.t0, t1=problem.t1, atol=rtol * problem.scale, rtol=rtol)
            return sol.u.mean[0], sol.num_steps

        x0 = jnp.array(problem.x0)

        def solve(rtol: float) -> tuple[Any, int | None]:
            x, _ = jax.block_until_ready(run(x0, jnp.asarray(rtol)))
            return x, None

        return solve

    return make


MAKERS = {
    "duhamel": duhamel_side,
    "diffrax": diffrax_side,
    "scipy": scipy_side,
    "numbalsoda": numbalsoda_side,
    "torchdiffeq": torchdiffeq_side,
    "torchode": torchode_side,
    "probdiffeq": probdiffeq_side,
}
NON_STIFF = {
    "duhamel": ("Tsit5", "Dopri5", "Dopri8", "Verner7", "Verner9"),
    "diffrax": ("Tsit5", "Dopri5", "Dopri8"),
    "scipy": ("RK45", "DOP853", "LSODA"),
    "numbalsoda": ("dop853", "lsoda"),
    "torchdiffeq": ("dopri5", "dopri8"),
    "torchode": ("Tsit5", "Dopri5"),
    "probdiffeq": ("ts0-5",),
}
STIFF = {
    "duhamel": ("Rodas5P", "Rodas4", "Kvaerno5", "BDF"),
    "diffrax": ("Kvaerno3", "Kvaerno5"),
    "scipy": ("Radau", "BDF", "LSODA"),
    "numbalsoda": ("lsoda",),
}


def sides(stiff: bool, packages: Iterable[str] | None = None) -> list[Side]:
    """Those whose package is installed; of ours, the methods that exist."""
    table = STIFF if stiff else NON_STIFF
    return [
        Side(package, method, MAKERS[package](method), stiff)
        for package, methods in table.items()
        if installed(package) and (packages is None or package in packages)
        for method in methods
        if package != "duhamel" or method in dir(dh)
    ]


def missing() -> list[str]:
    """Packages of the diagram that are not installed."""
    return [package for package in MAKERS if not installed(package)]
