"""Evolution with a cheap predictor: the one loop of searches over recipes (AutoDiffusion, S3).

    repeat   propose many variations of the best genomes, rank them by a predictor, measure the most promising

The predictor is kernel ridge regression on features of a genome, fitted to everything measured so far; without features
every proposal is measured.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .found import Progress, silent


@dataclass(frozen=True)
class Evolved:
    """The best genome and its score, the scores of the first population, the best so far after every generation, and
    how many genomes were measured."""

    best: Any
    score: float
    first: tuple[float, ...]
    history: tuple[float, ...]
    measured: int


def evolve(
    fitness: Callable[[Any], float],
    population: Sequence[Hashable],
    vary: Callable[[np.random.Generator, Any, Any], Any],
    *,
    generations: int = 20,
    parents: int = 10,
    children: int = 20,
    features: Callable[[Any], Sequence[float]] | None = None,
    proposals: int = 8,
    seed: int = 0,
    progress: Progress = silent,
) -> Evolved:
    """The genome of the smallest fitness found; never above the best of `population`.

    fitness    of a genome; not finite: the genome is impossible. Measured once for equal genomes
    vary       vary(rng, a, b): a genome made from two parents
    parents    of how many of the best all others descend
    children   measured in every generation, of `proposals` times as many where there are features
    """
    if not population:
        raise ValueError("population is empty; a search needs at least one genome to begin with.")
    rng, known = np.random.default_rng(seed), {}
    for genome in dict.fromkeys(population):
        known[genome] = _finite(fitness(genome))
    first, history = tuple(known.values()), [min(known.values())]
    for generation in range(generations):
        progress(f"generation {generation + 1} of {generations}: {history[-1]:.4g}", generation / generations)
        best = sorted(known, key=known.__getitem__)[:parents]
        wanted = children * (proposals if features else 1)
        new: dict[Any, None] = {}
        for _ in range(4 * wanted):  # small spaces run out of new genomes
            a, b = (best[int(len(best) * rng.random() ** 2)] for _ in range(2))
            child = vary(rng, a, b)
            if child not in known:
                new[child] = None
            if len(new) == wanted:
                break
        chosen = list(new)
        if features and len(chosen) > children:
            rank = np.argsort(_predict(features, known, chosen), kind="stable")
            trusted = children - children // 2  # the rest as they come, or the predictor would only confirm itself
            chosen = [chosen[i] for i in (*rank[:trusted], *sorted(rank[trusted:])[: children // 2])]
        for genome in chosen:
            known[genome] = _finite(fitness(genome))
        history.append(min(known.values()))
    best = min(known, key=known.__getitem__)
    if not np.isfinite(known[best]):
        raise ValueError("no genome has a finite fitness; look at the first population.")
    return Evolved(best, known[best], first, tuple(history), len(known))


def _finite(score: float) -> float:
    return float(score) if np.isfinite(score) else np.inf


def _predict(features: Callable, known: dict[Any, float], genomes: Sequence[Any]) -> np.ndarray:
    """log fitness by kernel ridge regression: a Gaussian kernel as wide as the median distance."""
    measured = [g for g, score in known.items() if np.isfinite(score)]
    X = np.array([features(g) for g in measured], float)
    y = np.log(np.maximum([known[g] for g in measured], 1e-300))
    scale = np.std(X, axis=0)
    X, Z = (a / np.where(scale > 0, scale, 1.0) for a in (X, np.array([features(g) for g in genomes], float)))
    squares = lambda a, b: np.maximum(np.sum(a**2, 1)[:, None] + np.sum(b**2, 1) - 2 * a @ b.T, 0.0)  # noqa: E731
    within = squares(X, X)
    width = max(float(np.median(within)), 1e-12)
    K = np.exp(-within / width)
    weights = np.linalg.solve(K + 1e-2 * np.eye(len(X)), y - np.mean(y))
    return np.exp(-squares(Z, X) / width) @ weights
