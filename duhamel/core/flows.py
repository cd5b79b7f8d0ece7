"""Equations given by the exact flows of their parts."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .calling import with_args
from .problem import Problem, close


class FlowsProblem(Problem):
    """dx/dt = f_1(t, x) + f_2(t, x) + ..., each part given by its flow. Written `Flows(flow_1, flow_2, ...)`."""

    flows: tuple[Callable, ...]

    def field(self, t: Any, x: Any, args: Any) -> Any:
        """sum_k d/dh flow_k(t, h, x) at h = 0."""
        h = jnp.zeros_like(t)
        rates = [jax.jvp(lambda h, flow=flow: flow(t, h, x, args), (h,), (jnp.ones_like(h),))[1] for flow in self.flows]
        return jax.tree.map(lambda *parts: sum(parts), *rates)

    def closed(self, t: Any, x: Any, args: Any) -> "FlowsProblem":
        for k, flow in enumerate(self.flows, start=1):
            _same(eqx.filter_eval_shape(flow, t, t, x, args), x, f"flow {k}")
        return FlowsProblem(tuple(close(flow, t, t, x, args) for flow in self.flows))


def Flows(*flows: Callable) -> FlowsProblem:
    """An equation in parts whose flows are known: flow(t, h, x, args), or flow(t, h, x), is x(t + h) of one part alone.

        # i psi_t = -psi_xx / 2 - |psi|^2 psi: dispersion exactly in Fourier space, the phase exactly in space
        Flows(lambda t, h, u: ifft(exp(-0.5j * h * k**2) * fft(u)), lambda t, h, u: u * exp(1j * h * abs(u)**2))

    For `Lie()` and `Strang()`, which make a method of the flows. They must be differentiable in h at h = 0.
    """
    if len(flows) < 2:
        raise ValueError(
            f"Flows needs the flows of at least two parts, got {len(flows)}; one exact flow needs no solver."
        )
    return FlowsProblem(
        tuple(with_args(flow, f"flow {k}", "rates", "t, h, x") for k, flow in enumerate(flows, start=1))
    )


def _same(got: Any, x: Any, name: str) -> None:
    if jax.tree.structure(got) != jax.tree.structure(x):
        raise ValueError(f"{name} returned a {jax.tree.structure(got)} where the state is a {jax.tree.structure(x)}.")
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(x), strict=True):
        if a.shape != jnp.shape(b):
            raise ValueError(
                f"{name} returned shape {a.shape} where the state has {jnp.shape(b)}; return the new state."
            )
        if a.dtype != b.dtype:
            raise TypeError(f"{name} returned {a.dtype} where the state is {b.dtype}; cast its constants, or cast x0.")
