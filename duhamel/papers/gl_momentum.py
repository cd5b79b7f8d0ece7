"""Minimising the Ginzburg-Landau energy with momentum, on a torus and on the graph of handwritten digits.

    E(u) = int eps/2 |grad u|^2 + W(u)/eps,   W = (u^2 - 1)^2/4

Convex-concave splitting: (1 + tau (eps L + s/eps)) u+ = y + tau (s y - W'(y))/eps with L = -Laplace and s = 2 >= W''
where |u| <= 1. y = u is the gradient flow, whose energy falls for any tau; y = u + beta (u - u_before) is momentum
(FISTA: beta = n/(n + 3)).
On the graph L is the normalised Laplacian of the ten nearest neighbours, one u a class, with a penalty that holds the
labels of 5 % of the images; L is kept by its 100 longest waves.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from duhamel.report.figure import PALETTE, style

from .card import Card, Context, Measurement

if TYPE_CHECKING:
    import numpy as np

S = 2.0
STEPS = 400
FISTA = None  # beta = n/(n + 3)


def check(context: Context) -> Sequence[Measurement]:
    context.progress("torus", 0.0)
    found = torus(context)
    context.progress("digits", 0.5)
    return [*found, *digits(context)]


def descend(step: Callable, energy: Callable, u: Any, beta: float | None, steps: int) -> tuple["np.ndarray", Any]:
    """Energies before and after every step, and the last u; stops where it is no longer finite."""
    import numpy as np

    before, energies = u, [energy(u)]
    for n in range(steps):
        rate = n / (n + 3) if beta is FISTA else beta
        before, u = u, step(u + rate * (u - before))
        energies.append(energy(u))
        if not energies[-1] < 1e6:
            break
    return np.array(energies), u


def count(energies: "np.ndarray", level: float) -> int:
    """Steps until the energy is at most `level`; all that were made, and one more, where it never is."""
    import numpy as np

    below = np.flatnonzero(energies <= level)
    return int(below[0]) if below.size else len(energies)


def torus(context: Context) -> list[Measurement]:
    """From a random field of about three waves, eps = 0.03 on the unit torus, 64^2 points."""
    import numpy as np

    from duhamel.pde.grid import periodic

    eps, grid = 0.03, periodic((64, 64), 1.0)
    square = -grid.laplacian()
    rng = np.random.default_rng(0)
    noise = np.fft.rfft2(rng.normal(size=grid.shape)) * np.exp(-square / (2 * (2 * np.pi * 3) ** 2))
    u0 = np.fft.irfft2(noise)
    u0 *= 0.7 / u0.std()

    def energy(u: np.ndarray) -> float:
        bent = np.fft.irfft2(square * np.fft.rfft2(u))
        return float(np.mean(eps / 2 * u * bent + (u * u - 1) ** 2 / (4 * eps)))

    def stepper(tau: float) -> Callable:
        def step(y: np.ndarray) -> np.ndarray:
            right = y + tau / eps * (S * y - (y**3 - y))
            return np.fft.irfft2(np.fft.rfft2(right) / (1 + tau * (eps * square + S / eps)))

        return step

    flows = {tau: descend(stepper(tau), energy, u0, 0.0, STEPS)[0] for tau in (1e-3, 1e-2, 0.1, 1.0, 100.0)}
    rises = max(float(np.diff(e).max()) for e in flows.values())
    found = [Measurement("largest rise of the gradient flow's energy in a step, dt = 0.001 to 100", rises, high=1e-10)]
    curves = {}
    for tau in (3e-3, 1e-2):
        flow = descend(stepper(tau), energy, u0, 0.0, STEPS)[0]
        level = float(flow[STEPS // 2])
        for beta, name in ((FISTA, "FISTA"), (0.9, "beta 0.9")):
            fast = descend(stepper(tau), energy, u0, beta, STEPS)[0]
            note = f"energy {level:.2f}: {STEPS // 2} steps against {count(fast, level)}"
            what = f"steps of the gradient flow over those of momentum ({name}) to the same energy, dt = {tau:g}"
            found.append(Measurement(what, (STEPS // 2) / count(fast, level), low=2, note=note))
            curves[f"{name}, dt = {tau:g}"] = fast
        curves[f"gradient flow, dt = {tau:g}"] = flow
    wild = descend(stepper(1.0), energy, u0, 0.9, STEPS)[0]
    found.append(
        Measurement(
            "momentum with beta 0.9 and dt = 1: largest energy over the first one",
            float(min(np.nanmax(wild), 1e6) / wild[0]),
            low=1.0,
            note="large but not too large: with this step momentum does not descend, while the gradient flow does",
        )
    )
    draw(context, curves)
    return found


def digits(context: Context) -> list[Measurement]:
    """Semi-supervised classification; three draws of the labels, one in fast mode."""
    import numpy as np

    values, waves, truth = graph()
    found: list[tuple[float, float, int, int]] = []
    for seed in range(1 if context.fast else 3):
        known = np.random.default_rng(seed).random(len(truth)) < 0.05
        energy, step, u0 = problem(values, waves, truth, known, eps=2.0, hold=30.0, tau=0.1)
        right = lambda u, known=known: float((u.argmax(axis=1) == truth)[~known].mean())  # noqa: E731
        slow, u_slow = descend(step, energy, u0, 0.0, STEPS)
        fast, u_fast = descend(step, energy, u0, 0.9, STEPS)
        level = 1.05 * min(slow.min(), fast.min())
        found.append((right(u_slow), right(u_fast), count(slow, level), count(fast, level)))
    a, b, n, m = np.mean(found, axis=0).tolist()
    return [
        Measurement("accuracy of momentum on digits with 5 % of the labels", b, low=0.9),
        Measurement("accuracy of the gradient flow minus that of momentum, points", 100 * (a - b), high=1.0),
        Measurement(
            "steps of the gradient flow over those of momentum, to 5 % above the least energy",
            n / m,
            low=1.5,
            note=f"{n:.0f} against {m:.0f}, both counts capped at {STEPS}",
        ),
    ]


def graph() -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
    """The longest waves of the digits' graph: eigenvalues (100,), eigenvectors (1797, 100), and the labels."""
    import numpy as np
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import eigsh
    from sklearn.datasets import load_digits
    from sklearn.neighbors import kneighbors_graph

    images, truth = load_digits(return_X_y=True)
    near = kneighbors_graph(images, 10, mode="distance")
    near.data = np.exp(-((near.data / np.median(near.data)) ** 2))
    near = near.maximum(near.T)
    root = diags_array(1 / np.sqrt(np.asarray(near.sum(axis=1)).ravel()))
    values, waves = eigsh(root @ near @ root, k=100, which="LA", v0=np.ones(len(truth)))
    return 1 - values, waves, np.asarray(truth)


def problem(
    values: "np.ndarray",
    waves: "np.ndarray",
    truth: "np.ndarray",
    known: "np.ndarray",
    *,
    eps: float,
    hold: float,
    tau: float,
) -> tuple[Callable, Callable, "np.ndarray"]:
    """Energy for each image, one step, and the start: labels where they are known, 0 elsewhere."""
    import numpy as np

    wanted = np.where(truth[:, None] == np.arange(10), 1.0, -1.0)
    held = hold * known[:, None]
    s = S / eps + hold

    def energy(u: np.ndarray) -> float:
        bent = (values[:, None] * (waves.T @ u) ** 2).sum()
        well, misfit = ((u * u - 1) ** 2).sum() / (4 * eps), (held * (u - wanted) ** 2).sum() / 2
        return float((eps / 2 * bent + well + misfit) / len(u))

    def step(y: np.ndarray) -> np.ndarray:
        right = y + tau * (s * y - (y**3 - y) / eps - held * (y - wanted))
        return waves @ ((waves.T @ right) / (1 + tau * (eps * values + s))[:, None])

    return energy, step, np.where(known[:, None], wanted, 0.0)


def draw(context: Context, curves: dict[str, "np.ndarray"]) -> None:
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots()
        for i, (label, energies) in enumerate(curves.items()):
            axes.semilogy(energies.clip(1e-2), color=PALETTE[i], linewidth=1.2, label=label)
        axes.set(xlabel="steps", ylabel="energy", title="Ginzburg-Landau energy on the torus")
        axes.legend(fontsize=8)
        context.figure("gl-momentum-energy", figure)


card = Card(
    id="gl-momentum",
    claim="Convex-concave splitting lets the Ginzburg-Landau energy fall at any step; momentum of FISTA's kind reaches "
    "the same energy in far fewer steps when the step is large but not too large, and classifies digits from 5 % of "
    "the labels as well as the gradient flow in fewer steps.",
    source="Akande, Dondl, Gupta, Onwunta, Wojtowytsch, Momentum-based minimization of the Ginzburg-Landau functional "
    "on Euclidean spaces and graphs, 2025, arXiv 2501.00389",
    check=check,
    seconds=15,
)
