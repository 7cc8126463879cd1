"""The figures of Part III are tested by their data."""

import numpy as np
import pytest

from helpers.figures import quality as figures


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_token_losses():
    (axes,) = figures.token_losses(["a", "b\n"], np.array([0.5, 2.5]), "title").axes
    assert [bar.get_height() for bar in axes.patches] == [0.5, 2.5]
    assert axes.lines[0].get_ydata()[0] == 1.5 and axes.get_xticklabels()[1].get_text() == "b⏎"


def test_pareto_front():
    points = {"small": (1, 9), "good": (2, 3), "beaten": (2, 4), "large": (5, 3), "best": (6, 1)}
    assert figures.pareto(points) == ["small", "good", "best"]
    assert figures.pareto({"a": (1, 1), "b": (1, 1)}) == ["a", "b"], "equals do not beat each other"


def test_quality():
    points = {"A": (4.0, 0.1, 0.05, 0.2), "B": (8.0, 0.01, 0.005, 0.02), "C": (9.0, 0.05, 0.04, 0.06)}
    (axes,) = figures.quality(points, ("bits", "KL"), "title").axes
    x, y = axes.lines[0].get_data()
    assert (list(x), list(y)) == ([4, 8], [0.1, 0.01]), "C is beaten"
    segments = [container[2][0].get_segments()[0] for container in axes.containers]
    assert np.allclose([segment[:, 1] for segment in segments], [[0.05, 0.2], [0.005, 0.02], [0.04, 0.06]])
    assert set(texts(axes)) == {"A", "B", "C"} and (axes.get_xlabel(), axes.get_ylabel()) == ("bits", "KL")


def test_shares():
    (axes,) = figures.shares({"A": (0.9, 0.8, 0.95), "B": (0.02, 0.0, 0.05)}, "label", "title").axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2, 90])
    assert texts(axes) == ["2 %", "90 %"]


def test_curves():
    x, line = np.array([1.0, 10.0]), (np.array([1.0, 2.0]), np.array([0.5, 1.5]), np.array([1.5, 2.5]))
    (axes,) = figures.curves(x, {"a": line}, ("x", "y"), "title").axes
    assert axes.lines[0].get_ydata().tolist() == [1, 2]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0.5 and band[:, 1].max() == 2.5 and axes.get_xscale() == "log"
