"""The running average of a model's weights."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp


class EMA(eqx.Module):
    """Exponential moving average of the weights

        a <- d a + (1 - d) w,    d = min(decay, (1 + n) / (10 + n)),    n = updates made before this one

    The ramp lets the average forget the random start. Good values: a half-life of a few per cent of the run,
    decay = 0.5^(1 / (0.03 steps)); 0.999 for 20 000 steps.
    """

    decay: float = eqx.field(static=True)

    def __check_init__(self):
        if not 0 <= self.decay < 1:
            raise ValueError(f"EMA: decay must lie in [0, 1), got {self.decay}; 0.999 is a good value.")

    def update(self, average: Any, model: Any, n: Any) -> Any:
        """The average after one more model; both are pytrees, and only their floating-point arrays are averaged."""
        d = jnp.minimum(self.decay, (1.0 + n) / (10.0 + n))

        def mix(a: Any, w: Any) -> Any:
            return (a + (1 - d).astype(a.dtype) * (w - a)) if eqx.is_inexact_array(w) else w

        return jax.tree.map(mix, average, model)
