"""The figures of Part III: what quantization costs, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from helpers.figures.style import figure as new_figure
from helpers.figures.style import title as write_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, "black", GREY)


def token_losses(pieces: list[str], losses: np.ndarray, title: str) -> Figure:
    """A bar for each token: how surprised the model was, in nats; the token stands below its bar."""
    figure, axes = new_figure(height=3.2)
    axes.bar(range(len(pieces)), losses, color=[VERMILION if loss > 1 else BLUE for loss in losses])
    axes.axhline(np.mean(losses), color="black", linestyle="--", linewidth=1)
    axes.text(len(pieces) - 0.5, np.mean(losses), " mean", va="bottom", ha="right", fontsize=9)
    axes.set_xticks(range(len(pieces)), [piece.replace("\n", "⏎") for piece in pieces], rotation=70, fontsize=8)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("−log p (nats)")
    write_title(axes, title)
    return figure


def quality(points: dict[str, tuple[float, float, float, float]], labels: tuple[str, str], title: str) -> Figure:
    """A labelled dot for each file: (size, damage, low, high); the line joins those that no other file beats.

    A file is beaten if another is at most as large and does less damage (the Pareto front).
    """
    figure, axes = new_figure(height=3.8)
    front = pareto({name: (x, y) for name, (x, y, *_) in points.items()})
    best = sorted(points[name][:2] for name in front)
    axes.plot(*zip(*best, strict=True), color=GREY, linewidth=1, zorder=1, label="no other file beats these")
    for name, (x, y, low, high) in points.items():
        colour = BLUE if name in front else VERMILION
        axes.errorbar(x, y, [[max(0.0, y - low)], [max(0.0, high - y)]], fmt="o", color=colour, capsize=3, zorder=2)
        width = max(point[0] for point in points.values()) - min(point[0] for point in points.values())
        beside = [b for other, (a, b, *_) in points.items() if other != name and abs(a - x) < 0.05 * width]
        offset = (7, 4) if all(y > b for b in beside) else (-7, -10)  # neighbours get their labels on other sides
        side = "left" if offset[0] > 0 else "right"
        axes.annotate(name, (x, y), xytext=offset, textcoords="offset points", ha=side, fontsize=9, color=colour)
    axes.set_yscale("log")
    axes.margins(x=0.1)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.legend(frameon=False, fontsize=9)
    write_title(axes, title)
    return figure


def pareto(points: dict[str, tuple[float, float]]) -> list[str]:
    """Return the names that no other point beats in one coordinate without losing in the other."""
    return [
        name
        for name, (x, y) in points.items()
        if not any((a <= x and b < y) or (a < x and b <= y) for other, (a, b) in points.items() if other != name)
    ]


def shares(values: dict[str, tuple[float, float, float]], label: str, title: str) -> Figure:
    """Bars of shares (share, low, high) between 0 and 1 with their intervals, the first on top."""
    figure, axes = new_figure(height=1.0 + 0.36 * len(values))
    names = list(values)[::-1]
    table = np.array([values[name] for name in names]) * 100
    errors = np.clip(np.abs(table[:, 1:].T - table[:, 0]), 0, None)
    axes.barh(names, table[:, 0], xerr=errors, color=BLUE, ecolor=GREY, capsize=3)
    for row, share in enumerate(table[:, 0]):
        axes.text(1, row, f"{share:.0f} %", va="center", fontsize=9, color="white" if share > 12 else "black")
    axes.set_xlim(0, 104)
    axes.set_xlabel(label)
    write_title(axes, title)
    return figure


def curves(
    x: np.ndarray,
    lines: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    labels: tuple[str, str],
    title: str,
    log: str = "xy",
) -> Figure:
    """Lines with bands: each (middle, low, high) against x; `log` names the logarithmic axes."""
    figure, axes = new_figure(height=3.6)
    for (name, (middle, low, high)), colour in zip(lines.items(), LINES, strict=False):
        axes.plot(x, middle, "o-", color=colour, label=name, markersize=5)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    for axis in log:
        axes.set(**{f"{axis}scale": "log"})
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    write_title(axes, title)
    return figure
