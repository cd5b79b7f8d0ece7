"""Digits that were held out, degraded, and the exact posterior of a mixture of the other digits: for restoration."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

if TYPE_CHECKING:
    from duhamel.diffusion.schedule import Schedule
    from duhamel.rows.plan import Plan

WIDTH = 0.15  # of the mixture's components: about the distance of an image to its nearest neighbours, per pixel


@dataclass(frozen=True)
class Degraded:
    """x_0 ~ (1/K) sum_k N(m_k, width^2), and what was seen of it: y = x_0 + s n where the precision 1/s^2 is not 0.

    truth, y   clean and degraded images, (images, pixels); pixels that were not seen are 0, a mid grey
    means      the images the model knows
    precision  1/s^2 of every pixel, 0 where nothing was seen
    """

    truth: Float[np.ndarray, "images d"]
    y: Float[np.ndarray, "images d"]
    means: Float[np.ndarray, "k d"]
    precision: Float[np.ndarray, " d"]

    def denoise(self, alpha: float, sigma: float, x: Float[np.ndarray, "images d"]) -> Float[np.ndarray, "images d"]:
        """E[x_0 | x, y] for x = alpha x_0 + (1 - alpha) y + sigma eps.

        Given y, component k has the variances V = 1/(1/width^2 + 1/s^2) and the means V (m_k/width^2 + y/s^2).
        """
        variance = 1 / (1 / WIDTH**2 + self.precision)
        a, seen = variance / WIDTH**2, variance * self.precision * self.y
        total = alpha**2 * variance + sigma**2
        z = x - (1 - alpha) * self.y - alpha * seen
        by_y = self._log_weights(self.y, 1.0, 1 / (WIDTH**2 + 1 / np.maximum(self.precision, 1e-30)))
        w = softmax(by_y + self._log_weights(z, alpha * a, 1 / total), axis=1)
        gain = alpha * variance / total
        return seen + gain * z + a * (1 - gain * alpha) * (w @ self.means)

    def run(
        self, plan: "Plan", schedule: "Schedule", x: Float[np.ndarray, "images d"]
    ) -> Float[np.ndarray, "images d"]:
        """The end of a plan around y, with one stream of draws for every plan."""
        from duhamel.rows.host import march

        def D(t: Any, x: np.ndarray) -> np.ndarray:
            return self.denoise(float(schedule.alpha(t)), float(schedule.sigma(t)), x)

        rng = np.random.default_rng(1)
        *_, last = march(plan, [D], {"x": x}, consts={"mu": self.y}, draw=lambda n, d: rng.standard_normal(x.shape))
        return last["x"]

    def _log_weights(self, z: np.ndarray, a: Any, precision: np.ndarray) -> np.ndarray:
        """-1/2 sum_j precision_j (z_j - a_j m_kj)^2 up to what is the same for all k: (images, k)."""
        scaled = a * self.means
        return z @ (precision * scaled).T - 0.5 * (scaled**2) @ precision


def degraded(task: str, *, images: int, components: int | None = None) -> Degraded:
    """Held-out digits, pixels in [-1, 1], after one of two accidents.

    task        "denoise": noise of standard deviation 0.5 on every pixel. "inpaint": the lower half is missing, and the
                upper one carries noise of 0.02
    components  how many of the training images the model knows; None: all 1498
    """
    from duhamel.diffusion.digits import data

    (known, _), (held, _) = data()
    rng = np.random.default_rng(0)
    truth = held[:images].reshape(images, -1).astype(np.float64)
    seen = np.ones(truth.shape[1]) if task == "denoise" else (np.arange(truth.shape[1]) < truth.shape[1] // 2) * 1.0
    s = {"denoise": 0.5, "inpaint": 0.02}[task]
    y = seen * (truth + s * rng.standard_normal(truth.shape))
    means = known[:components].reshape(-1, truth.shape[1]).astype(np.float64)
    return Degraded(truth, y, means, seen / s**2)


def psnr(x: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal to noise ratio of images in [-1, 1], in dB: 10 log10(4 / mean square error)."""
    return float(10 * np.log10(4 / np.mean((np.clip(x, -1, 1) - truth) ** 2)))
