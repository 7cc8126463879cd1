"""The figures of notebooks 09 and 10 are tested by their data."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from helpers.figures import methods as figures
from helpers.figures.style import LINES


def points(axes):
    """(x, y, marker) of every dot with a whisker."""
    dots = [container.lines[0] for container in axes.containers]
    return [(float(dot.get_xdata()[0]), float(np.ravel(dot.get_ydata())[0]), dot.get_marker()) for dot in dots]


def test_ratios_outside_the_limits_become_arrows():
    series = {
        "one": {"a": (0.5, 0.4, 0.6), "b": (3.0, 2.5, 4.0)},
        "two": {"a": (0.001, 0.001, 0.002), "b": (1.0, 0.9, 1.2)},
    }
    left, right = figures.against({"2 bits": series, "3 bits": series}, "x", "title", (0.02, 2.0)).axes
    found = points(left)
    assert [marker for *_, marker in found] == ["o", ">", "<", "o"] and found == points(right)
    assert [x for x, *_ in found] == pytest.approx([0.5, 2.0, 0.02, 1.0])
    assert round(found[0][1]) == round(found[2][1]) == 0 and round(found[1][1]) == 1 and found[0][1] < found[2][1]
    assert left.get_xlabel() == "2 bits" and left.get_ylim()[0] > left.get_ylim()[1], "the first row on top"
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["one", "two"]


def test_side_by_side():
    panels = {
        "loss": {"a": (1.0, 0.9, 1.1), "b": (2.0, 2.0, 2.0)},
        "added": {"b": (0.2, 0.1, 0.4), "a": (0.1, 0.05, 0.2)},
    }
    left, right = figures.side_by_side(panels, "title", log=("added",)).axes
    assert left.containers[0].lines[0].get_xdata().tolist() == [1.0, 2.0]
    assert right.containers[0].lines[0].get_xdata().tolist() == [0.1, 0.2], "in the order of the first panel"
    assert (left.get_xscale(), right.get_xscale()) == ("linear", "log")
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b"]
    (whisker,) = right.containers[0].lines[2]
    assert np.allclose(whisker.get_segments()[0][:, 0], [0.05, 0.2])


def test_small_multiples():
    x = np.array([1.0, 10.0])
    lines = {"s": (x, x / 2, x * 2), "t": (2 * x, x, 3 * x)}
    axes = figures.small_multiples(x, {"2 bits": lines, "3 bits": {"t": lines["t"]}}, ("x", "y"), "title").axes
    assert [line.get_ydata().tolist() for line in axes[0].lines] == [[1, 10], [2, 20]]
    assert to_hex(axes[1].lines[0].get_color()) == LINES[1].lower(), "a line has one colour in all panels"
    assert {ax.get_yscale() for ax in axes} == {"log"} and axes[0].get_ylabel() == "y"


def test_by_size():
    lines = {"s": {"2": (10.0, 2.0, 1.5, 3.0), "16": (80.0, 1.0, 1.0, 1.0)}, "t": {"16": (200.0, 0.5, 0.4, 0.6)}}
    (axes,) = figures.by_size(lines, ("KB", "nats"), "title").axes
    assert [container.get_label() for container in axes.containers] == ["s", "t"]
    line, _, (whiskers,) = axes.containers[0]
    assert line.get_xdata().tolist() == [10, 80] and line.get_ydata().tolist() == [2, 1]
    assert [segment[:, 1].tolist() for segment in whiskers.get_segments()] == [[1.5, 3.0], [1.0, 1.0]]
    assert [(text.get_text(), text.xy) for text in axes.texts] == [("2", (10, 2)), ("16", (80, 1)), ("16", (200, 0.5))]
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "KB"


def test_panels_of_one_scale_and_rows_without_a_value():
    nothing = (np.nan, np.nan, np.nan)
    panels = {"small": {"a": (1.0, 0.5, 2.0), "b": nothing}, "large": {"a": (9.0, 9.0, 9.0), "b": (8.0, 7.0, 9.5)}}
    small, large = figures.side_by_side(panels, "title", same_scale=True).axes
    assert small.get_xlim() == large.get_xlim() and small.get_xlim()[0] == 0 and small.get_xlim()[1] > 9.5
    assert np.isnan(small.containers[0][0].get_xdata()[1])
    small, large = figures.side_by_side(panels, "title").axes
    assert small.get_xlim()[1] < large.get_xlim()[1]
    (axes,) = figures.side_by_side({"saved": {"a": (1.0, -0.5, 2.0)}}, "title").axes
    assert axes.get_xlim()[0] < -0.5 and axes.lines[-1].get_xdata() == [0, 0]
