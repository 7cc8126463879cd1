"""The figures of notebook 03: what is stored in a block, what a format can express, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.charts import draw_stacks
from helpers.figures.style import BLUE, GREY, ORANGE, PURPLE, SKY, TYPE_COLOURS, VERMILION, new_figure, write_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from helpers.pipeline.gguf_file import Tensor

PARTS = {"codes": BLUE, "high bits": SKY, "scales": VERMILION, "minima": ORANGE, "scale of scales": PURPLE}


def block_bytes(data: np.ndarray, labels: list[str], parts: list[str], title: str) -> Figure:
    """Draw the bytes of one block as squares in file order: value in hex, what it belongs to, its label."""
    from matplotlib.patches import Rectangle

    per_row = 9
    rows = -(-len(data) // per_row)
    figure, axes = new_figure(title, height=0.9 + 0.75 * rows)
    for i, (byte, label, part) in enumerate(zip(data, labels, parts, strict=True)):
        x, y = i % per_row, -(i // per_row) * 1.25
        axes.add_patch(Rectangle((x, y), 0.94, 1, facecolor=PARTS[part], alpha=0.9, edgecolor="white"))
        ink = "white" if part in ("codes", "scales") else "black"
        axes.text(
            x + 0.47, y + 0.68, f"{byte:02x}", ha="center", va="center", color=ink, fontsize=11, family="monospace"
        )
        axes.text(x + 0.47, y + 0.25, label, ha="center", va="center", color=ink, fontsize=8)
    axes.set(xlim=(-0.05, per_row), ylim=(-(rows - 1) * 1.25 - 0.1, 1.1))
    axes.axis("off")
    return figure


def bit_budget(budgets: dict[str, dict[str, float]], title: str) -> Figure:
    """Stacked bars: of the bits per weight of each type, how many are codes and how many are scales."""
    figure, axes = new_figure(title, height=1.2 + 0.34 * len(budgets))
    draw_stacks(axes, budgets, PARTS, fontsize=8.5)
    sums = [sum(budget.values()) for budget in budgets.values()]
    for row, bits in enumerate(reversed(sums)):
        axes.text(bits + 0.06, row, f"{bits:.4g}", va="center", fontsize=9)
    axes.set(xlim=(0, max(sums) * 1.12), xlabel="bits per weight")
    return figure


def codebooks(values: dict[str, np.ndarray], seen: np.ndarray, title: str) -> Figure:
    """A stroke for each value of each 4-bit codebook, scaled to a largest magnitude of 1.

    seen: weights divided by the largest of their block; their histogram is the shaded background.
    """
    figure, axes = new_figure(title, height=1.2 + 0.5 * len(values))
    counts, edges = np.histogram(seen, bins=61, range=(-1, 1))
    heights = counts / counts.max() * (len(values) - 0.1)
    axes.bar(edges[:-1], heights, width=np.diff(edges), bottom=-0.6, align="edge", color="#DDEBF4", zorder=0)
    for row, (_, numbers) in enumerate(reversed(values.items())):
        axes.vlines(numbers / np.abs(numbers).max(), row - 0.32, row + 0.32, color=BLUE, linewidth=2)
    axes.set_yticks(range(len(values)), list(values)[::-1])
    axes.tick_params(axis="y", length=0)
    label = "value ÷ largest magnitude (shaded: the layer's weights ÷ the largest of their block)"
    axes.set(ylim=(-0.6, len(values) - 0.4), xlabel=label)
    return figure


def scale_search(trials: np.ndarray, fitted: np.ndarray, plain: float, title: str) -> Figure:
    """Weighted error of one sub-block for each trial of the search, relative to the plain min–max scale."""
    figure, axes = new_figure(title)
    axes.plot(trials, fitted / plain, "o-", color=BLUE, label="trial scale, then the best fit")
    axes.axhline(1, color=VERMILION, linestyle="--", label="smallest to largest, no search")
    best = int(np.argmin(fitted))
    axes.plot(trials[best], fitted[best] / plain, "o", color=VERMILION, markersize=9, label="taken")
    axes.set(xlabel="trial: the range is spread over 15 + this many steps", ylabel="weighted squared error")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    return figure


def error_against_bits(points: dict[str, tuple[float, float]], title: str) -> Figure:
    """Relative error against bits per weight, a labelled dot for each format; the line halves for each bit."""
    figure, axes = new_figure(title, height=4.2)
    bits = np.array([b for b, _ in points.values()])
    errors = np.array([e for _, e in points.values()])
    anchor = np.exp(np.mean(np.log(errors) + bits * np.log(2)))
    x = np.linspace(bits.min() - 0.2, bits.max() + 0.2, 50)
    axes.plot(x, anchor * 2.0**-x, color=GREY, linestyle="--", linewidth=1, label="half the error for each bit")
    for name, (b, e) in points.items():
        axes.plot(b, e, "o", color=TYPE_COLOURS.get(name, PURPLE), markersize=8, markeredgecolor="black")
        x, y = _NUDGES.get(name, (8, -3))
        write_beside(axes, name, (b, e), (x, y), ha="right" if x < 0 else "left")
    axes.set(yscale="log", xlabel="bits per weight, scales included", ylabel="error ÷ weight (root mean square)")
    axes.legend(frameon=False, loc="lower left")
    return figure


# Where formats share their bits, labels would cover each other: points to the right and up.
_NUDGES = {
    "NF4": (-8, 1),
    "Q4_K": (-8, -9),
    "Q4_0": (8, 3),
    "IQ4_NL": (8, -12),
    "Q4_1": (8, -1),
    "Q5_K": (-8, -6),
    "MXFP4": (8, 2),
}


def type_map(tensors: list[Tensor], layers: int, title: str) -> Figure:
    """A square for each matrix: layers from left to right, kinds of matrices from top to bottom."""
    from matplotlib.patches import Patch, Rectangle

    kinds = list(
        dict.fromkeys(t.name.split(".")[2] for t in tensors if t.name.startswith("blk.") and len(t.shape) == 2)
    )
    outside = [t for t in tensors if not t.name.startswith("blk.") and len(t.shape) == 2]
    figure, axes = new_figure(title, height=1.4 + 0.32 * (len(kinds) + len(outside)))
    rows = {kind: -row for row, kind in enumerate(kinds)} | {
        t.name.split(".")[0]: -len(kinds) - row for row, t in enumerate(outside)
    }
    seen = []
    for tensor in tensors:
        if len(tensor.shape) != 2:
            continue
        parts = tensor.name.split(".")
        inside = parts[0] == "blk"
        x, y, width = (int(parts[1]), rows[parts[2]], 0.92) if inside else (0, rows[parts[0]], layers - 0.08)
        axes.add_patch(Rectangle((x, y), width, 0.86, facecolor=TYPE_COLOURS.get(tensor.type, GREY)))
        seen.append(tensor.type)
    axes.set_yticks([y + 0.43 for y in rows.values()], list(rows))
    axes.set_xticks(np.arange(0, layers, max(1, layers // 11)) + 0.46, range(0, layers, max(1, layers // 11)))
    axes.tick_params(length=0)
    axes.set(xlim=(-0.1, layers), ylim=(min(rows.values()) - 0.1, 1), xlabel="layer")
    kinds_seen = [kind for kind in TYPE_COLOURS if kind in seen]
    axes.legend(
        [Patch(color=TYPE_COLOURS[kind]) for kind in kinds_seen], kinds_seen, frameon=False, ncols=4,
        loc="upper center", bbox_to_anchor=(0.5, -0.2),
    )  # fmt: skip
    return figure
