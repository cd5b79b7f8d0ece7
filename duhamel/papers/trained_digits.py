"""The shipped network of handwritten digits as a bench for sampler cards: float32 inside, a float64 state outside."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from duhamel.rows.plan import Plan

BATCH = 64
RHO = (20.0, 0.02)  # noise levels from which and to which plans go, within those of training


class TrainedDigits:
    """Plans for prediction "data" on a VP schedule, 64 samples at a time, of all ten classes in turn."""

    def __init__(self) -> None:
        import equinox as eqx
        import jax.numpy as jnp

        from duhamel.diffusion import digits
        from duhamel.diffusion.schedule import VP

        self.schedule, self.labels = VP(), np.arange(BATCH, dtype=np.int32) % digits.CLASSES
        self.t_max, self.t_min = (float(self.schedule.t_of_rho(rho)) for rho in RHO)
        call = eqx.filter_jit(digits.conditioned(digits.load(), self.labels, self.schedule))
        single = jnp.float32
        self.model = lambda t, x: np.asarray(call(jnp.asarray(t, single), jnp.asarray(x, single)), np.float64)

    def noises(self, batches: int, seed: int = 0) -> np.ndarray:
        """(batches, 64, 8, 8)"""
        normal = np.random.default_rng(seed).standard_normal((batches, BATCH, 8, 8))
        return self.schedule.sigma(self.t_max) * normal

    def build(self, name: str, steps: int, options: Mapping[str, Any] | None = None) -> "Plan":
        """On equal steps in log-SNR."""
        from duhamel.diffusion.plans.registry import build

        ends: dict[str, Any] = {"grid": "lam", "t_max": self.t_max, "t_min": self.t_min, "terminal": False}
        return build(name, self.schedule, steps, **ends, **(options or {}))

    def states(self, plan: "Plan", x: np.ndarray) -> np.ndarray:
        """At every time of the plan, from one batch."""
        from duhamel.rows.host import march

        return np.stack([slots["x"] for slots in march(plan, self.model, {"x": x})])

    def ends(self, plan: "Plan", batches: np.ndarray) -> np.ndarray:
        return np.concatenate([self.states(plan, x)[-1] for x in batches])

    def exact(self, ts: np.ndarray, x: np.ndarray, parts: int = 8) -> np.ndarray:
        """The states at the times ts by UniPC-2 with `parts` steps in each of theirs."""
        from duhamel.diffusion.plans.grid import refined
        from duhamel.diffusion.plans.registry import build

        fine = build("unipc", self.schedule, ts=refined(self.schedule, ts, parts), order=2)
        return self.states(fine, x)[::parts]


def rms(x: np.ndarray, y: np.ndarray) -> float:
    """Root mean square distance of images."""
    return float(np.sqrt(np.mean(np.sum((x - y) ** 2, axis=(1, 2)))))
