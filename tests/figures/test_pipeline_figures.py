"""Figures are tested by their data: what is plotted, how it is labelled, that it is shown once."""

import numpy as np
import pytest

from helpers.figures import pipeline as figures
from helpers.figures import style
from helpers.pipeline import convert


def axes_of(figure):
    (axes,) = figure.axes
    return axes


def widths(axes):
    return [patch.get_width() for patch in axes.patches]


def test_file_sizes():
    sizes = {"model.safetensors": 2_200_000_000, "config.json": 600, "tokenizer.json": 1_800_000}
    strip, rest = figures.file_sizes(sizes, "title").axes
    assert widths(strip) == [2_200_000_000, 1_800_600] and widths(rest) == [1_800_000, 600]
    assert strip.get_xscale() == rest.get_xscale() == "linear", "a picture of proportions"
    assert [text.get_text() for text in strip.texts] == ["model.safetensors\n2.20 GB"]
    assert "0.1% of the bytes, enlarged" in rest.get_xlabel()


def test_file_sizes_of_weights_alone():
    strip, rest = figures.file_sizes({"model.gguf": 5}, "title").axes
    assert widths(strip) == [5] and not rest.patches


def test_parameter_shares():
    axes = axes_of(figures.parameter_shares({"a": 3_000_000, "b": 1_000_000}, "title"))
    assert sorted(widths(axes)) == [1, 3]
    assert "75.0%" in axes.texts[1].get_text()


def test_rounding_errors():
    errors = np.linspace(-0.5, 0.5, 1000)
    axes = axes_of(figures.rounding_errors(errors, 0.562, "title"))
    assert sum(patch.get_height() for patch in axes.patches) == 1000
    assert sorted({round(line.get_xdata()[0], 3) for line in axes.lines}) == [-0.562, -0.5, 0.5, 0.562]


def test_type_sizes(story_f16):
    files = [convert.summary(story_f16), convert.summary(convert.requantize(story_f16, "Q4_K_M"))]
    axes = axes_of(figures.type_sizes(files, "title"))
    assert sum(widths(axes)) == pytest.approx(sum(file.tensor_bytes for file in files) / 1e6)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["Q4_K_M", "F16"]
    assert f"{files[0].bits_per_weight:.2f} bits" in axes.texts[1].get_text()
    assert {text.get_text() for text in axes.get_legend().get_texts()} == set(files[0].types) | set(files[1].types)


def test_next_tokens():
    answers = {"16 bits": [(" the", 0.6), ("\n", 0.3)], "2 bits": [("", 0.5), ("$x$ and a long one", 0.25)]}
    figure = figures.next_tokens(answers, "title")
    first, second = figure.axes
    assert widths(first) == pytest.approx([60, 30]) and widths(second) == pytest.approx([50, 25])
    assert first.get_xlim() == second.get_xlim() == (0, 100) and "%" in first.get_xlabel()
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["␣the", "↵"]
    assert [tick.get_text() for tick in second.get_yticklabels()] == ["(end)", r"\$x\$␣and␣a…"]
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["16 bits", "2 bits"]


def test_roofline():
    axes = axes_of(figures.roofline({"F16": (2.0, 9.0), "Q8_0": (1.0, 12.0)}, 30.0, "title"))
    x, y = axes.lines[0].get_data()
    assert np.allclose(np.asarray(x) * np.asarray(y), 30.0)
    assert axes.collections[0].get_offsets().tolist() == [[2.0, 9.0], [1.0, 12.0]]
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_cache_growth():
    tokens = np.array([0, 1000])
    axes = axes_of(figures.cache_growth(tokens, {"m": np.array([0.0, 2.0])}, "title"))
    assert axes.lines[0].get_ydata().tolist() == [0, 2] and "GB" in axes.get_ylabel()


def test_agreement():
    axes = axes_of(figures.agreement({"F16": (0.99, 0.97, 1.0), "Q8_0": (0.9, 0.85, 0.93)}, "title"))
    bars = [patch.get_width() for patch in axes.patches]
    assert bars == pytest.approx([90, 99])


def test_pictures_are_detached_from_pyplot_and_described():
    import sys

    figure = figures.parameter_shares(
        {"a": 1}, "A finding that is long enough to be wrapped over two lines of the title, I hope"
    )
    data, metadata = figure._repr_png_()
    assert data.startswith(b"\x89PNG") and len(data) < 100_000
    assert metadata["alt"].startswith("A finding") and "\n" not in metadata["alt"]
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_colours_are_distinguishable():
    palette = [getattr(style, name) for name in ("BLUE", "ORANGE", "GREEN", "VERMILION", "SKY", "PURPLE", "YELLOW")]
    assert len(set(palette)) == 7
