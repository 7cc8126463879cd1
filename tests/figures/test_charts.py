"""The charts that several rooms share are tested by their data."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.figures import charts, style


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_pareto_front():
    points = {"small": (1, 9), "good": (2, 3), "beaten": (2, 4), "large": (5, 3), "best": (6, 1)}
    assert charts.pareto(points) == ["small", "good", "best"]
    assert charts.pareto({"a": (1, 1), "b": (1, 1)}) == ["a", "b"], "equals do not beat each other"


def test_tradeoff():
    points = {"A": (4.0, 0.1, 0.05, 0.2), "B": (8.0, 0.01, 0.005, 0.02), "C": (9.0, 0.05, 0.04, 0.06)}
    (axes,) = charts.tradeoff(points, ("bits", "KL"), "title").axes
    x, y = axes.lines[0].get_data()
    assert (list(x), list(y)) == ([4, 8], [0.1, 0.01]), "C is beaten"
    segments = [container[2][0].get_segments()[0] for container in axes.containers]
    assert np.allclose([segment[:, 1] for segment in segments], [[0.05, 0.2], [0.005, 0.02], [0.04, 0.06]])
    assert set(texts(axes)) == {"A", "B", "C"} and (axes.get_xlabel(), axes.get_ylabel()) == ("bits", "KL")


def test_shares():
    (axes,) = charts.shares({"A": (0.9, 0.8, 0.95), "B": (0.02, 0.0, 0.05)}, "label", "title").axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2, 90])
    assert texts(axes) == ["2 %", "90 %"]


def test_curves():
    x, line = np.array([1.0, 10.0]), (np.array([1.0, 2.0]), np.array([0.5, 1.5]), np.array([1.5, 2.5]))
    (axes,) = charts.curves(x, {"a": line}, ("x", "y"), "title").axes
    assert axes.lines[0].get_ydata().tolist() == [1, 2]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0.5 and band[:, 1].max() == 2.5 and axes.get_xscale() == "log"


def test_bars():
    (axes,) = charts.bars({"a": 1.0, "b": 3.0}, "unit", "title", {"a": "x", "b": "y"}).axes
    assert [bar.get_width() for bar in axes.patches] == [3, 1]
    assert texts(axes) == [" 3  y", " 1  x"] and axes.get_xlabel() == "unit"


def test_ranges():
    (axes,) = charts.ranges({"top": (2, 1, 3), "bottom": (4, 4, 4)}, "loss", "title", reference=1.5).axes
    assert [bar.get_width() for bar in axes.patches] == [4, 2]
    assert texts(axes) == ["4.00", "2.00"]
    whiskers = axes.collections[0].get_segments()
    assert [segment[:, 0].tolist() for segment in whiskers] == [[4, 4], [1, 3]]
    assert axes.lines[-1].get_xdata()[0] == pytest.approx(1.5)


def test_stacks_lie_end_to_end_in_the_order_of_their_colours():
    _, axes = style.new_figure("title")
    colours = {"codes": style.BLUE, "scales": style.SKY}
    charts.draw_stacks(axes, {"top": {"scales": 1, "codes": 4, "other": 2}, "bottom": {"codes": 3}}, colours)
    placed = [(bar.get_y() + 0.4, bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert placed == pytest.approx(np.array([(0, 0, 3), (1, 0, 4), (1, 4, 1), (1, 5, 2)]))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["codes", "scales", "other"]


def test_a_stored_picture_has_few_bytes_and_the_drawn_colours():
    """256 colours are enough, also for bands that lie over one another."""
    x = np.linspace(0, 1, 40)
    lines = {f"line {i}": (np.sin(x * i), np.sin(x * i) - 0.1, np.sin(x * i) + 0.1) for i in range(1, 6)}
    figure = charts.curves(x, lines, ("x", "y"), "Five lines with bands", log="")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    stored, _ = figure._repr_png_()
    before, after = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int) for data in (drawn.getvalue(), stored)
    )
    assert before.shape == after.shape and np.abs(before - after).max() <= 16
    assert len(stored) < 0.5 * len(drawn.getvalue()) and Image.open(io.BytesIO(stored)).mode == "P"
