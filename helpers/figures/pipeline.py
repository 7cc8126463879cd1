"""The figures of Part II, the main job. Each function takes data and returns a detached Figure.

Titles state the finding; the caller passes them, because the finding depends on the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, TYPE_COLOURS, VERMILION
from helpers.figures.style import figure as new_figure
from helpers.figures.style import title as write_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from helpers.pipeline.gguf_file import Summary


def file_sizes(sizes: dict[str, int], title: str) -> Figure:
    """Bars of file sizes in bytes on a logarithmic axis, the largest on top."""
    figure, axes = new_figure(height=0.9 + 0.34 * len(sizes))
    names = sorted(sizes, key=lambda name: sizes[name])
    values = [sizes[name] for name in names]
    axes.barh(names, values, color=[VERMILION if n.endswith(".safetensors") else BLUE for n in names])
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3, max(values) * 30)
    for row, value in enumerate(values):
        axes.text(value * 1.2, row, _bytes(value), va="center", fontsize=9)
    axes.set_xlabel("bytes (each step is ten times as many)")
    write_title(axes, title)
    return figure


def parameter_shares(counts: dict[str, int], title: str) -> Figure:
    """Bars of the number of parameters in millions for each part of the model, with its share."""
    figure, axes = new_figure(height=0.9 + 0.36 * len(counts))
    names = list(counts)[::-1]
    values = np.array([counts[name] for name in names]) / 1e6
    axes.barh(names, values, color=BLUE)
    total = values.sum()
    for row, value in enumerate(values):
        axes.text(value + total * 0.008, row, f"{value:,.1f} M, {value / total:.1%}", va="center", fontsize=9)
    axes.set_xlim(0, max(values) * 1.3)
    axes.set_xlabel("parameters (millions)")
    write_title(axes, title)
    return figure


def rounding_errors(errors: np.ndarray, bound: float, title: str) -> Figure:
    """Histogram of rounding errors measured in steps, with half a step and the true bound marked."""
    figure, axes = new_figure()
    axes.hist(errors, bins=np.linspace(-0.6, 0.6, 121), color=SKY)
    for sign in (-1, 1):
        axes.axvline(sign * 0.5, color=BLUE, label="half a step" if sign > 0 else None)
        axes.axvline(sign * bound, color=VERMILION, linestyle="--", label=f"{bound:.3f} steps" if sign > 0 else None)
    axes.set_xlabel("error (steps of the block's scale)")
    axes.set_ylabel("weights")
    axes.legend(frameon=False, loc="upper right")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    write_title(axes, title)
    return figure


def type_sizes(files: Sequence[Summary], title: str) -> Figure:
    """Stacked bars: how many MB of each file are stored in which type, with bits per weight at the end."""
    figure, axes = new_figure(height=1.3 + 0.36 * len(files))
    seen: dict[str, object] = {}
    unit, name = (1e9, "GB") if files[0].tensor_bytes > 2e9 else (1e6, "MB")
    for row, file in enumerate(reversed(files)):
        left = 0.0
        for kind in sorted(file.types, key=lambda k: list(TYPE_COLOURS).index(k) if k in TYPE_COLOURS else 99):
            width = sum(t.n_bytes for t in file.tensors if t.type == kind) / unit
            bar = axes.barh(row, width, left=left, color=TYPE_COLOURS.get(kind, GREY))
            seen.setdefault(kind, bar)
            left += width
        axes.text(
            left * 1.01,
            row,
            f" {left:,.3g} {name}, {file.bits_per_weight:.2f} bits per weight",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(files)), [file.path.stem.split("-", 1)[1] for file in reversed(files)])
    axes.set_xlim(0, max(file.tensor_bytes for file in files) / unit * 1.42)
    axes.set_xlabel(f"size of the weights ({name})")
    kinds = [kind for kind in TYPE_COLOURS if kind in seen] + [kind for kind in seen if kind not in TYPE_COLOURS]
    handles = [seen[kind] for kind in kinds]
    axes.legend(handles, kinds, frameon=False, loc="lower right", fontsize=8, title="stored as")
    write_title(axes, title)
    return figure


def roofline(points: dict[str, tuple[float, float]], bandwidth: float, title: str) -> Figure:
    """Measured tokens per second against gigabytes read for each token, under the line bandwidth ÷ size.

    `points` maps a type to (gigabytes, tokens per second); `bandwidth` is in GB/s.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, axes = new_figure(height=3.6)
    sizes = np.array([size for size, _ in points.values()])
    x = np.geomspace(sizes.min() / 1.4, sizes.max() * 1.4, 100)
    axes.plot(x, bandwidth / x, color=VERMILION, label=f"{bandwidth:.0f} GB/s ÷ size: no faster")
    axes.scatter(sizes, [speed for _, speed in points.values()], color=BLUE, zorder=3, label="measured")
    for name, (size, speed) in points.items():
        axes.annotate(name, (size, speed), xytext=(6, -12), textcoords="offset points", fontsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.margins(0.12)
    axes.set_xlabel("weights read for each token (GB)")
    axes.set_ylabel("tokens per second")
    axes.legend(frameon=False)
    write_title(axes, title)
    return figure


def cache_growth(tokens: np.ndarray, caches: dict[str, np.ndarray], title: str) -> Figure:
    """Gigabytes of key-value cache against the length of the context, a line for each model."""
    figure, axes = new_figure(height=3.4)
    for (name, gigabytes), colour in zip(caches.items(), (BLUE, ORANGE, GREEN, PURPLE), strict=False):
        axes.plot(tokens, gigabytes, color=colour)
        axes.annotate(
            name, (tokens[-1], gigabytes[-1]), xytext=(4, -3), textcoords="offset points", color=colour, fontsize=9
        )
    axes.set_xlabel("context (tokens)")
    axes.set_ylabel("key-value cache in FP16 (GB)")
    axes.set_xlim(0, tokens[-1] * 1.28)
    axes.set_ylim(bottom=0)
    write_title(axes, title)
    return figure


def agreement(shares: dict[str, tuple[float, float, float]], title: str) -> Figure:
    """Share of positions with the same most likely token; (share, low, high) for each file."""
    figure, axes = new_figure(height=1.0 + 0.4 * len(shares))
    names = list(shares)[::-1]
    values = np.array([shares[name] for name in names])
    errors = np.abs(values[:, 1:].T - values[:, 0])
    axes.barh(names, values[:, 0] * 100, xerr=errors * 100, color=BLUE, ecolor=GREY, capsize=3)
    for row, value in enumerate(values[:, 0]):
        axes.text(1, row, f"{value:.1%}", va="center", color="white", fontweight="bold")
    axes.set_xlim(0, 102)
    axes.set_xlabel("positions with the same next token (%), with 95 % intervals")
    write_title(axes, title)
    return figure


def _bytes(value: float) -> str:
    from helpers.artifacts import size_text

    return f"{value:,} bytes" if value < 1000 else size_text(value)
