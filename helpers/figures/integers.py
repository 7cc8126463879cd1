"""The figures of notebook 02: what quantization to integers does to numbers, layers and matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.style import BLUE, GREY, LINES, SKY, VERMILION, new_figure, plain_log_ticks
from helpers.numbers.integers import Quantized

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def staircase(x: np.ndarray, approximation: np.ndarray, scale: float, title: str) -> Figure:
    """Above: the value read back against the value stored. Below: their difference, between ± half a step."""
    figure, (above, below) = new_figure(title, height=4.6, rows=2, sharex=True, height_ratios=(2, 1))
    above.plot(x, x, color=GREY, linewidth=1, label="no quantization")
    above.plot(x, approximation, color=BLUE, linewidth=2, label="quantized")
    above.set_ylabel("value read back")
    above.legend(frameon=False)
    below.plot(x, approximation - x, color=VERMILION, linewidth=1.2)
    for sign in (-1, 1):
        below.axhline(sign * scale / 2, color="black", linestyle="--", linewidth=1)
    below.text(x[0], scale / 2 * 1.15, "half a step", fontsize=8.5)
    below.set(ylim=(-scale * 0.95, scale * 0.95), xlabel="value stored", ylabel="error")
    return figure


def two_lines(x: np.ndarray, quantized: Quantized, title: str) -> Figure:
    """The line of real numbers above, the line of codes below, and where each number goes. Zero is thick."""
    figure, axes = new_figure(title, height=3.0)
    low, high = quantized.low, quantized.high
    scale, zero = float(quantized.scale.item()), int(quantized.zero.item())
    reals = (np.array([low, high]) - zero) * scale  # what the first and the last code stand for

    def place(code) -> np.ndarray:
        return (np.asarray(code, float) - low) / (high - low)

    for y in (0, 1):
        axes.plot([0, 1], [y, y], color="black", linewidth=1.2)
    for value, code in dict(zip(np.ravel(x).tolist(), np.ravel(quantized.codes).tolist(), strict=True)).items():
        start = (value - reals[0]) / (reals[1] - reals[0])
        axes.annotate(
            "", (place(code), 0.03), (start, 0.97), arrowprops={"arrowstyle": "->", "color": BLUE, "alpha": 0.8}
        )
        axes.text(start, 1.12, f"{value:g}", ha="center", va="bottom", fontsize=8, rotation=60)
        axes.text(place(code), -0.12, f"{code}", ha="center", va="top", fontsize=8, rotation=60)
    axes.plot([place(zero)] * 2, [0, 1], color=VERMILION, linewidth=2.5, alpha=0.6)
    axes.text(place(zero), 0.5, f" 0 ↔ {zero}", color=VERMILION, fontsize=10, fontweight="bold")
    for y, ends in ((1, reals), (0, (low, high))):
        axes.text(-0.02, y, f"{ends[0]:.4g}", ha="right", va="center", fontsize=9)
        axes.text(1.02, y, f"{ends[1]:.4g}", ha="left", va="center", fontsize=9)
    axes.text(-0.2, 1, "reals", ha="right", va="center", fontsize=10, color=GREY)
    axes.text(-0.2, 0, "codes", ha="right", va="center", fontsize=10, color=GREY)
    axes.set(xlim=(-0.32, 1.16), ylim=(-0.55, 1.6))
    axes.axis("off")
    return figure


def error_against_value(x: np.ndarray, error: np.ndarray, scale: float, title: str) -> Figure:
    """A dot for each weight: its rounding error against its value."""
    figure, axes = new_figure(title)
    axes.plot(np.ravel(x), np.ravel(error), ".", markersize=1.5, color=BLUE, alpha=0.35, rasterized=True)
    for sign in (-1, 1):
        axes.axhline(sign * scale / 2, color=VERMILION, linestyle="--", linewidth=1.2)
    axes.text(np.min(x), scale / 2 * 1.12, "half a step", color=VERMILION, fontsize=9)
    axes.set(ylim=(-scale * 0.8, scale * 0.8), xlabel="weight", ylabel="error after quantization")
    return figure


def before_and_after(x: np.ndarray, approximation: np.ndarray, title: str) -> Figure:
    """Histogram of a layer's weights before quantization, and of the few values they have after it."""
    figure, (above, below) = new_figure(title, height=4.2, rows=2, sharex=True)
    above.hist(np.ravel(x), bins=200, color=SKY)
    values, counts = np.unique(approximation, return_counts=True)
    above.set_ylabel("weights before")
    below.bar(values, counts, width=(values[-1] - values[0]) / 250 if len(values) > 1 else 1, color=VERMILION)
    below.set(xlabel="value", ylabel="weights after")
    return figure


def errors(
    x: np.ndarray, lines: dict[str, np.ndarray], labels: tuple[str, str], title: str, minima: bool = False
) -> Figure:
    """Error against something, on logarithmic axes, a line for each case; `minima` marks the lowest points."""
    figure, axes = new_figure(title, height=3.6)
    for (name, y), colour in zip(lines.items(), LINES, strict=False):
        axes.plot(x, y, color=colour, linewidth=2, label=name)
        if minima:
            best = int(np.argmin(y))
            axes.plot(x[best], y[best], "o", color=colour, markersize=8, markeredgecolor="white")
    axes.set(xscale="log", yscale="log", xlabel=labels[0], ylabel=labels[1])
    plain_log_ticks(axes.xaxis)
    axes.legend(frameon=False, fontsize=9)
    return figure


def signal_to_noise(bits: np.ndarray, lines: dict[str, np.ndarray], title: str) -> Figure:
    """Signal-to-noise ratio in dB against bits, with the line of 6.02 dB for each bit."""
    figure, axes = new_figure(title, height=3.6)
    axes.plot(bits, 6.02 * bits, color="black", linestyle="--", linewidth=1.2, label="6.02 dB for each bit")
    for (name, ratios), colour in zip(lines.items(), LINES, strict=False):
        axes.plot(bits, ratios, "o-", color=colour, label=name)
    axes.set(xlabel="bits", ylabel="signal ÷ noise (dB)")
    axes.legend(frameon=False, fontsize=9)
    return figure


def levels(x: np.ndarray, approximation: np.ndarray, title: str) -> Figure:
    """Histogram of weights with a stroke for each value that they can have after quantization."""
    figure, axes = new_figure(title)
    counts, _, _ = axes.hist(np.ravel(x), bins=150, color=SKY)
    values = np.unique(approximation)
    shown = values if len(values) <= 300 else values[:: -(-len(values) // 300)]
    axes.vlines(shown, 0, counts.max() * 0.25, color=VERMILION, linewidth=0.8)
    axes.set(xlabel="weight (strokes: the values that are left)", ylabel="weights")
    return figure
