"""The figures of Part IV: masks, singular values, Kronecker products, a search, and every method on one plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.quality import LINES
from helpers.figures.style import BLUE, GREY, VERMILION
from helpers.figures.style import figure as new_figure
from helpers.figures.style import title as write_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def masks(named: dict[str, np.ndarray], title: str) -> Figure:
    """Pictures of masks side by side, dark where a weight stays; all (rows, columns) alike."""
    figure, axes = new_figure(height=2.6, columns=len(named), squeeze=False)
    for ax, (name, mask) in zip(axes[0], named.items(), strict=True):
        ax.imshow(np.asarray(mask, float), cmap="Blues", vmin=0, vmax=1.2, interpolation="nearest", aspect="equal")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_xlabel(f"{name}: {np.mean(mask):.0%} kept", fontsize=9)
    _title_over_all(figure, axes[0][0], title)
    return figure


def _title_over_all(figure: Figure, first, title: str) -> None:
    """Write the title above the first of several axes without letting it widen them."""
    write_title(first, title)
    first._left_title.set_in_layout(False)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.86))


def spectrum(named: dict[str, np.ndarray], marks: dict[str, int], title: str) -> Figure:
    """The share of a matrix's energy beyond each rank, a line for each; `marks` are vertical lines at a rank."""
    figure, axes = new_figure(height=3.2)
    for (name, values), colour in zip(named.items(), LINES, strict=False):
        energy = np.asarray(values, float) ** 2
        left = 1 - np.concatenate([[0], np.cumsum(energy)]) / energy.sum()
        axes.plot(np.arange(len(left)), left, color=colour, label=name)
    for name, rank in marks.items():
        axes.axvline(rank, color=GREY, linestyle="--", linewidth=1)
        axes.text(rank, 1.0, f" {name}", fontsize=9, color=GREY, va="top")
    axes.set_xlabel("rank kept")
    axes.set_ylabel("share of the squared weights lost")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    write_title(axes, title)
    return figure


def kronecker(a: np.ndarray, b: np.ndarray, title: str) -> Figure:
    """Pictures of A, B and A ⊗ B on one scale of colours each, B's copies framed."""
    figure, axes = new_figure(height=2.8, columns=3, width_ratios=[1, 0.7, 1.8])
    product = np.kron(a, b)
    for ax, matrix, name in zip(axes, (a, b, product), ("A", "B", "A ⊗ B"), strict=True):
        limit = np.abs(matrix).max()
        ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_xlabel(f"{name}: {matrix.shape[0]} × {matrix.shape[1]}", fontsize=9)
    for row in range(0, product.shape[0], b.shape[0]):
        axes[2].axhline(row - 0.5, color="black", linewidth=0.8)
    for column in range(0, product.shape[1], b.shape[1]):
        axes[2].axvline(column - 0.5, color="black", linewidth=0.8)
    _title_over_all(figure, axes[0], title)
    return figure


def search(named: dict[str, list[float]], reference: dict[str, float], title: str) -> Figure:
    """Errors after each accepted step of searches, one line each, with horizontal lines to compare them to."""
    figure, axes = new_figure(height=3.2)
    for (name, errors), colour in zip(named.items(), LINES, strict=False):
        axes.step(range(len(errors)), errors, where="post", color=colour, label=name)
    for name, error in reference.items():
        axes.axhline(error, color=GREY, linestyle="--", linewidth=1)
        place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
        axes.annotate(name, (1, error), fontsize=9, color=GREY, **place)
    axes.set_xlabel("accepted steps")
    axes.set_ylabel("relative error of the matrix")
    axes.legend(frameon=False, fontsize=9)
    write_title(axes, title)
    return figure


def plane(
    families: dict[str, dict[str, tuple[float, float, float, float]]], labels: tuple[str, str], title: str
) -> Figure:
    """Every method on one plane: families of points (size, loss, low, high), a colour and marker for each family.

    The size is on a logarithmic axis. Points that no other beats (the Pareto front) are joined and named.
    """
    from helpers.figures.quality import pareto

    figure, axes = new_figure(height=5.6)
    everything = {(family, name): point for family, points in families.items() for name, point in points.items()}
    front = pareto({key: point[:2] for key, point in everything.items()})
    best = sorted(everything[key][:2] for key in front)
    axes.plot(*zip(*best, strict=True), color=GREY, linewidth=1, zorder=1)
    for (family, points), colour, marker in zip(families.items(), LINES, MARKERS, strict=False):
        x, y, low, high = np.array(list(points.values())).T
        errors = np.clip([y - low, high - y], 0, None)
        axes.errorbar(x, y, errors, fmt=marker, color=colour, label=family, markersize=6, capsize=2, linestyle="none")
    for family, name in front:  # left of and below a point that nothing beats there is no other
        axes.annotate(
            name,
            everything[family, name][:2],
            xytext=(-4, -4),
            textcoords="offset points",
            fontsize=8,
            rotation=60,
            rotation_mode="anchor",
            ha="right",
            va="center",
        )
    axes.set(xscale="log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
    axes.minorticks_off()
    axes.margins(x=0.15, y=0.08)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.12 * (high - low), high)  # room for the names
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    write_title(axes, title)
    return figure


def bars(
    named: dict[str, tuple[float, float, float]], label: str, title: str, reference: float | None = None
) -> Figure:
    """Horizontal bars (middle, low, high) with their ranges, the first on top; `reference` draws a vertical line."""
    figure, axes = new_figure(height=1.0 + 0.36 * len(named))
    names = list(named)[::-1]
    table = np.array([named[name] for name in names])
    errors = np.clip([table[:, 0] - table[:, 1], table[:, 2] - table[:, 0]], 0, None)
    axes.barh(names, table[:, 0], xerr=errors, color=BLUE, ecolor="black", capsize=3)
    for row, (value, _, high) in enumerate(table):
        axes.annotate(
            f"{value:.2f}", (max(high, 0), row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.12)
    if reference is not None:
        axes.axvline(reference, color=VERMILION, linestyle="--", linewidth=1)
    axes.set_xlabel(label)
    write_title(axes, title)
    return figure
