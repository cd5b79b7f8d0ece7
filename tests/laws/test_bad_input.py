"""Bad input to solve and ensemble: one clear sentence before anything is compiled."""

import jax.numpy as jnp
import numpy as np
import pytest

import duhamel as dh


def decay(t, x):
    return -x


CASES = {
    "NaN in x0": (lambda: dh.solve(decay, jnp.array([1.0, jnp.nan]), 1.0), r"x0 holds 1 value\(s\) that are NaN"),
    "booleans": (lambda: dh.solve(decay, jnp.array([True, False]), 1.0), r"x0 has dtype bool.*astype\(float\)"),
    "no arrays": (lambda: dh.solve(decay, (), 1.0), "x0 holds no arrays"),
    "a string": (lambda: dh.solve(decay, "one", 1.0), "x0 holds a str"),
    "unsorted times": (lambda: dh.solve(decay, 1.0, [0.5, 0.2, 1.0]), "increasing from t0"),
    "NaN time": (lambda: dh.solve(decay, 1.0, jnp.nan), "must be finite numbers"),
    "no times": (lambda: dh.solve(decay, 1.0, []), r"got shape \(0,\)"),
    "no end": (lambda: dh.solve(decay, 1.0, jnp.inf), r"nothing else ends the solve: give events=Event\(g\)"),
    "SciPy's order": (lambda: dh.solve(decay, (0.0, 1.0), [1.0, 0.0]), r"The order is solve\(f, x0, t1, t0=\.\.\.\)"),
    "2-D times": (lambda: dh.solve(decay, 1.0, np.ones((2, 2))), "1-D array of save times"),
    "another shape": (lambda: dh.solve(lambda t, x: x[:1], jnp.ones(2), 1.0), r"returned shape \(1,\).*has \(2,\)"),
    "another dtype": (
        lambda: dh.solve(lambda t, x: x * 1j, jnp.ones(2), 1.0),
        "returned complex128 where the state is float64",
    ),
    "another structure": (lambda: dh.solve(lambda t, x: (x, x), jnp.ones(2), 1.0), "return the same structure"),
    "tolerance below eps": (
        lambda: dh.solve(decay, jnp.float32(1.0), 1.0, control=dh.PID(1e-9, 1e-9)),
        "rtol = 1e-09 is below the resolution of float32",
    ),
    "negative tolerance": (lambda: dh.solve(decay, 1.0, 1.0, control=dh.PID(-1e-3)), "not negative"),
    "no estimate": (lambda: dh.solve(decay, 1.0, 1.0, method=dh.RK4()), r"use control=Fixed\(steps\)"),
    "steps = 0": (lambda: dh.Fixed(0), "whole number of at least 1, got 0"),
    "grid that turns": (
        lambda: dh.solve(decay, 1.0, 1.0, control=dh.Fixed(grid=[0.0, 0.5, 0.4, 1.0])),
        "strictly incr",
    ),
    "grid elsewhere": (lambda: dh.solve(decay, 1.0, 1.0, control=dh.Fixed(grid=[0.0, 0.5])), r"runs from 0 to 0\.5"),
    "max_steps": (lambda: dh.solve(decay, 1.0, 1.0, max_steps=0), "max_steps must be a whole number"),
    "not a function": (lambda: dh.solve(3.0, 1.0, 1.0), "problem must be a Problem or a vector field"),
    "one argument": (lambda: dh.solve(lambda x: x, 1.0, 1.0), r"write it as f\(t, x\)"),
    "a matrix for L": (lambda: dh.Semilinear(np.eye(2), decay), r"wrap a matrix in Dense\(matrix\)"),
    "complex L on a real state": (
        lambda: dh.solve(
            dh.Semilinear(dh.Diagonal(1j * np.ones(2)), decay),
            jnp.ones(2),
            1.0,
            method=dh.ETDRK4(),
            control=dh.Fixed(2),
        ),
        "L x returned complex128",
    ),
    "not dense": (lambda: dh.solve(decay, 1.0, 1.0)(0.5), r"save=Save\(dense=True\)"),
    "lanes differ": (lambda: dh.ensemble(decay, (jnp.ones((3, 1)), jnp.ones((2, 1))), 1.0), "same number of lanes"),
    "lanes of args": (
        lambda: dh.ensemble(lambda t, x, a: a * x, jnp.ones((3, 1)), 1.0, args=jnp.ones(2), in_axes=0),
        "has 3 lanes as its first axis",
    ),
    "in_axes": (
        lambda: dh.ensemble(lambda t, x, a: a * x, jnp.ones((3, 1)), 1.0, args=jnp.ones(3), in_axes=1),
        "in_axes holds 1",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(case):
    call, sentence = CASES[case]
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        call()
    assert str(caught.value).count("\n") == 0
