"""What an equation is: a deterministic right-hand side, perhaps in parts, and perhaps noise.

    dx = (L(t) x + N(t, x, args)) dt + G(t, x, args) dW

Every kind is a final class here with a function that writes it: `ODE`, `Semilinear`, `SDE`, `Split`, `Separable`,
`DAE`, `Langevin`. Which methods fit which kind, the methods say themselves (`methods.base.Method.fields`).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .calling import with_args
from .linear import Linear, Zero


class Problem(eqx.Module):
    """A differential equation: a pytree, so that arrays inside it (a network's weights, a viscosity) are
    differentiated, vmapped and never baked into the compiled program.

    t is a real scalar, x any pytree of arrays; a field returns x's structure, shapes and dtypes.
    """

    @abstractmethod
    def field(self, t: Any, x: Any, args: Any) -> Any:
        """The whole deterministic right-hand side."""

    def linear(self) -> Linear:
        """The part that exponential methods treat exactly."""
        return Zero()

    def noise_shape(self, t: Any, x: Any, args: Any) -> Any:
        """Shapes of the Brownian motion that drives the problem, as a pytree of ShapeDtypeStruct."""
        raise ValueError(f"a {type(self).__name__} has no noise.")

    @abstractmethod
    def closed(self, t: Any, x: Any, args: Any) -> "Problem":
        """The same problem whose functions hold every array they close over as a leaf, so that each can be
        differentiated. t, x and args are arrays or their shapes; every function is traced once, for those."""


class Deterministic(Problem):
    """dx/dt = L(t) x + N(t, x, args). Written `ODE(f)` or `Semilinear(L, N)`."""

    N: Callable
    L: Linear = Zero()

    def field(self, t: Any, x: Any, args: Any) -> Any:
        return _with_linear(self.L, self.N, t, x, args)

    def linear(self) -> Linear:
        return self.L

    def closed(self, t: Any, x: Any, args: Any) -> "Deterministic":
        return Deterministic(close(self.N, t, x, args), self.L)


class Stochastic(Problem):
    """dx = (L(t) x + N(t, x, args)) dt + G(t, x, args) dW. Written `SDE(drift, diffusion, ...)`, which see."""

    N: Callable
    G: Callable
    noise: str = eqx.field(static=True)
    calculus: str = eqx.field(static=True)
    L: Linear = Zero()

    def field(self, t: Any, x: Any, args: Any) -> Any:
        return _with_linear(self.L, self.N, t, x, args)

    def linear(self) -> Linear:
        return self.L

    def closed(self, t: Any, x: Any, args: Any) -> "Stochastic":
        N, G = close(self.N, t, x, args), close(self.G, t, x, args)
        return Stochastic(N, G, self.noise, self.calculus, self.L)

    def noise_shape(self, t: Any, x: Any, args: Any) -> Any:
        """Shapes of w, a pytree of ShapeDtypeStruct: like x, one number, or one number a column."""
        g = eqx.filter_eval_shape(self.G, t, x, args)
        dtype = jnp.finfo(jnp.result_type(*jax.tree.leaves(x))).dtype
        if self.noise == "scalar":
            return jax.ShapeDtypeStruct((), dtype)
        leaves = zip(jax.tree.leaves(g), jax.tree.leaves(x), strict=True)
        extra = {a.shape[jnp.ndim(b) :] for a, b in leaves}
        if extra == {()}:
            return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), dtype), x)
        (columns,) = extra
        return jax.ShapeDtypeStruct(columns, dtype)

    def diffuse(self, t: Any, x: Any, args: Any, w: Any) -> Any:
        """G(t, x, args) w: elementwise, or a matrix on its columns."""
        g = self.G(t, x, args)
        if self.noise == "scalar":
            return jax.tree.map(lambda leaf: leaf * w, g)
        if all(a.ndim == jnp.ndim(b) for a, b in zip(jax.tree.leaves(g), jax.tree.leaves(x), strict=True)):
            return jax.tree.map(lambda leaf, wi: leaf * wi, g, w)
        return jax.tree.map(lambda leaf: leaf @ w, g)


class SplitProblem(Problem):
    """dx/dt = f_E(t, x, args) + f_I(t, x, args): the second part is stiff, IMEX methods treat it implicitly."""

    explicit: Callable
    implicit: Callable

    def field(self, t: Any, x: Any, args: Any) -> Any:
        return jax.tree.map(jnp.add, self.explicit(t, x, args), self.implicit(t, x, args))

    def closed(self, t: Any, x: Any, args: Any) -> "SplitProblem":
        return SplitProblem(close(self.explicit, t, x, args), close(self.implicit, t, x, args))


class SeparableProblem(Problem):
    """dq/dt = v(t, p, args), dp/dt = F(t, q, args); x = (q, p). What symplectic splitting needs."""

    velocity: Callable
    force: Callable

    def field(self, t: Any, x: Any, args: Any) -> Any:
        q, p = pair(x, "a separable equation", "p")
        return self.velocity(t, p, args), self.force(t, q, args)

    def closed(self, t: Any, x: Any, args: Any) -> "SeparableProblem":
        q, p = pair(x, "a separable equation", "p")
        return SeparableProblem(close(self.velocity, t, p, args), close(self.force, t, q, args))


class MassProblem(Problem):
    """M dx/dt = f(t, x, args), M a constant (n, n) matrix; singular M: a differential-algebraic equation of index 1."""

    f: Callable
    mass: Any

    def field(self, t: Any, x: Any, args: Any) -> Any:
        """The right-hand side f; dx/dt = M^-1 f where M is regular."""
        return self.f(t, x, args)

    def closed(self, t: Any, x: Any, args: Any) -> "MassProblem":
        return MassProblem(close(self.f, t, x, args), self.mass)

    def real(self, x: Any) -> "MassProblem":
        """With the mass matrix of the real numbers that x is made of: of each leaf the real parts, then the imaginary
        ones, as implicit methods lay a state out."""
        leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(x)]
        entries = sum(leaf.size for leaf in leaves)
        numbers = sum(leaf.size * (2 if jnp.iscomplexobj(leaf) else 1) for leaf in leaves)
        side = self.mass.shape[0]
        if side == numbers and not jnp.iscomplexobj(self.mass):
            return self
        if side != entries:
            of = "" if entries == numbers else f", or ({numbers}, {numbers}) and real"
            raise ValueError(f"mass is ({side}, {side}), but the state has {entries} entries: make it theirs{of}.")
        if not all(jnp.iscomplexobj(leaf) for leaf in leaves):
            raise ValueError(
                "mass or a part of the state is complex, and another part is real: make all complex, x0 + 0j."
            )
        counts = [leaf.size for leaf in leaves]
        at = np.concatenate(
            [2 * begin + np.arange(n) for begin, n in zip(np.cumsum([0, *counts]), counts, strict=False)]
        )
        re, im = np.zeros((numbers, entries)), np.zeros((numbers, entries))
        re[at, np.arange(entries)] = 1.0
        im[at + np.repeat(counts, counts), np.arange(entries)] = 1.0
        M = self.mass
        mass = re @ (M.real @ re.T - M.imag @ im.T) + im @ (M.imag @ re.T + M.real @ im.T)
        return MassProblem(self.f, mass)


class LangevinProblem(Problem):
    """dq = v dt, dv = -gamma v dt - u grad(q) dt + sqrt(2 gamma u) dW; x = (q, v). Underdamped Langevin dynamics."""

    gradient: Callable
    gamma: Any
    u: Any

    def field(self, t: Any, x: Any, args: Any) -> Any:
        q, v = pair(x, "Langevin dynamics", "v")
        kick = lambda g, v: -self.gamma * v - self.u * g  # noqa: E731
        return v, jax.tree.map(kick, self.gradient(t, q, args), v)

    def closed(self, t: Any, x: Any, args: Any) -> "LangevinProblem":
        q, _ = pair(x, "Langevin dynamics", "v")
        return LangevinProblem(close(self.gradient, t, q, args), self.gamma, self.u)

    def noise_shape(self, t: Any, x: Any, args: Any) -> Any:
        """One Brownian motion for each component of v."""
        del t, args
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), leaf.dtype), x[1])


def pair(x: Any, what: str, second: str) -> tuple[Any, Any]:
    """The two halves of a state."""
    if not isinstance(x, tuple | list) or len(x) != 2:
        size = getattr(x, "shape", None)
        shape = "" if size is None else f" of shape {size}"
        raise ValueError(
            f"{what} has the state x = (q, {second}), a pair of arrays; got x0 as a {type(x).__name__}{shape}."
        )
    return x[0], x[1]


def close(f: Callable, *inputs: Any) -> Callable:
    """f whose captured arrays are leaves, traced once for these inputs; what it returns are arrays."""
    return eqx.filter_closure_convert(lambda *given: jax.tree.map(jnp.asarray, f(*given)), *inputs)


def _with_linear(L: Linear, N: Callable, t: Any, x: Any, args: Any) -> Any:
    if isinstance(L, Zero):
        return N(t, x, args)
    return jax.tree.map(jnp.add, L.apply(t, x), N(t, x, args))


def ODE(f: Callable) -> Deterministic:
    """dx/dt = f(t, x, args), or f(t, x)."""
    return Deterministic(N=with_args(f, "f", "rates"))


def Semilinear(L: Any, N: Callable) -> Deterministic:
    """dx/dt = L(t) x + N(t, x, args), or N(t, x)."""
    L = _linear(L)
    return Deterministic(N=with_args(N, "N", "rates"), L=L)


NOISE = ("additive", "scalar", "diagonal", "commutative", "general")
CALCULI = ("ito", "stratonovich")


def SDE(
    drift: Callable, diffusion: Callable, *, noise: str = "diagonal", calculus: str = "ito", L: Linear | None = None
) -> Stochastic:
    """dx = (L x + f(t, x, args)) dt + g(t, x, args) dW, in Ito's or Stratonovich's sense.

    noise  what is known of g, which decides what g returns and which methods reach which order
           "diagonal"     g like x, each component with a Brownian motion of its own, g_i a function of x_i alone
           "scalar"       g like x, one Brownian motion for all
           "additive"     g does not depend on x: like x, or with one more axis, a column for each Brownian motion
           "commutative"  one more axis, columns with commuting derivatives: (g_j . grad) g_k = (g_k . grad) g_j
           "general"      one more axis, no structure: order 1 needs Levy areas
    """
    if noise not in NOISE:
        raise ValueError(f"noise must be one of {', '.join(NOISE)}, got {noise!r}.")
    if calculus not in CALCULI:
        raise ValueError(f"calculus must be 'ito' or 'stratonovich', got {calculus!r}.")
    drift, diffusion = with_args(drift, "drift", "rates"), with_args(diffusion, "diffusion", "columns")
    return Stochastic(drift, diffusion, noise, calculus, Zero() if L is None else _linear(L))


def Split(explicit: Callable, implicit: Callable) -> SplitProblem:
    """dx/dt = explicit(t, x, args) + implicit(t, x, args), for IMEX methods."""
    return SplitProblem(with_args(explicit, "explicit", "rates"), with_args(implicit, "implicit", "rates"))


def Separable(velocity: Callable, force: Callable) -> SeparableProblem:
    """dq/dt = velocity(t, p, args), dp/dt = force(t, q, args), x = (q, p), for symplectic methods."""
    return SeparableProblem(with_args(velocity, "velocity", "rates"), with_args(force, "force", "rates"))


def DAE(f: Callable, mass: Any) -> MassProblem:
    """mass dx/dt = f(t, x, args) with a constant (n, n) matrix, which may be singular (index 1), and complex."""
    mass = jnp.asarray(mass, complex if jnp.iscomplexobj(mass) else float)
    if mass.ndim != 2 or mass.shape[0] != mass.shape[1]:
        raise ValueError(f"mass must be one square matrix, got shape {mass.shape}.")
    return MassProblem(with_args(f, "f", "rates"), mass)


def Langevin(gradient: Callable, gamma: Any, u: Any = 1.0) -> LangevinProblem:
    """Underdamped Langevin dynamics of the potential with this gradient(t, q, args), x = (q, v)."""
    return LangevinProblem(with_args(gradient, "gradient", "rates"), gamma, u)


def _linear(L: Any) -> Linear:
    if not isinstance(L, Linear):
        raise TypeError(
            f"L must be a duhamel Linear (Zero, Scalar, Diagonal, Dense), got {type(L).__name__}; "
            "wrap a matrix in Dense(matrix) and one number per component in Diagonal(values)."
        )
    return L


def as_problem(problem: Any) -> Problem:
    """A Problem, or a vector field made into one."""
    if isinstance(problem, Problem):
        return problem
    if callable(problem):
        return ODE(problem)
    raise TypeError(
        f"problem must be a Problem or a vector field f(t, x, args), got {type(problem).__name__}; "
        "pass a function, ODE(f) or Semilinear(L, N)."
    )
