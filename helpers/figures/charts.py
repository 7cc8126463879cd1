"""Charts that several rooms share: curves with bands, bars with and without intervals, and what nothing else beats.

The first functions take data and return a Figure, for notebooks; `draw_…` draw on given axes, for the other modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.style import BLUE, GREY, LINES, VERMILION, new_figure, write_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Interval = tuple[float, float, float]  # value, low, high


def curves(
    x: np.ndarray,
    lines: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    labels: tuple[str, str],
    title: str,
    log: str = "xy",
) -> Figure:
    """Lines with bands: each (middle, low, high) against x; `log` names the logarithmic axes."""
    figure, axes = new_figure(title, height=3.6)
    for (name, (middle, low, high)), colour in zip(lines.items(), LINES, strict=False):
        axes.plot(x, middle, "o-", color=colour, label=name, markersize=5)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel=labels[0], ylabel=labels[1], **{f"{axis}scale": "log" for axis in log})
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def bars(values: dict[str, float], label: str, title: str, notes: dict[str, str] | None = None) -> Figure:
    """Horizontal bars, the first on top, with the value and an optional note at the end of each."""
    figure, axes = new_figure(title, height=1.0 + 0.38 * len(values))
    draw_bars(axes, values)
    for row, (name, value) in enumerate(reversed(values.items())):
        note = f"  {notes[name]}" if notes else ""
        axes.text(value, row, f" {value:.3g}{note}", va="center", fontsize=9)
    axes.set(xlim=(0, max(values.values()) * (1.55 if notes else 1.2)), xlabel=label)
    return figure


def ranges(values: dict[str, Interval], label: str, title: str, reference: float | None = None) -> Figure:
    """Horizontal bars with their ranges, of any sign, the first on top; `reference` draws a vertical line."""
    figure, axes = new_figure(title, height=1.0 + 0.36 * len(values))
    draw_bars(axes, values, ecolor="black")
    for row, (value, _, high) in enumerate(reversed(values.values())):
        write_beside(axes, f"{value:.2f}", (max(high, 0), row), (5, 0), va="center")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.12)
    if reference is not None:
        axes.axvline(reference, color=VERMILION, linestyle="--", linewidth=1)
    axes.set_xlabel(label)
    return figure


def shares(values: dict[str, Interval], label: str, title: str) -> Figure:
    """Bars of shares between 0 and 1, in percent, with their intervals, the first on top."""
    figure, axes = new_figure(title, height=1.0 + 0.36 * len(values))
    draw_bars(axes, {name: np.multiply(value, 100) for name, value in values.items()}, ecolor=GREY)
    for row, (share, *_) in enumerate(reversed(values.values())):
        axes.text(1, row, f"{share * 100:.0f} %", va="center", fontsize=9, color="white" if share > 0.12 else "black")
    axes.set(xlim=(0, 104), xlabel=label)
    return figure


def tradeoff(points: dict[str, tuple[float, float, float, float]], labels: tuple[str, str], title: str) -> Figure:
    """A labelled dot for each file: (size, damage, low, high); the line joins those that no other file beats.

    A file is beaten if another is at most as large and does less damage (the Pareto front).
    """
    figure, axes = new_figure(title, height=3.8)
    front = draw_front(axes, points, label="no other file beats these")
    sizes = [x for x, *_ in points.values()]
    near = 0.05 * (max(sizes) - min(sizes))
    for name, (x, y, low, high) in points.items():
        colour = BLUE if name in front else VERMILION
        axes.errorbar(x, y, [[max(0.0, y - low)], [max(0.0, high - y)]], fmt="o", color=colour, capsize=3, zorder=2)
        beside = [b for other, (a, b, *_) in points.items() if other != name and abs(a - x) < near]
        highest = all(y > b for b in beside)  # neighbours get their labels on other sides
        offset, side = ((7, 4), "left") if highest else ((-7, -10), "right")
        write_beside(axes, name, (x, y), offset, ha=side, color=colour)
    axes.margins(x=0.1)
    axes.set(yscale="log", xlabel=labels[0], ylabel=labels[1])
    axes.legend(frameon=False, fontsize=9)
    return figure


def pareto(points: dict[str, tuple[float, ...]]) -> list[str]:
    """Return the names that no other point (x, y, …) beats in x or y without losing in the other."""
    return [
        name
        for name, (x, y, *_) in points.items()
        if not any((a <= x and b < y) or (a < x and b <= y) for other, (a, b, *_) in points.items() if other != name)
    ]


def draw_front(axes, points: dict[str, tuple[float, ...]], **look) -> list[str]:
    """Join the points (x, y, …) that no other beats by a grey line; return their names."""
    front = pareto(points)
    best = sorted(points[name][:2] for name in front)
    axes.plot(*zip(*best, strict=True), color=GREY, linewidth=1, zorder=1, **look)
    return front


def draw_bars(axes, values: dict[str, float] | dict[str, Interval], **look) -> None:
    """Draw horizontal bars, the first on top; (value, low, high) get a whisker from low to high."""
    names = list(values)[::-1]
    value, *ends = np.array([values[name] for name in names], float).reshape(len(names), -1).T
    if ends:
        look |= {"xerr": np.clip([value - ends[0], ends[1] - value], 0, None), "capsize": 3}
    axes.barh(names, value, **{"color": BLUE} | look)


def draw_stacks(axes, rows: dict[str, dict[str, float]], colours: dict[str, str], **legend) -> None:
    """Draw the parts of each row end to end in the order of the colours, the first row on top, and their legend."""
    order = dict.fromkeys((*colours, *(part for parts in rows.values() for part in parts)))
    seen = {}
    for row, parts in enumerate(reversed(rows.values())):
        left = 0.0
        for part in order:
            if part in parts:
                seen[part] = axes.barh(row, parts[part], left=left, color=colours.get(part, GREY))
                left += parts[part]
    axes.set_yticks(range(len(rows)), list(rows)[::-1])
    shown = [part for part in order if part in seen]
    axes.legend([seen[part] for part in shown], shown, frameon=False, **legend)
