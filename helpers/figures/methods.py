"""The figures of notebooks 09 and 10 that are their own: methods against rounding, and trainings along their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.charts import Interval
from helpers.figures.style import GREY, LINES, new_figure, plain_log_ticks, title_over_all, write_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Line = tuple[np.ndarray, np.ndarray, np.ndarray]  # middle, low, high


def against(
    panels: dict[str, dict[str, dict[str, Interval]]], label: str, title: str, limits: tuple[float, float]
) -> Figure:
    """Ratios on a logarithmic axis, a panel for each key: {panel: {series: {row: (value, low, high)}}}.

    A dashed line stands at 1, where nothing is won. What lies outside `limits` is drawn on the border, as an arrow.
    """
    figure, axes = new_figure(title, height=3.4, columns=len(panels), sharey=True)
    rows = list(next(iter(next(iter(panels.values())).values())))
    for ax, (panel, series) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for i, ((name, values), colour) in enumerate(zip(series.items(), LINES, strict=False)):
            for y, (value, low, high) in enumerate(values[row] for row in rows):
                place = y + (i - (len(series) - 1) / 2) * 0.18
                shown = float(np.clip(value, *limits))
                marker = "o" if shown == value else "<" if shown > value else ">"
                whisker = np.abs(np.clip([[low], [high]], *limits) - shown)
                known = {"label": name} if y == 0 else {}
                ax.errorbar(shown, place, xerr=whisker, fmt=marker, color=colour, markersize=4.5, **known)
        ax.axvline(1, color=GREY, linestyle="--", linewidth=1)
        ax.set(xscale="log", xlim=(limits[0] * 0.9, limits[1] * 1.1), xlabel=panel)
        plain_log_ticks(ax.xaxis, (1, 3))
        ax.set_yticks(range(len(rows)), rows)
    figure.axes[0].invert_yaxis()
    figure.supxlabel(label, fontsize=9)
    figure.axes[-1].legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    title_over_all(figure)
    return figure


def side_by_side(
    panels: dict[str, dict[str, Interval]], title: str, log: tuple[str, ...] = (), same_scale: bool = False
) -> Figure:
    """The same rows measured in several ways, a panel for each: {label: {row: (value, low, high)}}, the first on top.

    A line stands at 0 where values reach below it. log: labels of the panels whose axis is logarithmic. same_scale: one
    for all panels. A row without a value (NaN) stays empty.
    """
    rows = list(next(iter(panels.values())))
    figure, axes = new_figure(title, height=1.2 + 0.28 * len(rows), columns=len(panels), sharey=True, sharex=same_scale)
    for ax, (label, values), colour in zip(np.atleast_1d(axes), panels.items(), LINES, strict=False):
        value, low, high = np.array([values[row] for row in rows], float).T
        whisker = np.clip([value - low, high - value], 0, None)
        ax.errorbar(value, range(len(rows)), xerr=whisker, fmt="o", color=colour, markersize=5, capsize=3)
        ax.set_xlabel(label, fontsize=9)
        if label in log:
            ax.set_xscale("log")
            plain_log_ticks(ax.xaxis)
        ax.grid(axis="y", color="#EEEEEE")
    for ax, (label, values) in zip(figure.axes, panels.items(), strict=True):
        shown = [low for part in (panels.values() if same_scale else [values]) for _, low, _ in part.values()]
        if label not in log:
            if np.nanmin(shown) >= 0:
                ax.set_xlim(left=0)  # so that small differences look small
            else:
                ax.axvline(0, color=GREY, linewidth=1)
    figure.axes[0].set_yticks(range(len(rows)), rows)
    figure.axes[0].invert_yaxis()
    title_over_all(figure)
    return figure


def small_multiples(x: np.ndarray, panels: dict[str, dict[str, Line]], labels: tuple[str, str], title: str) -> Figure:
    """Curves with bands on logarithmic axes, a panel for each key: {panel: {line: (middle, low, high)}}, each (x,).

    A line has the same colour in all panels.
    """
    figure, axes = new_figure(title, height=3.0, columns=len(panels))
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    for ax, (panel, lines) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for name, (middle, low, high) in lines.items():
            colour = LINES[names.index(name)]
            ax.plot(x, middle, "o-", color=colour, label=name, markersize=4)
            ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.set(xscale="log", yscale="log")
        plain_log_ticks(ax.xaxis)
        plain_log_ticks(ax.yaxis)
        ax.text(0.03, 0.97, panel, transform=ax.transAxes, va="top", fontweight="bold", fontsize=9)
        ax.set_xlabel(labels[0], fontsize=9)
    figure.axes[0].set_ylabel(labels[1])
    handles, shown = figure.axes[0].get_legend_handles_labels()
    figure.axes[-1].legend(handles, shown, frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    title_over_all(figure)
    return figure


def by_size(lines: dict[str, dict[str, tuple[float, ...]]], labels: tuple[str, str], title: str) -> Figure:
    """Models in several sizes each: {model: {note: (size, value, low, high)}}, a line for each model.

    Sizes are on a logarithmic axis; the note of each point stands above it.
    """
    figure, axes = new_figure(title, height=3.8)
    for (name, points), colour in zip(lines.items(), LINES, strict=False):
        sizes, value, low, high = np.array([*points.values()], float).T
        whisker = np.clip([value - low, high - value], 0, None)
        axes.errorbar(sizes, value, yerr=whisker, fmt="o-", color=colour, markersize=4, label=name)
        for note, x, y in zip(points, sizes, value, strict=True):
            write_beside(axes, note, (x, y), (4, 3), color=colour)
    axes.set(xscale="log", xlabel=labels[0], ylabel=labels[1])
    plain_log_ticks(axes.xaxis, (1, 2, 5))
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
