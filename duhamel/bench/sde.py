"""Stochastic equations on fixed grids: strong error against time, and how far a solve is from a bare `lax.scan`.

1000 paths of equations with exact solutions (`problems.stochastic`), in float64: the root mean square, over paths, of
x(1) - exact(1, W(1)), where W is solved along as a second component with the same noise, so that every library is
judged on the path it has drawn itself. Ratios are taken at equal error, as in `work_precision`.

Against `lax.scan`: Euler-Maruyama on geometric Brownian motion, 4096 paths and 1000 steps in float32. The scan is the
loop one would write by hand, with one draw a step for all paths; a second one draws path by path from keys folded with
path and step, as `ensemble` does so that a path does not depend on its neighbours.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import duhamel as dh
from duhamel.core.precision import enable_x64
from duhamel.problems.known import ExactSDE
from duhamel.problems.stochastic import STOCHASTIC

from .measure import machine, peer, race
from .peers import installed
from .work_precision import CAPTION, COLUMNS, Point, compare, figures

# What this shows is what `duhamel bench work-precision` shows.
COLUMNS, CAPTION, figures = COLUMNS, CAPTION, figures

PATHS, STEPS = 1000, (16, 32, 64, 128, 256, 512, 1024)
METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "linear": {
        "duhamel": ("EulerMaruyama", "Milstein", "SOSRI"),
        "diffrax": ("Euler", "ItoMilstein"),
        "torchsde": ("euler", "milstein", "srk"),
    },
    "linear-stratonovich": {
        "duhamel": ("EulerHeun", "StochasticHeun", "SPaRK", "SlowRK"),
        "diffrax": ("EulerHeun", "Heun", "SPaRK", "SlowRK"),
        "torchsde": ("euler_heun", "heun", "milstein"),
    },
    "additive": {
        "duhamel": ("EulerMaruyama", "SRA1", "ShARK"),
        "diffrax": ("Euler", "SRA1", "ShARK"),
        "torchsde": ("euler", "srk"),
    },
}


def duhamel_paths(problem: ExactSDE, method: str, paths: int) -> Callable[[int], Any]:
    x0s, key, chosen = _starts(problem, paths), jax.random.key(0), getattr(dh, method)()

    def every(x0s: Any, key: Any, steps: int) -> Any:
        return dh.ensemble(problem.with_path, x0s, problem.t1, method=chosen, control=dh.Fixed(steps), key=key).x

    compiled = jax.jit(every, static_argnums=2)
    return lambda steps: jax.block_until_ready(compiled(x0s, key, steps))


def diffrax_paths(problem: ExactSDE, method: str, paths: int) -> Callable[[int], Any]:
    diffrax: Any = peer("diffrax")
    solver = getattr(diffrax, method)()
    areas = {"SRA1", "ShARK", "SPaRK", "SlowRK"}
    area = diffrax.SpaceTimeLevyArea if method in areas else diffrax.BrownianIncrement
    x0s, keys = _starts(problem, paths), jax.random.split(jax.random.key(0), paths)

    def drift(t: Any, x: Any, args: Any) -> Any:
        return jnp.stack([problem.drift(t, x[0]), jnp.zeros_like(x[1])])

    def diffusion(t: Any, x: Any, args: Any) -> Any:
        return jnp.stack([problem.diffusion(t, x[0]) * jnp.ones_like(x[0]), jnp.ones_like(x[1])])

    def one(x0: Any, key: Any, steps: int) -> Any:
        path = diffrax.UnsafeBrownianPath(shape=(), key=key, levy_area=area)
        terms = diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(diffusion, path))
        how: dict[str, Any] = {"max_steps": steps + 1, "adjoint": diffrax.DirectAdjoint()}
        return diffrax.diffeqsolve(terms, solver, 0.0, problem.t1, problem.t1 / steps, x0, **how).ys[-1]

    every = jax.jit(jax.vmap(one, in_axes=(0, 0, None)), static_argnums=2)
    return lambda steps: jax.block_until_ready(every(x0s, keys, steps))


def torchsde_paths(problem: ExactSDE, method: str, paths: int) -> Callable[[int], Any]:
    torch: Any = peer("torch")
    torchsde: Any = peer("torchsde")
    a, b = _coefficients(problem.name, torch)

    class Equation:
        noise_type, sde_type = "scalar", problem.calculus

        def f(self, t: Any, x: Any) -> Any:
            return torch.stack([a(t, x[:, 0]), torch.zeros_like(x[:, 1])], dim=1)

        def g(self, t: Any, x: Any) -> Any:
            return torch.stack([b(t, x[:, 0]), torch.ones_like(x[:, 1])], dim=1)[:, :, None]

    equation, x0s = Equation(), torch.tensor(np.asarray(_starts(problem, paths)))
    if problem.noise == "additive":
        equation.noise_type = "additive"
    ts = torch.tensor([0.0, problem.t1], dtype=torch.float64)
    levy = "space-time" if method == "srk" else "none"

    def solve(steps: int) -> Any:
        torch.manual_seed(0)
        how: dict[str, Any] = {"size": (paths, 1), "dtype": torch.float64, "levy_area_approximation": levy}
        path = torchsde.BrownianInterval(0.0, problem.t1, **how)
        with torch.no_grad():
            return torchsde.sdeint(equation, x0s, ts, bm=path, method=method, dt=problem.t1 / steps)[-1].numpy()

    return solve


def _coefficients(name: str, m: Any) -> tuple[Callable, Callable]:
    """Drift and diffusion of `problems.stochastic` in torch."""
    if name == "additive":
        root = lambda t: m.sqrt(1.0 + t)  # noqa: E731
        return lambda t, x: 0.05 / root(t) - x / (2.0 * (1.0 + t)), lambda t, x: 0.005 / root(t) * m.ones_like(x)
    return lambda t, x: 1.01 * x, lambda t, x: 0.87 * x


def _starts(problem: ExactSDE, paths: int) -> Any:
    return jnp.tile(jnp.array([problem.x0, 0.0]), (paths, 1))


MAKERS = {"duhamel": duhamel_paths, "diffrax": diffrax_paths, "torchsde": torchsde_paths}


def strong(name: str, paths: int, ladder: Sequence[int], say: Callable[[str], None]) -> list[dict]:
    """Every method at every number of steps."""
    problem, title = STOCHASTIC[name], f"{name} SDE, {paths} paths"
    points = []
    for package, methods in METHODS[name].items():
        for method in methods if installed(package) else ():
            say(f"{title}: {package} {method}")
            solve = MAKERS[package](problem, method, paths)
            for steps in ladder:
                x = np.asarray(solve(steps))  # compiles: the number of steps is part of the program
                error = float(np.sqrt(np.mean((x[:, 0] - np.asarray(problem.exact(problem.t1, x[:, 1]))) ** 2)))
                seconds = [_timed(solve, steps)]
                seconds += [_timed(solve, steps) for _ in range(4) if seconds[0] < 1.0]
                made = {"problem": title, "package": package, "method": method, "rtol": 1 / steps, "nfe": steps}
                points.append(Point(**made, error=error, seconds=min(seconds)))
                if seconds[0] > 20.0:
                    break
    return compare(title, points)


def _timed(solve: Callable, steps: int) -> float:
    begin = time.perf_counter()
    solve(steps)
    return time.perf_counter() - begin


def against_scan(paths: int = 4096, steps: int = 1000) -> list[dict]:
    """Ours over a bare scan, and diffrax over ours, in float32: one draw a step for all paths, and one a path."""
    linear = STOCHASTIC["linear"]
    equation = dh.SDE(linear.drift, linear.diffusion)
    h = np.float32(1.0 / steps)
    x0s = jnp.full((paths, 1), linear.x0, jnp.float32)

    def bare(x0s: Any, key: Any, draw: Callable) -> Any:
        def step(x: Any, i: Any) -> Any:
            dw = jnp.sqrt(h) * draw(key, i)
            return x + h * linear.drift(0.0, x) + linear.diffusion(0.0, x) * dw, None

        return jax.lax.scan(step, x0s[:, 0], jnp.arange(steps))[0]

    together = lambda key, i: jax.random.normal(jax.random.fold_in(key, i), (paths,), jnp.float32)  # noqa: E731

    def apart(key: Any, i: Any) -> Any:
        each = jax.vmap(lambda k: jax.random.fold_in(jax.random.fold_in(key, k), i))(jnp.arange(paths))
        return jax.vmap(lambda k: jax.random.normal(k, (), jnp.float32))(each)

    @jax.jit
    def ours(x0s: Any, key: Any) -> Any:
        how: dict[str, Any] = {"method": dh.EulerMaruyama(), "control": dh.Fixed(steps), "throw": False}
        return dh.ensemble(equation, x0s, 1.0, key=key, **how).x

    rivals: dict[str, tuple[str, Callable]] = {
        "lax.scan, one draw a step": ("jax", jax.jit(lambda x, key: bare(x, key, together))),
        "lax.scan, one draw a path and step": ("jax", jax.jit(lambda x, key: bare(x, key, apart))),
    }
    if installed("diffrax"):
        rivals["vmap(diffrax Euler)"] = "diffrax", _diffrax_euler(linear, steps)
    key, records = jax.random.key(0), []
    for name, (package, theirs) in rivals.items():
        seconds, other = race(ours, theirs, (x0s, key), budget=4.0)
        records.append(
            {
                "name": f"Euler-Maruyama, {paths} paths, {steps} steps: {name}",
                "value": 1e3 * seconds,
                "unit": "ms",
                "error": None,
                "method": "EulerMaruyama",
                "peer": package,
                "peer_version": peer(package).__version__,
                "peer_value": 1e3 * other,
                "ratio": other / seconds,
                "machine": machine(),
                "points": [],
                "problem": "",
            }
        )
    return records


def _diffrax_euler(linear: ExactSDE, steps: int) -> Callable:
    diffrax: Any = peer("diffrax")

    def one(x0: Any, key: Any) -> Any:
        path = diffrax.UnsafeBrownianPath(shape=(1,), key=key)
        drift = diffrax.ODETerm(lambda t, x, args: linear.drift(t, x))
        noise = diffrax.ControlTerm(lambda t, x, args: diffrax_diagonal(linear.diffusion(t, x)), path)
        terms, how = diffrax.MultiTerm(drift, noise), {"max_steps": steps + 1, "adjoint": diffrax.DirectAdjoint()}
        return diffrax.diffeqsolve(terms, diffrax.Euler(), 0.0, 1.0, 1.0 / steps, x0, **how).ys[-1]

    def diffrax_diagonal(values: Any) -> Any:
        import lineax

        return lineax.DiagonalLinearOperator(values)

    return jax.jit(lambda x0s, key: jax.vmap(one)(x0s, jax.random.split(key, len(x0s))))


def run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]:
    """The comparison with `lax.scan`, then strong errors. `quick`: one equation, few steps."""
    say = progress or (lambda text: None)
    say("against lax.scan")
    records = against_scan(*((1024, 200) if quick else (4096, 1000)))
    with enable_x64(True):
        for name in ("linear",) if quick else METHODS:
            records += strong(name, PATHS, STEPS[::3] if quick else STEPS, say)
    return records
