"""Pictures of fields over time: space-time, stills, slices, films, and how far integrals drift. NumPy arrays in."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import PALETTE, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def space_time(place: Any, x: np.ndarray, t: np.ndarray, u: np.ndarray, title: str) -> None:
    """u (times, points) over x and t, into an axes."""
    picture = place.pcolormesh(x, t, u, shading="nearest", cmap="magma", rasterized=True)
    place.figure.colorbar(picture, ax=place, shrink=0.9)
    place.set(xlabel="x", ylabel="t", title=title)
    place.grid(False)


def draw_line(x: np.ndarray, t: np.ndarray, u: np.ndarray, true: np.ndarray | None) -> "Figure":
    """Space-time, and first and last field; dots are the truth at the end."""
    import matplotlib.pyplot as plt

    size = np.abs if np.iscomplexobj(u) else np.asarray
    shown = size(u)
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=(1.2, 1), layout="constrained")
        space_time(left, x, t, shown, "|ψ|" if np.iscomplexobj(u) else "u")
        right.plot(x, shown[0], color=PALETTE[6], label=f"t = {t[0]:g}")
        right.plot(x, shown[-1], color=PALETTE[0], label=f"t = {t[-1]:g}")
        if true is not None:
            right.plot(x[::6], size(true)[::6], ".", color=PALETTE[1], markersize=3)
        right.set(xlabel="x", title="First and last")
        right.legend()
    return figure


def draw_profiles(x: np.ndarray, t: np.ndarray, w: np.ndarray, true: np.ndarray, names: list[str]) -> "Figure":
    """w (times, fields, points): the first field over space and time, and all of them at the end, scaled to 1."""
    import matplotlib.pyplot as plt

    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=(1, 1.2), layout="constrained")
        space_time(left, x, t, w[:, 0], names[0])
        for i, name in enumerate(names):
            size = np.abs(true[i]).max()
            color = PALETTE[i % len(PALETTE)]
            right.plot(x, w[-1, i] / size, color=color, linewidth=1.0, label=name)
            right.plot(x[::4], true[i][::4] / size, ".", color=color, markersize=2)
        right.set(xlabel="x", title=f"t = {t[-1]:g}")
        right.legend(fontsize=7)
    return figure


def slices(u: np.ndarray) -> list[np.ndarray]:
    """A plane as it is; of a box its three middle planes, x, y and z held."""
    if u.ndim == 2:
        return [u]
    return [u[u.shape[0] // 2], u[:, u.shape[1] // 2], u[:, :, u.shape[2] // 2]]


def draw_stills(t: np.ndarray, u: np.ndarray) -> "Figure":
    """Four times of u (times, *points) in two or three dimensions; three middle planes each, where there are three."""
    import matplotlib.pyplot as plt

    rows = u.ndim - 1 if u.ndim == 4 else 1
    with style():
        figure, axes = plt.subplots(
            rows, 4, figsize=(10, 2.8 if rows == 1 else 7.5), layout="constrained", squeeze=False
        )
        for column, n in zip(axes.T, (0, len(t) // 4, len(t) // 2, len(t) - 1), strict=True):
            span = _span(u[n])
            for place, plane, held in zip(column, slices(u[n]), "xyz", strict=False):
                _plane(place, plane, span)
                place.set(title=f"t = {t[n]:g}" + (f", middle of {held}" if rows > 1 else ""))
    return figure


def film_planes(t: np.ndarray, u: np.ndarray) -> tuple["Figure", Callable[[int], None]]:
    """(figure, update) of u (times, *points) in two or three dimensions, with one scale of colours for all times."""
    import matplotlib.pyplot as plt

    first = slices(u[0])
    with style():
        figure, axes = plt.subplots(1, len(first), figsize=(3.4 * len(first), 3.6), layout="constrained", squeeze=False)
        span = _span(u)
        pictures = [_plane(place, plane, span) for place, plane in zip(axes[0], first, strict=True)]
        if len(first) > 1:
            for place, held in zip(axes[0], "xyz", strict=True):
                place.set_xlabel(f"middle of {held}")

    def update(n: int) -> None:
        for picture, plane in zip(pictures, slices(u[n]), strict=True):
            picture.set_data(plane.T)
        axes[0, 0].set_title(f"t = {t[n]:.3g}")

    return figure, update


def film_lines(x: np.ndarray, t: np.ndarray, w: np.ndarray, names: list[str]) -> tuple["Figure", Callable[[int], None]]:
    """(figure, update) of w (times, fields, points), each field in a frame of its own."""
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(
            1, len(names), figsize=(2.6 * len(names) + 0.6, 2.6), layout="constrained", squeeze=False
        )
        lines = []
        for i, (place, name) in enumerate(zip(axes[0], names, strict=True)):
            lines += place.plot(x, w[0, i], color=PALETTE[i % len(PALETTE)])
            low, high = float(np.nanmin(w[:, i])), float(np.nanmax(w[:, i]))
            room = 0.05 * (high - low) + 1e-12
            place.set(xlabel="x", title=name, ylim=(low - room, high + room))

    def update(n: int) -> None:
        for i, line in enumerate(lines):
            line.set_ydata(w[n, i])
        axes[0, 0].set_title(f"{names[0]}, t = {t[n]:.3g}")

    return figure, update


def draw_drift(t: np.ndarray, kept: Mapping[str, np.ndarray]) -> "Figure":
    """(I(t) - I(0))/|I(0)| of every integral; logarithmic, and linear below 1e-12, where none changes by 1 %."""
    import matplotlib.pyplot as plt

    with style():
        figure, place = plt.subplots(figsize=(7.2, 2.8), layout="constrained")
        for name, value in kept.items():
            place.plot(t, (value - value[0]) / np.abs(value[0]), label=name, linewidth=1.2)
        if max(float(np.abs(v / v[0] - 1).max()) for v in kept.values()) < 0.01:
            place.set_yscale("symlog", linthresh=1e-12)
            place.locator_params(axis="y", numticks=7)
        place.set(xlabel="t", title="Relative change of integrals")
        place.legend()
    return figure


def _span(u: np.ndarray) -> tuple[float, float]:
    middle, limit = float(np.nanmean(u)), 3 * float(np.nanstd(u)) + 1e-12
    return middle - limit, middle + limit


def _plane(place: Any, u: np.ndarray, span: tuple[float, float]) -> Any:
    picture = place.imshow(u.T, origin="lower", cmap="RdBu_r", vmin=span[0], vmax=span[1], rasterized=True)
    place.set(xticks=[], yticks=[])
    place.grid(False)
    place.spines[:].set_visible(False)
    return picture
