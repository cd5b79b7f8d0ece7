"""Functions as their users write them, made into functions of (t, x, args).

    f(t, x)             args are not passed
    f(t, x, args)       args as they were given
    f(t, x, a, b)       args = (a, b), as SciPy has it
    f(t, x, k=1.0)      k keeps its default: so does i in a loop's `lambda t, x, i=i: ...`. Only a parameter whose
                        default is None, or whose name is args, is a place for args

What f returns may be a list or a tuple of numbers where the state is one array. What goes wrong inside because the
inputs of a compiled function have no values yet is said in one sentence, with the line of f where it happened.
"""

import dataclasses
import inspect
import linecache
import os
from collections.abc import Callable
from types import SimpleNamespace, TracebackType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .switches import theirs

NOT_THEIRS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", "<@", os.path.dirname(__file__))
VALUELESS = (
    jax.errors.ConcretizationTypeError,  # also of bool
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


class Called(eqx.Module):
    """f(t, x, args), whatever it takes.

    gives  "rates" or a "state", like x; "columns": x and perhaps one more axis; "": anything
    """

    f: Callable
    name: str = eqx.field(static=True)
    how: str = eqx.field(static=True)
    gives: str = eqx.field(static=True)
    lead: int = eqx.field(static=True, default=2)  # arguments before args, the last of them the state

    def __call__(self, *inputs: Any) -> Any:
        given = inputs[: self.lead]
        x, args = given[-1], restored(inputs[self.lead]) if len(inputs) > self.lead else None
        try:
            with theirs():
                got = self.f(*given, *self._rest(args))
        except VALUELESS as error:
            raise TypeError(_valueless(self.name, self.f, error)) from None
        except TypeError as error:
            sentence = _containers(self.name, error, x, args)
            if sentence is None:
                raise
            raise TypeError(sentence) from None
        return arrays_like(got, x, self.name, self.gives == "columns") if self.gives else got

    def _rest(self, args: Any) -> tuple:
        """What f gets after t and x."""
        if self.how == "spread":
            return _spread(self.name, self.f, args, self.lead)
        if self.how == "rest":
            return () if args is None else tuple(args) if isinstance(args, tuple | list) else (args,)
        if self.how == "default" and self.gives in ("rates", "columns") and args is not None:
            last = list(inspect.signature(self.f).parameters)[self.lead]
            raise TypeError(
                f"args were given, but {self.name} has no place for them: its parameter {last} has a default, which it "
                f"keeps. Write it as {self.name}(t, x, {last}), or solve without args."
            )
        return (args,) if self.how == "args" else ()


def with_args(f: Callable, name: str, gives: str = "", first: str = "t, x") -> Called:
    """f as a function of (t, x, args), or of (*first, args)."""
    return f if isinstance(f, Called) else Called(f, name, _how(f, name, first), gives, first.count(",") + 1)


def _how(f: Callable, name: str, first: str) -> str:
    call, lead = name.replace(" ", "_"), first.count(",") + 1
    if not callable(f):
        raise TypeError(f"{name} must be a function of ({first}) or ({first}, args), got {type(f).__name__}.")
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # builtins carry no signature
        return "args"
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return "rest" if len(positional) == lead else "args"
    if len(required) > lead:
        return "spread" if len(required) > lead + 1 else "args"
    if len(positional) < lead or any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        wants = [p.name for p in parameters if p.default is p.empty]
        raise TypeError(
            f"{name} takes {len(wants)} arguments ({', '.join(wants)}); write it as {call}({first}) or "
            f"{call}({first}, args)."
        )
    if len(positional) == lead:
        return "none"
    place = positional[lead]
    return "args" if place.default is None or place.name == "args" else "default"


def _spread(name: str, f: Callable, args: Any, lead: int) -> tuple:
    names = [p.name for p in inspect.signature(f).parameters.values() if p.default is p.empty][lead:]
    if not isinstance(args, tuple | list) or len(args) != len(names):
        got = "none" if args is None else f"{len(args)}" if isinstance(args, tuple | list) else type(args).__name__
        raise TypeError(
            f"{name} takes {', '.join(names)} after t and x: args must be a tuple of {len(names)}, got {got}; "
            f"or write it as {name}(t, x, args)."
        )
    return tuple(args)


def arrays_like(got: Any, x: Any, name: str, columns: bool = False) -> Any:
    """Numbers become arrays; lists and tuples become one array where the state is one, or the state's own structure."""
    if got is None and x is not None:
        raise TypeError(f"{name} returned None: a return is missing.")
    if isinstance(got, str | bytes | set) or callable(got):
        raise TypeError(f"{name} returned a {type(got).__name__}; return arrays or numbers.")
    if isinstance(x, tuple | list) and isinstance(got, tuple | list) and len(x) == len(got):
        parts = [arrays_like(g, leaf, name, columns) for g, leaf in zip(got, x, strict=True)]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict) and isinstance(got, dict) and set(x) == set(got):
        return {key: arrays_like(got[key], x[key], name, columns) for key in x}
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return got
    if isinstance(got, bool | int | float) or (isinstance(got, complex) and jnp.iscomplexobj(x)):
        return jnp.asarray(got, dtype)
    if columns and any(jnp.ndim(leaf) for leaf in jax.tree.leaves(got)) and isinstance(got, list | tuple):
        return got  # rows or columns of a matrix? only lists of numbers say
    if isinstance(got, list | tuple) and len(got):
        array = _stacked([_part(part, x, name) for part in got], name)
        return array if columns or array.shape == getattr(x, "shape", None) else got
    return got


def _part(part: Any, x: Any, name: str) -> Any:
    if isinstance(part, list | tuple) and len(part):
        return _stacked([_part(inner, x, name) for inner in part], name)
    return arrays_like(part, x, name)


def _stacked(parts: list, name: str) -> Any:
    shapes = {jnp.shape(part) for part in parts}
    if any(not hasattr(part, "dtype") for part in parts):
        raise TypeError(f"{name} returned a list that holds a {type(parts[0]).__name__}; return one array of rates.")
    if len(shapes - {()}) > 1:
        raise ValueError(f"{name} returned a list of arrays of shapes {sorted(shapes)}, which make no array.")
    shape = max(shapes, key=len)
    return jnp.stack([jnp.broadcast_to(part, shape) for part in parts])


class Opened(eqx.Module):
    """An object that JAX does not look into, as what it holds: a dataclass, a namespace, an instance of a class."""

    values: dict
    kind: type = eqx.field(static=True)

    def closed(self) -> Any:
        made: Any = self.kind.__new__(self.kind)  # pyright: ignore[reportCallIssue]
        for name, value in self.values.items():
            object.__setattr__(made, name, restored(value))
        return made


def held(thing: Any) -> dict | None:
    """What an object holds by name, if it is one that only holds things; None for numbers, texts, functions, ..."""
    if isinstance(thing, SimpleNamespace):
        return dict(vars(thing))
    if isinstance(thing, type) or type(thing).__module__ == "builtins" or type(thing).__new__ is not object.__new__:
        return None
    if dataclasses.is_dataclass(thing):
        fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
        return fields | getattr(thing, "__dict__", {})
    opaque = callable(thing) or any(hasattr(thing, name) for name in ("__array__", "dtype", "__slots__"))
    return None if opaque or not getattr(thing, "__dict__", None) else dict(vars(thing))


def restored(args: Any) -> Any:
    """args as the user gave them: objects in place of what was taken out of them."""
    opened = lambda leaf: isinstance(leaf, Opened)  # noqa: E731
    if not any(opened(leaf) for leaf in jax.tree.leaves(args, is_leaf=opened)):
        return args
    return jax.tree.map(lambda leaf: leaf.closed() if opened(leaf) else leaf, args, is_leaf=opened)


def _valueless(name: str, f: Callable, error: Exception) -> str:
    where = _where(f, error.__traceback__)
    if isinstance(error, jax.errors.TracerBoolConversionError):
        return (
            f"{name}{where} decides by a number that is not known while it is compiled (if, while, and, or, max, min): "
            "write jnp.where(condition, a, b), or jnp.maximum and jnp.minimum; a bool in args may be asked by if."
        )
    if isinstance(error, jax.errors.NonConcreteBooleanIndexError):
        return (
            f"{name}{where} picks entries by a mask, and how many is not known while it is compiled: "
            "write jnp.where(mask, a, b)."
        )
    if isinstance(error, jax.errors.TracerIntegerConversionError):
        return (
            f"{name}{where} uses a number that is not known while it is compiled as an index or a range: make it a "
            "Python int in args, which stays one, or write jax.lax.fori_loop or jnp.take."
        )
    if isinstance(error, jax.errors.TracerArrayConversionError):
        return (
            f"{name}{where} hands its arguments to NumPy or SciPy, which cannot be compiled: write jnp (jax.numpy) for "
            "np, and build arrays with jnp.stack or x.at[i].set(value)."
        )
    return (
        f"{name}{where} makes a Python number of an argument that is not known while it is compiled (math.exp, float, "
        "int, .item()): write jnp.exp and its like, from jax.numpy."
    )


def _containers(name: str, error: TypeError, x: Any, args: Any) -> str | None:
    """Where f took a tuple or list for an array, or wrote into one."""
    text = str(error)
    if "immutable" in text or "does not support item assignment" in text:
        where = _where(None, error.__traceback__)
        return (
            f"{name}{where} writes into an array, and JAX's arrays cannot be changed: write x = x.at[i].set(value), or "
            "build the result with jnp.stack."
        )
    for kind in ("tuple", "list", "dict"):
        if f"'{kind}'" not in text and f"<class '{kind}'>" not in text:
            continue
        if type(x).__name__ == kind:
            scipy = " (The order is solve(f, x0, t1, t0=...), not SciPy's f, (t0, t1), x0.)" if kind == "tuple" else ""
            return (
                f"{name}{_where(None, error.__traceback__)} takes the state for an array, and it is a {kind}, as x0 "
                f"is: make x0 one array, jnp.array(...), or take the {kind} apart in {name}.{scipy}"
            )
        if type(args).__name__ == kind:
            return (
                f"{name}{_where(None, error.__traceback__)} takes args for a number or array, and they are a {kind}: "
                f"one parameter is passed as args=k, several are taken apart in {name}, or are parameters of its own, "
                f"{name}(t, x, a, b)."
            )
    return None


def _where(f: Any, traceback: TracebackType | None) -> str:
    """The last line of the user's own, as " (file.py, line 3: ...)"; "" where it is not known."""
    found = ""
    while traceback is not None:
        code, line = traceback.tb_frame.f_code, traceback.tb_lineno
        if not any(part in code.co_filename for part in NOT_THEIRS):
            text = linecache.getline(code.co_filename, line).strip()
            found = f" ({os.path.basename(code.co_filename)}, line {line}{': ' if text else ''}{text[:80]})"
        traceback = traceback.tb_next
    return found
