"""Models whose time, or whose very evaluation, is chosen from the state: wrappers that every plan takes for a model.

`TimeShifted` asks the model at the time whose noise the state really has. `Skipping` asks it only where its values
cannot be foretold from earlier ones; it carries a memory (`rows.carried`).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .denoiser import Denoiser, along_batch, check_prediction, convert
from .schedule import Prediction, Schedule


class TimeShifted(eqx.Module):
    """Time-shift sampler (Li et al., arXiv 2305.15583): a noise model asked at another time than the plan's

        eps(t', x),    t' = argmin over |t' - t| <= window / 2 of |var(x) - (alpha(t')^2 v + sigma(t')^2)|

    for every sample, var(x) taken over its components: a state that carries more noise than it should (exposure bias)
    is treated as what it is. Returns the noise; `sample(plan, shifted, ..., prediction="noise")`.

    window         in units of the schedule's time; the paper takes 20 to 100 of 1000 steps. 0: no shift
    cutoff         below this time, and at t_max, no shift: the paper shifts above 200 to 400 of 1000
    data_variance  v of one sample's components; the paper leaves it out (0), which is right for large noise only
    candidates     how many times are compared
    """

    model: Denoiser
    schedule: Schedule = eqx.field(static=True)
    window: float
    cutoff: float = 0.0
    data_variance: float = 0.0
    candidates: int = eqx.field(static=True, default=33)

    def __check_init__(self) -> None:
        if not (self.window >= 0 and self.candidates >= 2):
            raise ValueError(
                f"window = {self.window} must not be negative, and candidates = {self.candidates} at least 2."
            )

    @property
    def prediction(self) -> Prediction:
        return "noise"

    def __call__(self, t: Any, x: Float[Array, "batch ..."], *args: Any) -> Float[Array, "batch ..."]:
        return self.model(self.shifted(t, x), x, *args)

    def shifted(self, t: Any, x: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
        """The times at which the model is asked."""
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])
        places = jnp.linspace(-0.5, 0.5, self.candidates, dtype=x.dtype)
        near = jnp.clip(t[:, None] + self.window * places, self.schedule.t_min, self.schedule.t_max)
        usual = self.schedule.alpha(near) ** 2 * self.data_variance + self.schedule.sigma(near) ** 2
        own = jnp.var(x.reshape(len(x), -1), axis=1)
        best = jnp.take_along_axis(near, jnp.argmin(jnp.abs(usual - own[:, None]), axis=1)[:, None], axis=1)[:, 0]
        return jnp.where((t > self.cutoff) & (t < self.schedule.t_max * (1 - 1e-6)), best, t)


class Memory(eqx.Module):
    """What `Skipping` knows of each sample, newest first; `asked` and `calls` are results.

    times, values   of the last three evaluations          count   how many there were
    state, at       of the last call                       slopes  dx/dt at the last three calls
    streak          calls skipped in a row                 asked   which calls were evaluated, for the first `record`
    calls           evaluations of the model on a batch, of whichever samples needed one: what was really paid
    """

    times: Float[Array, "3 batch"]
    values: Float[Array, "3 batch ..."]
    count: Int[Array, " batch"]
    state: Float[Array, "batch ..."]
    at: Float[Array, " batch"]
    slopes: Float[Array, "3 batch ..."]
    streak: Int[Array, " batch"]
    asked: Bool[Array, "record batch"]
    n: Int[Array, ""]
    calls: Int[Array, ""]


class Skipping(eqx.Module):
    """SADA's step-wise skipping (Jiang et al., arXiv 2507.17135), sample by sample, on the probability-flow ODE

        x^ = x_s + (t - s) (5 y_0 + 6 y_1 - 3 y_2)/8,    y = dx/dt at the last calls, t the present one
        <x - x^, y_0 - 2 y_1 + y_2> < 0:   the path is stable, and D is extrapolated from its last three evaluations

    The extrapolation is Lagrange's, in t as in the paper or in lambda. A batch is evaluated where one of its samples
    needs it (`Memory.calls`); a batch of one skips alone. Give it to a plan in the plan's own prediction:

        slots = plan.run(Skipping(D, schedule, target=plan.prediction), x, save="slots")

    denoiser  D(t, x)
    rule      "stability"; "uniform": after `first`, a share `keep` of the calls, evenly spread, for comparison
    most      calls skipped in a row at most. 1 in the paper's step-wise mode: then at most every second call
    first     calls that are always evaluated, at least 3;  last  time below which every call is
    """

    denoiser: Denoiser
    schedule: Schedule = eqx.field(static=True)
    target: Prediction = eqx.field(static=True, default="data")
    rule: str = eqx.field(static=True, default="stability")
    variable: str = eqx.field(static=True, default="lam")
    most: int = 1
    first: int = 3
    keep: float = 0.5
    last: float = 0.0
    record: int = eqx.field(static=True, default=128)

    def __check_init__(self) -> None:
        check_prediction(self.target, "target")
        if self.rule not in ("stability", "uniform") or self.variable not in ("lam", "t"):
            raise ValueError(
                f"rule = {self.rule!r}, variable = {self.variable!r}; Skipping knows the rules 'stability' and "
                "'uniform', and extrapolates in 't' or 'lam'."
            )
        if self.first < 3 or self.most < 1 or not 0 < self.keep <= 1:
            raise ValueError(
                f"first = {self.first} must be at least 3, most = {self.most} at least 1, keep = {self.keep} in (0, 1]."
            )

    @property
    def prediction(self) -> Prediction:
        return self.target

    def start(self, x: Float[Array, "batch ..."]) -> Memory:
        three = jnp.zeros((3, *x.shape), x.dtype)
        apart = self.schedule.t_max * jnp.linspace(
            1.0, 0.8, 3, dtype=x.dtype
        )  # any three times, until there are real ones
        times = jnp.broadcast_to(apart[:, None], (3, len(x)))
        none, zero = jnp.zeros(len(x), jnp.int32), jnp.zeros((), jnp.int32)
        asked = jnp.zeros((self.record, len(x)), bool)
        return Memory(times, three, none, x, times[0], three, none, asked, zero, zero)

    def __call__(
        self, memory: Memory, t: Any, x: Float[Array, "batch ..."]
    ) -> tuple[Float[Array, "batch ..."], Memory]:
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])
        ask = self._asks(memory, t, x)
        place = (lambda t: self.schedule.lam(t)) if self.variable == "lam" else (lambda t: t)
        foretold = extrapolated(place(memory.times), memory.values, place(t))
        D = jax.lax.cond(jnp.any(ask), lambda: self.denoiser(t, x), lambda: jnp.zeros_like(x))
        D = jnp.where(along_batch(ask, x), D, foretold)
        alpha, sigma = along_batch(self.schedule.alpha(t), x), along_batch(self.schedule.sigma(t), x)
        f, g2 = along_batch(self.schedule.f(t), x), along_batch(self.schedule.g2(t), x)
        slope = f * x + 0.5 * g2 * (x - alpha * D) / sigma**2

        def push(new: Array, old: Array) -> Array:
            return jnp.concatenate([new[None], old[:2]])

        known = jnp.where(along_batch(ask, x), push(D, memory.values), memory.values)
        after = Memory(
            jnp.where(ask, push(t, memory.times), memory.times),
            known,
            memory.count + ask,
            x,
            t,
            push(slope, memory.slopes),
            jnp.where(ask, 0, memory.streak + 1),
            memory.asked.at[memory.n].set(ask, mode="drop"),
            memory.n + 1,
            memory.calls + jnp.any(ask),
        )
        return convert(D, x, alpha, sigma, "data", self.target), after

    def _asks(self, memory: Memory, t: Array, x: Array) -> Bool[Array, " batch"]:
        """Which samples need the model."""
        early = (memory.n < self.first) | (t < self.last)
        if self.rule == "uniform":
            since = memory.n - self.first
            return early | (jnp.floor((since + 1) * self.keep + 1e-4) > jnp.floor(since * self.keep + 1e-4))
        y = memory.slopes
        ahead = memory.state + along_batch(t - memory.at, x) * (5 * y[0] + 6 * y[1] - 3 * y[2]) / 8
        bend = y[0] - 2 * y[1] + y[2]
        stable = jnp.sum(((x - ahead) * bend).reshape(len(x), -1), axis=1) < 0
        return early | ~stable | (memory.streak >= self.most)


def extrapolated(
    nodes: Float[Array, "k batch"], values: Float[Array, "k batch ..."], at: Float[Array, " batch"]
) -> Float[Array, "batch ..."]:
    """The polynomial through (nodes, values), one for each sample, at `at`; 0 where two nodes are one."""
    total = jnp.zeros_like(values[0])
    for j in range(len(nodes)):
        weight = jnp.ones_like(at)
        for i in range(len(nodes)):
            if i != j:
                gap = nodes[j] - nodes[i]
                weight = weight * jnp.where(gap == 0, 0.0, (at - nodes[i]) / jnp.where(gap == 0, 1.0, gap))
        total = total + along_batch(weight, values[0]) * values[j]
    return total
