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
    """Relative error against bits per weight, a mark for each family; beside it the crowd that shares its bits.

    Left, a dashed line halves the error for each bit. Right, the formats with the bits that most of them have.
    """
    figure, (axes, crowd) = new_figure(title, height=4.2, columns=2, width_ratios=[3, 1.3])
    bits, errors = (np.array(column) for column in zip(*points.values(), strict=True))
    anchor = np.exp(np.mean(np.log(errors) + bits * np.log(2)))
    x = np.linspace(bits.min() - 0.2, bits.max() + 0.2, 50)
    axes.plot(x, anchor * 2.0**-x, color=GREY, linestyle="--", linewidth=1, label="half the error for each bit")
    shared = max(bits, key=lambda b: np.sum(bits == b))
    alike = sorted((name for name in points if points[name][0] == shared), key=lambda name: points[name][1])
    for family, (mark, look) in _FAMILIES.items():
        axes.plot([], [], mark, color="none", markeredgecolor="black", markersize=8, label=look)
        for name in (name for name in points if _family(name) == family):
            style = {"color": TYPE_COLOURS.get(name, PURPLE), "markersize": 9, "markeredgecolor": "black"}
            axes.plot(*points[name], mark, **style)
            if name in alike:
                crowd.plot(alike.index(name), 100 * points[name][1], mark, **style)
                write_beside(
                    crowd, f"{points[name][1]:.1%}", (alike.index(name), 100 * points[name][1]), (0, 8), ha="center"
                )
            else:
                left = name in ("Q5_K", "MXFP4")
                place = (-9 if left else 9, 4 if name == "Q5_0" else -3)  # Q5_1 lies beside it
                write_beside(axes, name, points[name], place, ha="right" if left else "left")
    axes.set(yscale="log", xlabel="bits per weight, scales included", ylabel="error ÷ weight (root mean square)")
    axes.legend(frameon=False, loc="lower left", fontsize=8.5)
    crowd.set_xticks(range(len(alike)), alike, rotation=45, ha="right", fontsize=9)
    crowd.set(ylabel="error (%)", xlim=(-0.6, len(alike) - 0.4))
    crowd.margins(y=0.25)
    crowd.set_title(f"those with {shared:g} bits", loc="left", fontsize=9)
    return figure


_FAMILIES = {
    "plain": ("o", "a scale (and a minimum) for 32 weights"),
    "K": ("s", "K: scales of scales, searched for"),
    "codebook": ("D", "a codebook"),
}


def _family(name: str) -> str:
    return "K" if name.endswith("_K") else "codebook" if name in ("NF4", "IQ4_NL", "MXFP4") else "plain"


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


def _ink(colour: tuple) -> str:
    """Return black or white, whichever can be read on a colour."""
    return "white" if sum(colour[:3]) < 1.6 else "black"


def patterns(grid: np.ndarray, title: str) -> Figure:
    """A codebook of patterns as a picture: grid (patterns, 8), the patterns side by side, sorted by their sum."""
    figure, axes = new_figure(title, height=2.5)
    ordered = grid[np.argsort(grid.sum(axis=1), kind="stable")]
    axes.imshow(ordered.T, aspect="auto", cmap="Blues", interpolation="nearest", vmin=0)
    axes.set(xlabel=f"{len(grid)} patterns, sorted by their sum", ylabel="weight", yticks=range(8))
    for value, place in zip(np.unique(grid), (0.72, 0.82, 0.92), strict=True):
        colour = axes.images[0].cmap(axes.images[0].norm(value))
        look = {"facecolor": colour, "edgecolor": GREY, "pad": 2}
        axes.text(place, -0.22, f" {value:g} ", transform=axes.transAxes, fontsize=9, bbox=look, color=_ink(colour))
    return figure
