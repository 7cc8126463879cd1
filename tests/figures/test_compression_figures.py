"""The figures of Part IV are tested by their data."""

import numpy as np

from helpers.figures import compression as figures


def test_masks():
    w = np.arange(24.0).reshape(4, 6) - 23
    figure = figures.masks(w, {"all": np.ones((4, 6)), "rows": np.eye(4, 1) * np.ones(6) > 0}, "title")
    labels = [ax.get_xlabel() for ax in figure.axes[:2]]
    assert labels == ["all: 6 of 6 in a row", "rows: 0 to 6 of 6 in a row"]
    whole, rows = (np.asarray(ax.images[0].get_array()) for ax in figure.axes[:2])
    assert whole[0, 0] == 1 and whole[-1, -1] == 0.25, "dark where a weight is large, and never white where it stays"
    assert np.array_equal(rows > 0, np.eye(4, 1) * np.ones(6) > 0)
    assert figure._repr_png_()[1]["alt"] == "title"


def test_spectrum_is_the_energy_that_is_left():
    (axes,) = figures.spectrum({"w": np.array([2.0, 1.0, 0.0])}, {"here": 2}, "title").axes
    assert np.allclose(axes.lines[0].get_ydata(), [1, 0.2, 0, 0]) and axes.texts[0].get_text() == " here"


def test_kronecker_shows_the_product():
    a, b = np.array([[1, 2]]), np.array([[3], [4]])
    axes = figures.kronecker(a, b, "title").axes
    assert np.array_equal(axes[2].images[0].get_array(), [[3, 6], [4, 8]])
    assert axes[2].get_xlabel() == "A ⊗ B: 2 × 2"


def test_search():
    (axes,) = figures.search({"up": [3.0, 2.0]}, {"SVD": 2.5}, "title").axes
    assert list(axes.lines[0].get_ydata()) == [3, 2] and axes.lines[1].get_ydata()[0] == 2.5


def test_plane_joins_and_names_what_nothing_beats():
    families = {
        "a": {"small": (1, 9, 8, 10), "beaten": (5, 9, 9, 9)},
        "b": {"best": (4, 2, 2, 2), "near": (4.2, 1.9, 1.9, 1.9)},
    }
    (axes,) = figures.plane(families, ("MB", "loss"), "title").axes
    assert {text.get_text() for text in axes.texts} == {"small", "best"}
    assert [tuple(point) for point in zip(*axes.lines[0].get_data(), strict=True)] == [(1, 9), (4, 2), (4.2, 1.9)]
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"a", "b"}
