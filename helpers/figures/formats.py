"""The figures of notebook 01: what numbers cost, how they are laid out, how far and how finely they reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.style import BLUE, GREEN, GREY, KINDS, SKY, VERMILION, new_figure
from helpers.numbers.formats import FORMATS, FloatFormat

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def model_memory(needs: dict[str, dict[str, float]], limits: dict[str, float], title: str) -> Figure:
    """Dots of gigabytes on a logarithmic axis, a row for each model, a colour for each format; dashed: the GPUs.

    needs: {"7B": {"FP16": 14.0, …}, …}; limits: {"24 GB": 24.0, …}.
    """
    figure, axes = new_figure(title, height=1.2 + 0.55 * len(needs))
    for row, sizes in enumerate(reversed(needs.values())):
        axes.plot(list(sizes.values()), [row] * len(sizes), color=GREY, linewidth=1, zorder=1)
        for colour, (kind, size) in zip(KINDS, sizes.items(), strict=False):
            axes.plot(size, row, "o", color=colour, markersize=8, label=kind if row == 0 else None)
            axes.text(size, row + 0.2, f"{size:,.4g}", ha="center", va="bottom", fontsize=8.5)
    for name, limit in limits.items():
        axes.axvline(limit, color="black", linestyle="--", linewidth=1, zorder=0.5)
        axes.text(limit, len(needs) - 0.35, f" {name}", fontsize=8.5, ha="left")
    axes.set_ylim(-0.5, len(needs) - 0.1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(needs)), list(reversed(needs)))
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("memory for the weights alone (GB, each step is ten times as much)")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.28), fontsize=9)
    return figure


def bit_layout(value: float, names: list[str], title: str) -> Figure:
    """Draw the bits of one value in each format as squares: sign, exponent and fraction in their colours."""
    figure, axes = new_figure(title, height=0.8 + 0.42 * len(names))
    for row, name in enumerate(names):
        form = FORMATS[name]
        stored = float(form.round(value))
        for column, bit in enumerate(form.bits(value).replace(" ", "")):
            colour = _field_colour(form, column)
            axes.add_patch(_square(column, -row, colour))
            ink = "white" if colour == BLUE else "black"
            axes.text(column + 0.46, -row + 0.4, bit, ha="center", va="center", fontsize=8, color=ink)
        axes.text(-0.5, -row + 0.4, form.title, ha="right", va="center", fontsize=9)
        label = f"{stored:.8g}" if stored != value else f"{value:.8g}, exact"
        axes.text(form.width + 0.5, -row + 0.4, label, ha="left", va="center", fontsize=9)
    for x, (colour, what) in zip((0, 5, 12), ((VERMILION, "sign"), (BLUE, "exponent"), (SKY, "fraction")), strict=True):
        axes.add_patch(_square(x, -len(names) - 0.3, colour))
        axes.text(x + 1.3, -len(names) + 0.1, what, va="center", fontsize=9)
    axes.add_patch(_square(19, -len(names) - 0.3, GREEN))
    axes.text(20.3, -len(names) + 0.1, "whole number", va="center", fontsize=9)
    axes.set(xlim=(-7, 41), ylim=(-len(names) - 0.6, 1.1))
    axes.axis("off")
    return figure


def _field_colour(form, column: int) -> str:
    if not isinstance(form, FloatFormat):
        return GREEN
    if column < form.signed:
        return VERMILION
    return BLUE if column < form.signed + form.exponent_bits else SKY


def _square(x: float, y: float, colour: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 0.92, 0.8, facecolor=colour, edgecolor="white")


def range_and_precision(names: list[str], title: str) -> Figure:
    """A bar from the smallest to the largest positive number of each format; the label says how fine it is.

    Pale: subnormal numbers, which lose digits. Integers reach from 1 to their maximum.
    """
    figure, axes = new_figure(title, height=0.9 + 0.4 * len(names))
    for row, name in enumerate(reversed(names)):
        form = FORMATS[name]
        is_float = isinstance(form, FloatFormat)
        low, normal, high = np.log10([form.smallest_subnormal, form.smallest_normal, form.max])
        axes.barh(row, normal - low, left=low, color="#BBD7EA", height=0.6)
        axes.barh(row, high - normal, left=normal, color=BLUE if is_float else GREEN, height=0.6)
        if is_float:
            digits = (form.fraction_bits + 1) * np.log10(2)
            label = f"{digits:.1f} digits ({form.fraction_bits} bits of fraction)"
        else:
            label = f"whole numbers {form.min} to {form.max}".replace("-", "−")
        axes.text(high + 1, row, label, va="center", fontsize=8.5)
    axes.set_yticks(range(len(names)), [FORMATS[name].title for name in reversed(names)])
    axes.set_xticks(range(-45, 46, 15), [f"$10^{{{power}}}$" for power in range(-45, 46, 15)])
    axes.set(xlim=(-47, 78), xlabel="positive numbers that can be stored (pale: with fewer digits)")
    return figure


def spacing(names: list[str], title: str) -> Figure:
    """Distance between neighbouring numbers against their size, a line for each format."""
    figure, axes = new_figure(title, height=3.6)
    x = np.geomspace(1e-7, 1e7, 2000).astype(np.float32)
    for name, colour in zip(names, KINDS, strict=False):
        form = FORMATS[name]
        inside = x <= form.max
        gaps = form.spacing(x[inside])
        axes.plot(x[inside], gaps, color=colour, linewidth=1.8, label=form.title)
    axes.legend(frameon=False, fontsize=9, ncols=2)
    axes.set(xscale="log", yscale="log", xlabel="size of the number", ylabel="distance to the next one")
    return figure


def all_values(names: list[str], limit: float, title: str) -> Figure:
    """A stroke for every number of each format between −limit and limit."""
    figure, axes = new_figure(title, height=0.9 + 0.5 * len(names))
    for row, (name, colour) in enumerate(zip(reversed(names), KINDS, strict=False)):
        values = FORMATS[name].values()
        values = np.unique(values[np.isfinite(values) & (np.abs(values) <= limit)])
        axes.vlines(values, row - 0.32, row + 0.32, color=colour, linewidth=1.2)
    axes.set_yticks(range(len(names)), [FORMATS[name].title for name in reversed(names)])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("value")
    return figure


def gradient_sizes(magnitudes: np.ndarray, smallest: float, normal: float, title: str) -> Figure:
    """Histogram of gradient magnitudes on a logarithmic axis, with FP16's smallest numbers marked."""
    figure, axes = new_figure(title)
    powers = np.log10(magnitudes[magnitudes > 0])
    edges = np.linspace(np.floor(powers.min()), np.ceil(max(powers.max(), np.log10(normal))), 61)
    axes.hist(powers[powers < np.log10(smallest / 2)], bins=edges, color=VERMILION, label="become 0 in FP16")
    axes.hist(powers[powers >= np.log10(smallest / 2)], bins=edges, color=BLUE, label="survive")
    axes.axvline(np.log10(smallest), color="black", linestyle="--", linewidth=1, label="smallest number of FP16")
    axes.axvline(np.log10(normal), color=GREY, linestyle=":", label="below this line digits are lost")
    ticks = axes.get_xticks()
    axes.set_xticks(ticks, [f"$10^{{{tick:g}}}$" for tick in ticks])
    axes.set(xlim=(edges[0], edges[-1]), xlabel="magnitude of a gradient", ylabel="gradients")
    axes.legend(frameon=False, fontsize=8.5)
    return figure


def training_curves(losses: dict[str, np.ndarray], title: str) -> Figure:
    """Training loss against steps on a logarithmic axis, a line for each way of training."""
    figure, axes = new_figure(title, height=3.4)
    styles = ("-", "-", "--", ":")
    for (name, loss), colour, style in zip(losses.items(), KINDS, styles, strict=False):
        axes.plot(loss, color=colour, linestyle=style, linewidth=2, label=name)
    axes.set(yscale="log", xlabel="training step", ylabel="loss")
    axes.legend(frameon=False)
    return figure


def gpu_support(generations: dict[str, set[str]], formats: list[str], title: str) -> Figure:
    """A table as a picture: which generation of GPUs multiplies matrices in which format."""
    figure, axes = new_figure(title, height=0.9 + 0.36 * len(generations))
    for row, (name, supported) in enumerate(generations.items()):
        for column, kind in enumerate(formats):
            has = kind in supported
            axes.add_patch(_square(column, -row, BLUE if has else "#E8E8E8"))
            axes.text(
                column + 0.46, -row + 0.4, "yes" if has else "no", ha="center", va="center",
                color="white" if has else GREY, fontsize=9,
            )  # fmt: skip
        axes.text(-0.1, -row + 0.4, name, ha="right", va="center", fontsize=9)
    for column, kind in enumerate(formats):
        axes.text(column + 0.46, 1.0, kind, ha="center", fontsize=9)
    axes.set(xlim=(-3.2, len(formats)), ylim=(-len(generations) + 0.9, 1.6))
    axes.axis("off")
    return figure
