"""The figures of Part IV: masks, singular values, Kronecker products, a search, and every method on one plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.charts import draw_front
from helpers.figures.style import GREY, LINES, new_figure, plain_log_ticks, title_over_all, write_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def masks(w: np.ndarray, named: dict[str, np.ndarray], title: str) -> Figure:
    """A matrix under several masks, all (rows, columns): the larger a weight, the darker; white where it is dropped.

    Lines stand after every fourth column. Below each picture: how many weights stay in a row, least and most.
    """
    figure, axes = new_figure(title, height=3.6, rows=2, columns=-(-len(named) // 2), squeeze=False)
    for ax, (name, mask) in zip(axes.flat, named.items(), strict=False):
        shown = np.where(mask, 0.25 + 0.75 * np.abs(w) / np.abs(w).max(), 0)
        ax.imshow(shown, cmap="Blues", vmin=0, vmax=1.1, interpolation="nearest", aspect="equal")
        ax.vlines(np.arange(4, w.shape[1], 4) - 0.5, -0.5, len(w) - 0.5, color=GREY, linewidth=0.5)
        ax.set(xticks=[], yticks=[])
        counts = sorted({int(np.sum(row)) for row in mask})
        stay = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        ax.set_xlabel(f"{name}: {stay} of {w.shape[1]} in a row", fontsize=9)
    title_over_all(figure)
    return figure


def spectrum(named: dict[str, np.ndarray], marks: dict[str, int], title: str) -> Figure:
    """The share of a matrix's energy beyond each rank, a line for each; `marks` are vertical lines at a rank."""
    figure, axes = new_figure(title, height=3.2)
    for (name, values), colour in zip(named.items(), LINES, strict=False):
        energy = np.asarray(values, float) ** 2
        left = 1 - np.concatenate([[0], np.cumsum(energy)]) / energy.sum()
        axes.plot(np.arange(len(left)), left, color=colour, label=name)
    for name, rank in marks.items():
        axes.axvline(rank, color=GREY, linestyle="--", linewidth=1)
        axes.text(rank, 1.0, f" {name}", fontsize=9, color=GREY, va="top")
    axes.set(xlabel="rank kept", ylabel="share of the squared weights lost")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def kronecker(a: np.ndarray, b: np.ndarray, title: str) -> Figure:
    """Pictures of A, B and A ⊗ B on one scale of colours each, B's copies framed."""
    figure, axes = new_figure(title, height=2.8, columns=3, width_ratios=[1, 0.7, 1.8])
    product = np.kron(a, b)
    for ax, matrix, name in zip(axes, (a, b, product), ("A", "B", "A ⊗ B"), strict=True):
        limit = np.abs(matrix).max()
        ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"{name}: {matrix.shape[0]} × {matrix.shape[1]}", fontsize=9)
    for row in range(0, product.shape[0], b.shape[0]):
        axes[2].axhline(row - 0.5, color="black", linewidth=0.8)
    for column in range(0, product.shape[1], b.shape[1]):
        axes[2].axvline(column - 0.5, color="black", linewidth=0.8)
    title_over_all(figure)
    return figure


def search(named: dict[str, list[float]], reference: dict[str, float], title: str) -> Figure:
    """Errors after each accepted step of searches, one line each, with horizontal lines to compare them to."""
    figure, axes = new_figure(title, height=3.2)
    for (name, errors), colour in zip(named.items(), LINES, strict=False):
        axes.step(range(len(errors)), errors, where="post", color=colour, label=name)
    for name, error in reference.items():
        axes.axhline(error, color=GREY, linestyle="--", linewidth=1)
        place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
        axes.annotate(name, (1, error), fontsize=9, color=GREY, **place)
    axes.set(xlabel="accepted steps", ylabel="relative error of the matrix")
    axes.legend(frameon=False, fontsize=9)
    return figure


def plane(
    families: dict[str, dict[str, tuple[float, float, float, float]]], labels: tuple[str, str], title: str
) -> Figure:
    """Every method on one plane: families of points (size, loss, low, high), a colour and marker for each family.

    Both axes are logarithmic. Points that no other beats (the Pareto front) are joined and named, but for those so near
    to a smaller one that has its name that both could not be read.
    """
    figure, axes = new_figure(title, height=5.6)
    everything = {(family, name): point for family, points in families.items() for name, point in points.items()}
    front = draw_front(axes, everything)
    for (family, points), colour, marker in zip(families.items(), LINES, MARKERS, strict=False):
        x, y, low, high = np.array(list(points.values())).T
        errors = np.clip([y - low, high - y], 0, None)
        axes.errorbar(x, y, errors, fmt=marker, color=colour, label=family, markersize=6, capsize=2, linestyle="none")
    turned = {"rotation": 60, "rotation_mode": "anchor", "ha": "right", "va": "center", "fontsize": 8}
    named = 0.0
    for x, y, name in sorted((*everything[family, name][:2], name) for family, name in front):
        if x > 1.1 * named:  # left of and below a point that nothing beats there is no other
            write_beside(axes, name, (x, y), (-4, -4), **turned)
            named = x
    axes.set(xscale="log", yscale="log", xlabel=labels[0], ylabel=labels[1])
    plain_log_ticks(axes.xaxis, (1, 2, 5))
    plain_log_ticks(axes.yaxis, (1, 2, 5))
    axes.margins(x=0.15, y=0.08)
    low, high = axes.get_ylim()
    axes.set_ylim(low / (high / low) ** 0.2, high)  # room for the names
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return figure
