"""How far two sets of samples are apart: what a search makes small when there is no teacher."""

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist, pdist


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'|, unbiased: 0 in the mean for equal laws. Samples along axis 0."""
    a, b = np.reshape(a, (len(a), -1)), np.reshape(b, (len(b), -1))
    return float(2 * np.mean(cdist(a, b)) - np.mean(pdist(a)) - np.mean(pdist(b)))


def energy_to(b: np.ndarray) -> Callable[[np.ndarray], float]:
    """`energy_distance` to one set, whose own part is computed once."""
    b = np.reshape(b, (len(b), -1))
    own = float(np.mean(pdist(b)))

    def distance(a: np.ndarray) -> float:
        a = np.reshape(a, (len(a), -1))
        return float(2 * np.mean(cdist(a, b)) - np.mean(pdist(a))) - own

    return distance


def sliced_w2(a: np.ndarray, b: np.ndarray, *, directions: int = 128, seed: int = 0) -> float:
    """Root mean square over random directions of the Wasserstein-2 distance between the projections.

    As many samples in a as in b: sorted projections are then matched in order.
    """
    a, b = np.reshape(a, (len(a), -1)), np.reshape(b, (len(b), -1))
    if a.shape != b.shape:
        raise ValueError(
            f"sliced_w2 matches samples one by one; give two sets of equal shape, got {a.shape}, {b.shape}."
        )
    u = np.random.default_rng(seed).standard_normal((a.shape[1], directions))
    u /= np.linalg.norm(u, axis=0)
    return float(np.sqrt(np.mean((np.sort(a @ u, axis=0) - np.sort(b @ u, axis=0)) ** 2)))
