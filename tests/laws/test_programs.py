"""A field written anew for every solve compiles anew; of what it leaves behind only so much is kept."""

import gc
import importlib

import jax
import jax.numpy as jnp

import duhamel as dh
from duhamel.solver import programs

solving = importlib.import_module("duhamel.solver.solve")


def test_compiled_programs_are_bounded_and_old_ones_are_let_go(monkeypatch):
    monkeypatch.setattr(programs, "MOST", 1)
    how = {"method": dh.Euler(), "control": dh.Fixed(2), "adjoint": dh.Forward()}
    client, sizes, alive = jax.devices()[0].client, [], []
    for _ in range(4):
        assert dh.solve(lambda t, x: -x, jnp.ones(2), 1.0, **how).x[0] == 0.25
        sizes.append(solving._solve._cached._cache_size())
        gc.collect()
        alive.append(len(client.live_executables()))
    assert sizes == [1, 0, 1, 0]
    assert alive[3] == alive[1] == alive[2] - 1
