"""Mistakes that can be seen before anything is compiled: one sentence each."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from duhamel.core.brownian import Counter, VirtualTree
from duhamel.core.calling import Opened, held, with_args
from duhamel.core.linear import Zero
from duhamel.core.problem import LangevinProblem, Problem, SeparableProblem, Stochastic
from duhamel.methods.base import Method, RowMethod, time_dtype
from duhamel.methods.fits import kind

from .adjoint import Adjoint, Forward, Tape
from .control import CFL, PID, Control, Fixed
from .direct import Direct
from .solution import Solution
from .task import Resume


def concrete(value: Any) -> bool:
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value))


def numbers(value: Any) -> Any:
    """A number, list or array as an array: NumPy's where it is known, so that no digit is lost."""
    return np.asarray(value) if concrete(value) else jnp.asarray(value)


def beginning(x0: Any, t0: Any, problem: Any, judge: bool = True) -> tuple[Any, Any, Any, Resume | None]:
    """(state, time from which times are counted, time of the state, what to take up): a state at t0, or a solution.

    judge  refuse a state that is not finite; else its lanes fail with a Status
    """
    if not isinstance(x0, Solution):
        return state(x0, problem, judge), t0, t0, None
    resume = x0.resume
    if resume is None:
        raise ValueError("x0 is a Solution that cannot be continued: it does not say how its solve ended.")
    ends = jnp.asarray(x0.t1)
    if ends.ndim and concrete(ends) and not np.all(ends == ends[0]):
        ends = jnp.max(ends) if np.all(resume.s >= 0) else jnp.min(ends)
    return state(x0.x1, problem, judge), resume.t0, ends if ends.ndim == 0 else ends[0], resume


def state(x0: PyTree, problem: Any = None, judge: bool = True) -> PyTree:
    """x0 as arrays of floating or complex numbers, all finite. A list of numbers is one array, as in SciPy."""
    x0 = _one_array(x0, problem)
    leaves = jax.tree.leaves(x0)
    if not leaves:
        raise ValueError("x0 holds no arrays; pass the initial state as an array or a pytree of arrays.")
    for leaf in leaves:
        if not eqx.is_array_like(leaf):
            raise TypeError(f"x0 holds a {type(leaf).__name__}; every leaf of the state must be an array or a number.")
    x0 = jax.tree.map(_array_of_state, x0)
    inexact = [leaf.dtype for leaf in jax.tree.leaves(x0) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    whole = jnp.result_type(*inexact) if inexact else jnp.result_type(float)

    def moving(leaf: Any) -> Any:
        if leaf.dtype == bool:
            raise TypeError("x0 has dtype bool; a state that moves needs floating numbers, such as x0.astype(float).")
        return leaf if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf.astype(whole)

    x0 = jax.tree.map(moving, x0)
    for leaf in jax.tree.leaves(x0) if judge else ():
        if concrete(leaf) and not np.all(np.isfinite(leaf)):
            bad = int(np.sum(~np.isfinite(leaf)))
            raise ValueError(f"x0 holds {bad} value(s) that are NaN or infinite; the initial state must be finite.")
    return x0


def _array_of_state(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "biufc" and not jnp.issubdtype(leaf.dtype, jnp.floating):
        raise TypeError(f"x0 holds an array of dtype {leaf.dtype}; every leaf of the state must be numbers.")
    return jnp.asarray(leaf)


def _one_array(x0: Any, problem: Any) -> Any:
    """Lists of numbers, nested or not, as an array; but a pair (q, p) may be written as a list."""
    if not isinstance(x0, list) or isinstance(problem, SeparableProblem | LangevinProblem):
        return x0
    leaves = jax.tree.leaves(x0)
    numbers = bool(leaves) and all(isinstance(leaf, bool | int | float | complex | np.generic) for leaf in leaves)
    lists = jax.tree.structure(x0).num_leaves and not _holds_other_than_lists(x0)
    if not (numbers and lists):
        return x0
    try:
        return np.array(x0)
    except ValueError:
        raise ValueError("x0 is a list of lists of different lengths, which make no array; use a tuple.") from None


def _holds_other_than_lists(tree: Any) -> bool:
    return isinstance(tree, list) and any(
        _holds_other_than_lists(part) if isinstance(part, list) else isinstance(part, tuple | dict) for part in tree
    )


def arguments(args: PyTree, dtype: Any) -> PyTree:
    """Arrays and numbers with a point become arrays, Python's in the state's precision. A bool or an int, which may
    choose a branch or a length, stays what it is, and so does a function, a string or a network; objects that JAX does
    not look into are opened."""

    def convert(leaf: Any, around: tuple = ()) -> Any:
        if isinstance(leaf, float | complex) and not isinstance(leaf, np.generic):
            return jnp.asarray(leaf, jnp.result_type(dtype, jnp.complex64) if isinstance(leaf, complex) else dtype)
        if isinstance(leaf, np.ndarray | np.generic):
            return _array(leaf)
        if isinstance(leaf, jax.Array):
            return leaf
        parts = held(leaf)
        if parts is not None and not any(leaf is outer for outer in around):
            inside = lambda part: convert(part, (*around, leaf))  # noqa: E731
            return Opened({name: jax.tree.map(inside, part) for name, part in parts.items()}, type(leaf))
        try:
            hash(leaf)
        except TypeError:
            raise TypeError(
                f"args hold a {type(leaf).__name__}, which cannot be part of a compiled program: pass what it holds, "
                "as arrays, numbers or strings in a dict or tuple."
            ) from None
        return leaf

    try:
        return jax.tree.map(convert, args)
    except ValueError as error:
        if "sorting pytree dictionary keys" not in str(error):
            raise
        raise ValueError("args hold a dict whose keys cannot be ordered: let all keys be strings.") from None


def _array(leaf: Any) -> Any:
    if leaf.dtype.kind not in "biufc" and not jnp.issubdtype(leaf.dtype, jnp.floating):
        raise TypeError(
            f"args hold an array of dtype {leaf.dtype}, which is no number: pass numbers, or Python strings one by one."
        )
    return jnp.asarray(leaf)


def control(control: Control, method: Method, x: PyTree) -> Control:
    """The control with its tolerances as arrays, so that other tolerances do not compile again. x: one lane's state, or
    its shapes."""
    dtype = time_dtype(x)
    if isinstance(control, Fixed):
        return control if control.grid is None else Fixed(grid=numbers(control.grid), stops=control.stops)
    if isinstance(control, CFL):
        return _cfl(control, method, dtype)
    if not isinstance(control, PID):
        name = type(control).__name__
        raise TypeError(f"control must be PID(rtol, atol), Fixed(steps) or CFL(number, rate), got {name}.")
    if method.error_order is None:
        raise ValueError(
            "this method has no error estimate, so it cannot choose its steps: use control=Fixed(steps), or a method "
            "with an embedded estimate such as Tsit5()."
        )
    arrays = [np.asarray(v, dtype) if concrete(v) else jnp.asarray(v, dtype) for v in (control.rtol, control.atol)]
    gains = {name: _gain(name, getattr(control, name), dtype) for name in GAINS}
    stops = None if control.stops is None or numbers(control.stops).size == 0 else control.stops
    given = vars(control) | gains | {"rtol": arrays[0], "atol": arrays[1], "stops": stops}
    tolerances = _bounds(type(control)(**given), dtype)
    if not concrete((control.rtol, control.atol)):
        return tolerances
    if np.ndim(control.rtol) != 0:
        raise ValueError(f"rtol is one number, got shape {np.shape(control.rtol)}; give atol one number a component.")
    _component_atol(control.atol, x)
    rtol, atol, eps = float(control.rtol), float(np.min(control.atol)), float(jnp.finfo(dtype).eps)
    if not (rtol >= 0 and atol >= 0 and rtol + atol > 0 and np.isfinite(rtol + atol)):
        raise ValueError(
            f"rtol and atol must be finite, not negative and not both zero, got rtol={rtol:g}, atol={atol:g}."
        )
    if 0 < rtol < eps or (rtol == 0 and atol < eps * 1e-3):
        raise ValueError(
            f"rtol = {rtol:g} is below the resolution of {np.dtype(dtype).name} ({eps:.1e}): no step could satisfy it. "
            "Raise rtol, or make x0 float64 (jax.config.update('jax_enable_x64', True))."
        )
    return tolerances


def _bounds(control: PID, dtype: Any) -> PID:
    """The control with its bounds on steps as arrays."""
    for name, value in (("max_step", control.max_step), ("min_step", control.min_step)):
        if value is None:
            continue
        if np.ndim(value) > 1:
            raise ValueError(f"PID({name}) is one number, or one a lane of an ensemble, got shape {np.shape(value)}.")
        if concrete(value) and not np.all(np.asarray(value) > 0):
            raise ValueError(f"PID({name}) bounds the length of steps and must be positive, got {value!r}.")
    bounds = (control.min_step, control.max_step)
    if None not in bounds and concrete(bounds) and np.any(np.asarray(bounds[0]) > np.asarray(bounds[1])):
        raise ValueError(f"PID(min_step) must not exceed max_step, got {bounds[0]!r} and {bounds[1]!r}.")
    for name in ("min_step", "max_step"):
        value = getattr(control, name)
        if value is not None:
            control = eqx.tree_at(lambda c, n=name: getattr(c, n), control, jnp.asarray(value, dtype))
    return control


GAINS = ("p", "i", "d", "safety", "shrink", "grow")


def _gain(name: str, value: Any, dtype: Any) -> Any:
    """A number of the controller: Python's where its value is known, which compiles it in."""
    if np.ndim(value) != 0:
        raise ValueError(f"PID({name}) is one number, got shape {np.shape(value)}.")
    return float(value) if concrete(value) else jnp.asarray(value, dtype)


def _cfl(control: CFL, method: Method, dtype: Any) -> CFL:
    if method.equal_steps:
        raise ValueError(
            f"{type(method).__name__} holds for equal steps only, and CFL chooses each from the state: use "
            "control=Fixed(steps), or a one-step method such as SSPRK3()."
        )
    if not callable(control.rate):
        raise TypeError(f"CFL(number, rate) needs a function rate(t, x, args), got {type(control.rate).__name__}.")
    number = jnp.asarray(control.number, dtype)
    if number.ndim or (concrete(number) and not (np.isfinite(number) and number > 0)):
        raise ValueError(f"CFL(number, rate) needs one positive finite number, got {control.number!r}; 0.4 is safe.")
    return CFL(
        number, with_args(control.rate, "rate"), control.admissible and with_args(control.admissible, "admissible")
    )


def _component_atol(atol: Any, x: PyTree) -> None:
    if np.ndim(atol) == 0:
        return
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(x)]
    if len(shapes) != 1 or shapes[0] != np.shape(atol):
        raise ValueError(
            f"atol has shape {np.shape(atol)} and the state {shapes[0] if len(shapes) == 1 else shapes}: give one "
            "number, or an array like a state that is one array."
        )


def _equal_steps(method: Method, control: Any) -> None:
    """Multistep formulas hold for one step length; another would be a silent wrong answer."""
    if not (method.equal_steps and isinstance(control, Fixed) and control.grid is not None):
        return
    steps = np.diff(np.asarray(control.grid, np.float64)) if concrete(control.grid) else None
    if steps is None or not np.allclose(steps, steps[0], rtol=1e-6, atol=0):
        raise ValueError(
            f"{type(method).__name__} holds for equal steps only: use control=Fixed({np.shape(control.grid)[0] - 1}), "
            "or a one-step method on this grid."
        )


def max_steps(value: Any) -> int:
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"max_steps must be a whole number of at least 1, got {value!r}.")
    return int(value)


def fits(problem: Problem, method: Any, control: Any, adjoint: Any, save: Any, events: Any) -> None:
    """The method solves such problems, and the adjoint differentiates such solves."""
    if not isinstance(method, Method):
        raise TypeError(
            f"method must be a duhamel method such as Tsit5(), got {method!r}"
            + (" (a class: call it)." if isinstance(method, type) or callable(method) else ".")
        )
    if not isinstance(adjoint, Adjoint):
        raise TypeError(f"adjoint must be Tape(), Forward() or another Adjoint, got {type(adjoint).__name__}.")
    method.fields(problem)
    _equal_steps(method, control)
    if save.dense and not isinstance(adjoint, Tape | Forward):
        raise ValueError(
            f"{type(adjoint).__name__}() does not differentiate dense output: give save times, or use adjoint=Tape()."
        )
    if isinstance(control, CFL) and not isinstance(adjoint, Tape | Forward | Direct):
        raise ValueError(
            f"{type(adjoint).__name__}() chooses steps of its own on the way back, and CFL reads them off the state: "
            "use adjoint=Tape() or Direct()."
        )
    if events is not None and isinstance(problem, Stochastic | LangevinProblem):
        raise ValueError(
            f"{kind(problem)} has no events here: between two steps a path crosses a level again and again, and what "
            "steps see of it is late by O(sqrt(h)). Solve with many save times, look for the first one beyond the "
            "level, and refine them."
        )
    adjoint.check(problem, method, control, save, events)
    if events is not None and isinstance(method, RowMethod) and method.tabulated and isinstance(control, Fixed):
        raise ValueError(
            "an event cuts a step short, and the coefficients of this method are tabulated for whole steps "
            "of the fixed grid: use control=PID(...)."
        )


def noise(
    problem: Problem,
    method: Method,
    control: Any,
    key: Any,
    noise: Any,
    span: Any,
    events: Any,
    resume: Resume | None = None,
) -> Any:
    """How the Brownian path is drawn, or None for equations without noise."""
    if not isinstance(problem, Stochastic | LangevinProblem):
        if key is not None or noise is not None:
            raise ValueError(f"key and noise are for equations with noise, and this is {kind(problem)}.")
        return None
    if resume is not None:
        raise ValueError(
            "x0 is the Solution of a stochastic equation, whose Brownian path was drawn for its own time span: solve "
            "to the last time at once, with the times in between as save times."
        )
    if key is None:
        raise ValueError(f"{kind(problem)} needs a key for its Brownian path: solve(..., key=jax.random.key(0)).")
    if not (hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise TypeError("key must be a typed key such as jax.random.key(0).")
    if concrete(span) and span < 0:
        raise ValueError("an equation with noise is solved forwards in time: t1 must be greater than t0.")
    if noise is None:
        noise = Counter() if isinstance(control, Fixed) and events is None else VirtualTree()
    if isinstance(noise, Counter) and (not isinstance(control, Fixed) or events is not None):
        raise ValueError(
            "Counter() draws by the number of the step, which adaptive steps and events change: use VirtualTree()."
        )
    return noise


def field(problem: Problem, t: Any, x: PyTree, args: PyTree) -> None:
    """The vector field returns what the state is: the same structure, shapes and dtypes. Arguments are one lane's."""
    L = problem.linear()
    if not isinstance(L, Zero):
        _same(jax.eval_shape(L.apply, t, x), x, "L x")
    field = lambda *given: jax.tree.map(jnp.asarray, problem.field(*given))  # noqa: E731
    got = eqx.filter_eval_shape(field, t, x, args)
    _same(got, x, "the vector field")


def _same(got: PyTree, x: PyTree, name: str) -> None:
    if jax.tree.structure(got) != jax.tree.structure(x):
        raise ValueError(f"{name} returned {_words(got)} where the state is {_words(x)}; return the same structure.")
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(x), strict=True):
        if a.shape != b.shape:
            raise ValueError(
                f"{name} returned shape {a.shape} where the state has {b.shape}; return one rate per component."
            )
        if a.dtype != b.dtype:
            raise TypeError(
                f"{name} returned {a.dtype} where the state is {b.dtype}; cast its constants and weights, or cast x0 "
                f"(real states cannot have complex rates)."
            )


def _words(tree: PyTree) -> str:
    """What a pytree is, for a sentence."""
    if hasattr(tree, "shape"):
        return f"an array of shape {tree.shape}" if tree.shape else "one number"
    if isinstance(tree, dict):
        return f"a dict with the keys {', '.join(map(str, tree))}"
    if isinstance(tree, tuple | list):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"a {type(tree).__name__}"
