"""The figures of Part II, the main job. Each function takes data and returns a detached Figure.

Titles state the finding; the caller passes them, because the finding depends on the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.artifacts import size_text
from helpers.figures.charts import draw_bars, draw_stacks
from helpers.figures.style import (
    BLUE,
    GREY,
    KINDS,
    SKY,
    TYPE_COLOURS,
    VERMILION,
    new_figure,
    plain_log_ticks,
    title_over_all,
    write_beside,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from helpers.pipeline.gguf_file import Summary


WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack")


def file_sizes(sizes: dict[str, int], title: str) -> Figure:
    """Two strips of bytes: all files in proportion, and below what is not weights, enlarged to the same length."""
    figure, (all_of_it, rest) = new_figure(title, height=2.6, rows=2)
    weights = {name: size for name, size in sizes.items() if name.endswith(WEIGHTS)}
    others = {name: size for name, size in sizes.items() if name not in weights}
    small = sum(others.values())
    _strip(all_of_it, weights | ({"everything else": small} if others else {}), set(weights))
    _strip(rest, dict(sorted(others.items(), key=lambda item: -item[1])), set())
    if others:
        rest.set_xlabel(f"everything else, {small / sum(sizes.values()):.1%} of the bytes, enlarged", loc="left")
    return figure


def _strip(axes, sizes: dict[str, int], weights: set[str]) -> None:
    """Draw sizes as parts of one strip, labelled where there is room."""
    start, total = 0, sum(sizes.values())
    for number, (name, size) in enumerate(sizes.items()):
        colour = VERMILION if name in weights else KINDS[number % 2 * 5]
        axes.barh(0, size, left=start, color=colour, edgecolor="white", linewidth=0.5)
        if size > total * 0.12:
            label = f"{name}\n{size:,} bytes" if size < 1000 else f"{name}\n{size_text(size)}"
            axes.text(start + size / 2, 0, label, ha="center", va="center", fontsize=9, color="white")
        start += size
    axes.set(xlim=(0, max(1, total)), yticks=[], xticks=[])
    for side in axes.spines.values():
        side.set_visible(False)


def parameter_shares(counts: dict[str, int], title: str) -> Figure:
    """Bars of the number of parameters in millions for each part of the model, with its share."""
    figure, axes = new_figure(title, height=0.9 + 0.36 * len(counts))
    millions = {name: count / 1e6 for name, count in counts.items()}
    total = sum(millions.values())
    draw_bars(axes, millions)
    for row, value in enumerate(reversed(millions.values())):
        axes.text(value + total * 0.008, row, f"{value:,.1f} M, {value / total:.1%}", va="center", fontsize=9)
    axes.set(xlim=(0, max(millions.values()) * 1.3), xlabel="parameters (millions)")
    return figure


def rounding_errors(errors: np.ndarray, bound: float, title: str) -> Figure:
    """Histogram of rounding errors measured in steps, with half a step and the true bound marked."""
    figure, axes = new_figure(title)
    axes.hist(errors, bins=np.linspace(-0.6, 0.6, 121), color=SKY)
    for sign in (-1, 1):
        axes.axvline(sign * 0.5, color=BLUE, label="half a step" if sign > 0 else None)
        axes.axvline(sign * bound, color=VERMILION, linestyle="--", label=f"{bound:.3f} steps" if sign > 0 else None)
    axes.set(xlabel="error (steps of the block's scale)", ylabel="weights")
    axes.legend(frameon=False, loc="upper right")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    return figure


def type_sizes(files: Sequence[Summary], title: str) -> Figure:
    """Stacked bars: how many MB of each file are stored in which type, with bits per weight at the end."""
    figure, axes = new_figure(title, height=1.3 + 0.36 * len(files))
    unit, name = (1e9, "GB") if files[0].tensor_bytes > 2e9 else (1e6, "MB")
    rows = {
        file.file_type: {kind: sum(t.n_bytes for t in file.tensors if t.type == kind) / unit for kind in file.types}
        for file in files
    }
    draw_stacks(axes, rows, TYPE_COLOURS, loc="lower right", fontsize=8, title="stored as")
    for row, file in enumerate(reversed(files)):
        size = file.tensor_bytes / unit
        text = f" {size:,.3g} {name}, {file.bits_per_weight:.2f} bits per weight"
        axes.text(size * 1.01, row, text, va="center", fontsize=9)
    axes.set(xlim=(0, max(file.tensor_bytes for file in files) / unit * 1.42), xlabel=f"size of the weights ({name})")
    return figure


def next_tokens(answers: dict[str, Sequence[tuple[str, float]]], title: str) -> Figure:
    """Beside each other: what each file finds likeliest next, a bar for each token; `answers` maps a file to them."""
    most = max(len(tokens) for tokens in answers.values())
    figure, panels = new_figure(title, height=1.1 + 0.3 * most, columns=len(answers), sharex=True, squeeze=False)
    for axes, (name, tokens) in zip(panels[0], answers.items(), strict=True):
        rows = range(len(tokens))[::-1]
        axes.barh(rows, [100 * share for _, share in tokens], color=[BLUE, *[SKY] * (len(tokens) - 1)])
        shown = [token.replace(" ", "␣").replace("\n", "↵").replace("$", r"\$") or "(end)" for token, _ in tokens]
        axes.set_yticks(rows, [text if len(text) <= 12 else f"{text[:11]}…" for text in shown])
        axes.set(xlim=(0, 100), ylim=(-0.6, most - 0.4), xlabel="probability (%)")
        axes.text(97, -0.3 if len(tokens) > 1 else 0, name, ha="right", va="bottom", fontweight="bold")
    title_over_all(figure)
    return figure


def roofline(
    points: dict[str, tuple[float, float]],
    bandwidth: float,
    title: str,
    recorded: tuple[str, dict[str, tuple[float, float]], float] | None = None,
) -> Figure:
    """Measured tokens per second against gigabytes read for each token, under the line bandwidth ÷ size.

    `points` maps a type to (gigabytes, tokens per second); `bandwidth` is in GB/s. recorded: the name of another
    model, its points, and the bandwidth of the machine on which they were measured.
    """
    figure, axes = new_figure(title, height=3.8)
    drawn = [("measured", points, bandwidth, "-", BLUE)]
    drawn += [(*recorded, "--", "none")] if recorded else []
    sizes = [size for _, found, *_ in drawn for size, _ in found.values()]
    x = np.geomspace(min(sizes) / 1.4, max(sizes) * 1.4, 100)
    for label, found, limit, line, filling in drawn:
        axes.plot(x, limit / x, line, color=VERMILION, label=f"{limit:.0f} GB/s ÷ size: no faster")
        axes.scatter(*zip(*found.values(), strict=True), facecolors=filling, edgecolors=BLUE, zorder=3, label=label)
        for name, point in found.items():
            write_beside(axes, name, point, (6, -12))
    axes.set(xscale="log", yscale="log", xlabel="weights read for each token (GB)", ylabel="tokens per second")
    for axis in (axes.xaxis, axes.yaxis):
        plain_log_ticks(axis)
    axes.margins(0.12)
    axes.legend(frameon=False, fontsize=9)
    return figure


def cache_growth(tokens: np.ndarray, caches: dict[str, np.ndarray], title: str) -> Figure:
    """Gigabytes of key-value cache against the length of the context, a line for each model."""
    figure, axes = new_figure(title, height=3.4)
    for (name, gigabytes), colour in zip(caches.items(), KINDS, strict=False):
        axes.plot(tokens, gigabytes, color=colour)
        write_beside(axes, name, (tokens[-1], gigabytes[-1]), (4, -3), color=colour)
    axes.set(xlabel="context (tokens)", ylabel="key-value cache in FP16 (GB)")
    axes.set_xlim(0, tokens[-1] * 1.28)
    axes.set_ylim(bottom=0)
    return figure


def agreement(shares: dict[str, tuple[float, float, float]], title: str) -> Figure:
    """Share of positions with the same most likely token; (share, low, high) for each file."""
    figure, axes = new_figure(title, height=1.0 + 0.4 * len(shares))
    draw_bars(axes, {name: np.multiply(share, 100) for name, share in shares.items()}, ecolor=GREY)
    for row, (share, *_) in enumerate(reversed(shares.values())):
        axes.text(1, row, f"{share:.1%}", va="center", color="white", fontweight="bold")
    axes.set(xlim=(0, 102), xlabel="positions with the same next token (%), with 95 % intervals")
    return figure
