"""Neural operators: one set of weights for every resolution, and what convolutions on points make of that.

Burgers with viscosity 0.1, from u(0) to u(1), and Darcy's equation on a small grid, both from our own solvers. The four
kernels of the paper, Fourier, low-rank, graph and multipole graph, go through one layer (`nn.kernel`).
"""

from collections.abc import Callable, Sequence
from typing import Any

from .card import Card, Context, Measurement

COMPONENTS = 16  # of PCA
SIDE, SEED = 17, 1  # Darcy: points along each side; the settings were chosen on materials of another seed
LONG, SHORT = (800, 1500), (400, 500)  # materials to learn from and steps: the Fourier kernel alone, and two kernels


def check(context: Context) -> Sequence[Measurement]:
    darcy = [] if context.fast else _darcy(context)
    points, samples, steps, width = (64, 200, 200, 16) if context.fast else (256, 1000, 1500, 32)
    found = _burgers(context, points, samples, steps, width)
    _draw(context, found)
    ours, finest = found["neural operator"], 4 * points
    ratios = [error / ours[points] for error in ours.values()]
    rivals = {name: errors for name, errors in found.items() if name != "neural operator"}
    told = ", ".join(
        f"{name} {100 * errors[finest]:.2g} % ({100 * errors[points]:.2g} %)" for name, errors in rivals.items()
    )
    return [
        Measurement(
            f"Burgers, {points} points: relative L2 error on unseen functions",
            100 * ours[points],
            high=1.5,
            unit="%",
            note=f"{samples} pairs to learn from, {steps} steps, no normalisation over the batch",
        ),
        Measurement(
            "the same weights on half to four times the points: largest error over that", max(ratios), high=1.25
        ),
        Measurement("and the smallest", min(ratios), low=0.8),
        Measurement(
            f"on {finest} points: error of the best rival over ours",
            min(errors[finest] for errors in rivals.values()) / ours[finest],
            low=1.0,
            note=f"there (and where they were trained): {told}",
        ),
        *darcy,
    ]


def _darcy(context: Context) -> list[Measurement]:
    """The Fourier kernel is asked for an accuracy, and beside the low-rank one at equal width and steps. Graph and
    multipole kernels go through the same layer in the tests; their training takes ten times as long."""
    from duhamel.nn.kernel import Fourier, LowRank

    kinds = {"Fourier": Fourier, "low-rank": LowRank}
    context.progress("Darcy: Fourier kernel, long", 0.0)
    long = _kernel(Fourier, *LONG)
    found = {}
    for i, (name, kind) in enumerate(kinds.items(), start=1):
        context.progress(f"Darcy: {name} kernel", 0.1 * i)
        found[name] = _kernel(kind, *SHORT)
    told = ", ".join(
        f"{name} {100 * error:.3g} % ({weights:,} weights, {seconds:.0f} s)"
        for name, (error, _, weights, seconds) in found.items()
    )
    return [
        Measurement(
            f"Darcy, {SIDE} x {SIDE} points, Fourier kernel: relative L2 error on unseen materials",
            100 * long[0],
            high=3.0,
            unit="%",
            note=f"{LONG[0]} materials, {LONG[1]} steps; {100 * long[1]:.2g} % on twice the intervals",
        ),
        Measurement(
            f"Darcy, {SHORT[0]} materials, {SHORT[1]} steps: error of the low-rank kernel over the Fourier one's",
            found["low-rank"][0] / found["Fourier"][0],
            low=1.0,
            note=told,
        ),
    ]


def _kernel(kind: Any, samples: int, steps: int) -> tuple[float, float, int, float]:
    """Error on 50 unseen materials, on the grid of training and on twice its intervals; weights; seconds."""
    import time

    from duhamel.nn.kernel import KernelOperator
    from duhamel.pde.emulate.sets import darcy_set
    from duhamel.pde.emulate.study import each_error, parameters
    from duhamel.pde.emulate.train import forecast

    a, u = darcy_set(samples + 50, 4 * SIDE - 3, SEED)  # solved on half the steps that are shown
    a, u = a[..., ::2, ::2], u[..., ::2, ::2]
    coarse = a[50:, :, ::2, ::2], u[50:, :, ::2, ::2]
    begin = time.perf_counter()
    make = lambda key: KernelOperator(1, 1, 2, kind, width=24, depth=4, key=key)  # noqa: E731
    emulator = _trained(make, *coarse, steps=steps, size=10, symmetric=True)
    seconds = time.perf_counter() - begin
    errors = [
        float(each_error(forecast(emulator, a[:50, None, :, ::k, ::k], 1), u[:50, None, :, ::k, ::k]).mean())
        for k in (2, 1)
    ]
    return errors[0], errors[1], parameters(emulator), seconds


def _burgers(context: Context, points: int, samples: int, steps: int, width: int) -> dict[str, dict[int, float]]:
    """By network and points: mean relative L2 error of 100 unseen functions."""
    import jax
    import numpy as np

    from duhamel.nn.conv import Conv
    from duhamel.nn.fno import FNO
    from duhamel.nn.mlp import MLP
    from duhamel.pde.emulate.sets import burgers_set, resampled
    from duhamel.pde.emulate.study import each_error
    from duhamel.pde.emulate.train import forecast

    context.progress("Burgers: the set", 0.0)
    u0, u1 = burgers_set(samples + 100, points, 0)
    train, test = (u0[100:], u1[100:]), (u0[:100], u1[:100])
    bases = [np.linalg.svd(u[:, 0], full_matrices=False)[2][:COMPONENTS] for u in train]
    coordinates = [u[:, 0] @ basis.T for u, basis in zip(train, bases, strict=True)]

    def convolutions(key: Any) -> Any:
        sizes = [(1, width), (width, width), (width, width), (width, 1)]
        keys = jax.random.split(key, len(sizes))
        convs = [Conv(a, b, 1, size=9, key=k) for k, (a, b) in zip(keys, sizes, strict=True)]
        return jax.tree_util.Partial(_convolved, convs)

    def on(p: int, field: Any) -> Any:
        return resampled(field, p).astype(np.float32)

    def direct(emulator: Any, p: int) -> Any:
        return forecast(emulator, on(p, test[0])[:, None], 1)

    def reduced(emulator: Any, p: int) -> Any:
        # its components are vectors of `points` numbers: fields of other grids are brought there and back
        given = on(points, on(p, test[0]))[:, 0] @ bases[0].T
        return on(p, forecast(emulator, given[:, None], 1)[:, 0] @ bases[1])[:, None, None]

    kinds: dict[str, tuple[Callable, Any, Callable]] = {
        "neural operator": (lambda key: FNO(1, 1, (12,), width=width, coordinates=False, key=key), train, direct),
        "convolutions": (convolutions, train, direct),
        "PCA and a perceptron": (
            lambda key: MLP(COMPONENTS, COMPONENTS, width=128, depth=2, key=key, activation=jax.nn.gelu),
            coordinates,
            reduced,
        ),
    }
    found: dict[str, dict[int, float]] = {}
    for i, (name, (make, data, answer)) in enumerate(kinds.items()):
        context.progress(f"Burgers: {name}", (i + 0.5) / 3)
        # the perceptron's steps cost next to nothing: it gets four times as many
        emulator = _trained(make, *data, steps=4 * steps if answer is reduced else steps)
        grids = [points // 2, points, 2 * points, 4 * points]
        found[name] = {p: float(each_error(answer(emulator, p), on(p, test[1])[:, None]).mean()) for p in grids}
    return found


def _convolved(convs: Any, u: Any) -> Any:
    import jax

    for conv in convs[:-1]:
        u = jax.nn.gelu(conv(u))
    return convs[-1](u)


def _trained(make: Callable, inputs: Any, outputs: Any, *, steps: int, size: int = 20, symmetric: bool = False) -> Any:
    from duhamel.pde.emulate.model import measured
    from duhamel.pde.emulate.train import Shape, train
    from duhamel.pde.emulate.windows import Pairs, Symmetric

    shape, pairs = Shape(measured(inputs[:, None]), measured(outputs[:, None])), Pairs(inputs, outputs, size)
    return train(make, shape, Symmetric(pairs) if symmetric else pairs, steps=steps, rate=3e-3).emulators[0]


def _draw(context: Context, found: dict[str, dict[int, float]]) -> None:
    import matplotlib.pyplot as plt

    from duhamel.report.figure import style

    with style():
        figure, axes = plt.subplots()
        for label, errors in found.items():
            axes.loglog(list(errors), [100 * e for e in errors.values()], marker="o", markersize=3, label=label)
        axes.set(xlabel="points", ylabel="relative L2 error, %", title="Trained on one grid, asked on others")
        axes.legend(fontsize=8)
        context.figure("fno-neural-operator-grids", figure)


card = Card(
    id="fno-neural-operator",
    claim="A neural operator with Fourier kernels learns the solution map of Burgers' equation to 1.5 %, keeps its "
    "error when the same weights are asked on finer and coarser grids, and beats convolutions on points and PCA with "
    "a perceptron there. All four kernels of the framework go through one layer (two of them here, the others in the "
    "tests); the Fourier one learns Darcy's equation to 3 % and errs less than the low-rank one at equal width and "
    "steps.",
    source="Kovachki, Li, Liu, Azizzadenesheli, Bhattacharya, Stuart, Anandkumar, Neural Operator: Learning Maps "
    "Between Function Spaces, 2023, arXiv 2108.08481",
    check=check,
    seconds=400,
)
