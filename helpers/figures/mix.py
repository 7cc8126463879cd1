"""The figures of notebook 15: what each tensor's bits are worth, who gets them, and the best file of every size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.charts import Interval
from helpers.figures.style import BLUE, GREEN, GREY, LINES, new_figure, title_over_all, write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TEXTS = 120  # cells of a map that still get their type written in
KINDS = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]


def maps(prices: dict[str, float], layouts: dict[str, dict[str, str]], bits: dict[str, float], title: str) -> Figure:
    """Maps of a model, layer by kind of matrix: the price of each tensor, and the bits that each layout gives it.

    prices: nats by tensor name. layouts: a name, then a type for each tensor. bits: bits per weight of each type.
    """
    places = {name: _place(name) for name in prices}
    rows = sorted({row for row, _ in places.values()})
    kinds = sorted({kind for _, kind in places.values()} - {""}, key=_order)
    cells = {name: (rows.index(row), kinds.index(kind) if kind else 0) for name, (row, kind) in places.items()}
    figure, axes = new_figure(
        title, height=1.9 + min(7.0, 0.33 * len(rows)), width=11, columns=1 + len(layouts), sharey=True
    )
    title_over_all(figure)
    smallest = min((price for price in prices.values() if price > 0), default=1.0)
    heights = {name: float(np.log10(max(price, smallest))) for name, price in prices.items()}
    thousandths = {name: f"{1000 * price:.2g}" for name, price in prices.items()}
    _draw_map(axes[0], cells, heights, thousandths, "price in thousandths of a nat")
    for each, (layout, types) in zip(axes[1:], layouts.items(), strict=True):
        _draw_map(each, cells, {name: bits[types[name]] for name in cells}, types, layout)
    for each in axes:
        each.set_xticks(range(len(kinds)), kinds, rotation=50, ha="right", fontsize=8)
    axes[0].set_yticks(range(len(rows)), [name or f"layer {layer}" for layer, name in rows], fontsize=8)
    return figure


def frontier(
    curve: list[tuple[float, float]], series: dict[str, dict[str, tuple[float, float, float, float]]], title: str
) -> Figure:
    """Files by size and KL: dots with intervals for each series, and the line that the mix's prices predict.

    curve: (megabytes, nats) of the best mixes. series: its name, then for each file (megabytes, nats, low, high); the
    files of the first series are labelled.
    """
    figure, axes = new_figure(title, height=4.2)
    axes.plot(*zip(*curve, strict=True), color=GREY, linewidth=1, label="predicted for the best mix", zorder=1)
    for (name, points), colour in zip(series.items(), LINES, strict=False):
        x, y, low, high = np.array(list(points.values()), float).T
        spread = np.clip([y - low, high - y], 0, None)
        axes.errorbar(x, y, spread, fmt="o", color=colour, capsize=3, label=name, zorder=2)
    first = next(iter(series.values()))
    near = 0.09 * (max(x for x, *_ in first.values()) - min(x for x, *_ in first.values()))
    for label, (x, y, *_) in first.items():
        to_the_right = any(0 < other - x < near for other, *_ in first.values())
        write_beside(axes, label, (x, y), (-7, 4) if to_the_right else (7, 4), ha="right" if to_the_right else "left")
    axes.set(yscale="log", xlabel="size of the file (MB)", ylabel="KL divergence from F16 (nats)")
    axes.margins(x=0.1)
    axes.legend(frameon=False, fontsize=9)
    return figure


def sums(points: dict[str, tuple[float, Interval]], title: str) -> Figure:
    """What single prices add up to beside what the whole file costs; on the grey line both are equal.

    points: for each file its predicted KL, and the measured one with its interval, in nats.
    """
    figure, axes = new_figure(title, height=3.8)
    ends = [value for predicted, measured in points.values() for value in (predicted, measured[0])]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=GREY, linewidth=1, label="equal")
    for name, (predicted, (value, low, high)) in points.items():
        colour = GREEN if name.startswith("mix") else BLUE
        spread = [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.errorbar(predicted, value, spread, fmt="o", color=colour, capsize=3)
        write_beside(axes, name, (predicted, value), (7, -4), color=colour)
    axes.set(xscale="log", yscale="log", xlabel="sum of the prices (nats)", ylabel="measured KL divergence (nats)")
    axes.margins(x=0.15)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _place(name: str) -> tuple[tuple[float, str], str]:
    """Return the row of a tensor, (layer, "") or for one outside the layers (infinity, its name), and its kind."""
    found = re.fullmatch(r"blk\.(\d+)\.(.+)\.weight", name)
    return ((int(found[1]), ""), found[2]) if found else ((np.inf, name.removesuffix(".weight")), "")


def _order(kind: str) -> tuple[int, str]:
    """Sort kinds of matrices as they are used in a layer; unknown ones come last."""
    return (KINDS.index(kind) if kind in KINDS else len(KINDS), kind)


def _draw_map(axes: Axes, cells: dict, values: dict[str, float], texts: dict[str, str], title: str) -> None:
    """Colour the cells (row, column) of the tensors by their values, and write their texts in."""
    grid = np.full([1 + max(ends) for ends in zip(*cells.values(), strict=True)], np.nan)
    for name, cell in cells.items():
        grid[cell] = values[name]
    picture = axes.imshow(np.ma.masked_invalid(grid), cmap="viridis_r", aspect="auto")
    axes.set_xlabel(title)
    axes.spines[:].set_visible(False)
    for name, (row, column) in cells.items() if len(cells) <= MOST_TEXTS else ():
        colour = "white" if picture.norm(values[name]) > 0.5 else "black"
        axes.text(column, row, texts[name], ha="center", va="center", fontsize=6.5, color=colour)
