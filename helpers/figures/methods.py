"""The figures of notebooks 09 and 10 that are their own: methods against rounding, and trainings along their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.charts import Interval
from helpers.figures.style import GREY, LINES, new_figure, plain_log_ticks, title_over_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        plain_log_ticks(ax.xaxis)
        ax.set_yticks(range(len(rows)), rows)
    figure.axes[0].invert_yaxis()
    figure.supxlabel(label, fontsize=9)
    figure.axes[-1].legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    title_over_all(figure)
    return figure
