"""The figures of notebooks 01 to 03 are tested by their data: what is drawn, where, and with which label."""

import numpy as np
import pytest

from helpers.figures import blocks as block_figures
from helpers.figures import formats, style
from helpers.figures import integers as integer_figures
from helpers.numbers import blocks, integers
from helpers.numbers.formats import FORMATS
from helpers.pipeline.gguf_file import Tensor


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def widths(axes) -> list[float]:
    return [patch.get_width() for patch in axes.patches]


def colour(patch) -> str:
    from matplotlib.colors import to_hex

    return to_hex(patch.get_facecolor()).upper()


class TestFormats:
    def test_model_memory(self):
        needs = {"7B": {"FP16": 14.0, "4 bits": 3.5}, "70B": {"FP16": 140.0, "4 bits": 35.0}}
        (axes,) = formats.model_memory(needs, {"24 GB": 24.0}, "title").axes
        dots = sorted(float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o")
        assert dots == [3.5, 14, 35, 140] and axes.get_xscale() == "log"
        assert {"14", "3.5", " 24 GB"} <= set(texts(axes))
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["70B", "7B"]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["FP16", "4 bits"]
        assert axes.lines[-1].get_xdata()[0] == 24 and "GB" in axes.get_xlabel()

    def test_bit_layout(self):
        names = ["fp32", "bf16", "fp8_e4m3", "int8", "e8m0"]
        (axes,) = formats.bit_layout(2.31384, names, "title").axes
        digits = [text for text in texts(axes) if text in "01"]
        assert "".join(digits) == "".join(FORMATS[name].bits(2.31384).replace(" ", "") for name in names)
        squares = axes.patches[: sum(FORMATS[name].width for name in names)]
        assert [colour(square) for square in squares[:10]] == ["#D55E00"] + ["#0072B2"] * 8 + ["#56B4E9"]
        assert {colour(square) for square in squares[56:64]} == {"#009E73"}, "INT8 is a whole number"
        assert {colour(square) for square in squares[64:]} == {"#0072B2"}, "E8M0 is all exponent"
        assert "2.3138399" in texts(axes) and "2.25" in texts(axes)

    def test_exact_values_say_so(self):
        assert "1.5, exact" in texts(formats.bit_layout(1.5, ["fp16"], "title").axes[0])

    def test_range_and_precision(self):
        (axes,) = formats.range_and_precision(["fp16", "int8"], "title").axes
        int8, fp16 = axes.patches[1], axes.patches[3]
        assert (int8.get_x(), int8.get_x() + int8.get_width()) == pytest.approx((0, np.log10(127)))
        assert fp16.get_x() + fp16.get_width() == pytest.approx(np.log10(65504))
        assert axes.patches[2].get_x() == pytest.approx(np.log10(2**-24)), "pale: the subnormals"
        assert "3.3 digits (10 bits of fraction)" in texts(axes) and "whole numbers −128 to 127" in texts(axes)

    def test_spacing(self):
        (axes,) = formats.spacing(["fp16", "int8"], "title").axes
        x, gaps = axes.lines[0].get_data()
        assert x.max() <= 65504 and gaps.min() == 2.0**-24 and gaps.max() == 32
        assert set(axes.lines[1].get_ydata()) == {1.0}
        assert axes.get_xscale() == axes.get_yscale() == "log"

    def test_all_values(self):
        (axes,) = formats.all_values(["int4", "fp4_e2m1"], 8, "title").axes
        strokes = [sorted(segment[0][0] for segment in lines.get_segments()) for lines in axes.collections]
        assert strokes == [[-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6], list(range(-8, 8))]

    def test_gradient_sizes(self):
        magnitudes = np.array([1e-9] * 30 + [1e-5] * 70 + [0.0])
        (axes,) = formats.gradient_sizes(magnitudes, 2.0**-24, 2.0**-14, "title").axes
        vanished, survived = (sum(bar.get_height() for bar in container) for container in axes.containers)
        assert (vanished, survived) == (30, 70)
        labels = {text.get_text() for text in axes.get_legend().get_texts()}
        assert {"become 0 in FP16", "survive", "smallest number of FP16"} <= labels
        assert [round(line.get_xdata()[0], 2) for line in axes.lines] == [-7.22, -4.21]

    def test_training_curves(self):
        (axes,) = formats.training_curves({"a": np.array([3.0, 2.0]), "b": np.array([3.0, 1.0])}, "title").axes
        assert [line.get_ydata().tolist() for line in axes.lines] == [[3, 2], [3, 1]]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]

    def test_gpu_support(self):
        (axes,) = formats.gpu_support({"old": {"FP16"}, "new": {"FP16", "BF16"}}, ["FP16", "BF16"], "title").axes
        assert [text for text in texts(axes) if text in ("yes", "no")] == ["yes", "no", "yes", "yes"]


class TestQuantize:
    x = np.array([1.2, -0.5, -4.3, 5.4])

    def test_staircase(self):
        x = np.linspace(-1, 1, 101)
        result = integers.absmax(x, 3)
        above, below = integer_figures.staircase(x, result.dequantize(), result.scale.item(), "title").axes
        assert len(np.unique(above.lines[1].get_ydata())) == 7
        assert np.abs(below.lines[0].get_ydata()).max() <= result.scale.item() / 2 * 1.0001
        assert below.lines[1].get_ydata()[0] == pytest.approx(-result.scale.item() / 2)

    @pytest.mark.parametrize("scheme", [integers.absmax, integers.zero_point])
    def test_two_lines(self, scheme):
        result = scheme(self.x)
        (axes,) = integer_figures.two_lines(self.x, result, "title").axes
        arrows = [(text.xyann, text.xy) for text in axes.texts if hasattr(text, "xyann") and text.arrow_patch]
        assert len(arrows) == 4
        for (start, _), (end, _) in arrows:
            assert 0 <= end <= 1 and abs(start - end) < 0.003, "arrows are nearly vertical: both lines have one scale"
        assert f" 0 ↔ {result.zero.item()}" in texts(axes)
        assert {str(code) for code in result.codes} <= set(texts(axes))

    def test_error_against_value(self):
        (axes,) = integer_figures.error_against_value(self.x, self.x * 0 + 0.1, 0.4, "title").axes
        assert axes.lines[0].get_xdata().tolist() == self.x.tolist()
        assert sorted(line.get_ydata()[0] for line in axes.lines[1:]) == [-0.2, 0.2]

    def test_before_and_after(self):
        x = np.random.default_rng(0).standard_normal(1000)
        above, below = integer_figures.before_and_after(x, integers.absmax(x, 2).dequantize(), "title").axes
        assert sum(bar.get_height() for bar in above.patches) == 1000
        assert len(below.patches) == 3 and sum(bar.get_height() for bar in below.patches) == 1000

    def test_errors(self):
        x = np.array([1.0, 2.0, 4.0])
        (axes,) = integer_figures.errors(x, {"a": np.array([3.0, 1.0, 2.0])}, ("x", "y"), "title", minima=True).axes
        assert axes.lines[1].get_data()[0] == 2 and axes.lines[1].get_data()[1] == 1
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")

    def test_signal_to_noise(self):
        bits = np.arange(2, 5)
        (axes,) = integer_figures.signal_to_noise(bits, {"layer": bits * 5.0}, "title").axes
        assert np.allclose(axes.lines[0].get_ydata(), 6.02 * bits) and axes.lines[1].get_ydata().tolist() == [
            10,
            15,
            20,
        ]

    def test_levels(self):
        x = np.random.default_rng(0).standard_normal(1000)
        approximation = integers.absmax(x, 3).dequantize()
        (axes,) = integer_figures.levels(x, approximation, "note").axes
        strokes = [segment[0][0] for segment in axes.collections[0].get_segments()]
        assert np.allclose(strokes, np.unique(approximation))


class TestBlocks:
    def test_bit_budget(self):
        (axes,) = block_figures.bit_budget(
            {"Q8_0": {"codes": 8, "scales": 0.5}, "Q4_0": {"codes": 4, "scales": 0.5}}, "t"
        ).axes
        assert sorted(widths(axes)) == [0.5, 0.5, 4, 8] and texts(axes) == ["4.5", "8.5"]

    def test_codebooks(self):
        seen = np.array([-1.0] * 10 + [0.0] * 30 + [1.0] * 20)
        (axes,) = block_figures.codebooks({"a": np.arange(-8, 8), "b": np.array([-1.0, 0, 2])}, seen, "title").axes
        drawn = [[segment[0][0] for segment in lines.get_segments()] for lines in axes.collections]
        assert drawn == [[-0.5, 0, 1], (np.arange(-8, 8) / 8).tolist()]
        heights = [bar.get_height() for bar in axes.patches]
        assert heights[0] / heights[30] == pytest.approx(1 / 3) and heights[-1] / heights[30] == pytest.approx(2 / 3)

    def test_scale_search(self):
        (axes,) = block_figures.scale_search(np.array([-1.0, 0, 1]), np.array([3.0, 2.0, 4.0]), 4.0, "title").axes
        assert axes.lines[0].get_ydata().tolist() == [0.75, 0.5, 1]
        assert axes.lines[2].get_data()[0] == 0, "the best trial is marked"

    def test_error_against_bits(self):
        points = {"Q8_0": (8.5, 0.005), "Q4_0": (4.5, 0.08), "Q4_K": (4.5, 0.06), "NF4": (4.5, 0.09)}
        axes, crowd = block_figures.error_against_bits(points, "title").axes
        x, y = axes.lines[0].get_data()
        assert np.allclose(np.log2(y[1:] / y[:-1]), -np.diff(x)), "half the error for each bit"
        marks = [line for line in axes.lines[1:] if len(line.get_xdata())]
        dots = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in marks}
        assert dots == set(points.values()) and len({line.get_marker() for line in marks}) == 3
        assert texts(axes) == ["Q8_0"] and [tick.get_text() for tick in crowd.get_xticklabels()] == [
            "Q4_K",
            "Q4_0",
            "NF4",
        ]
        assert sorted(float(line.get_ydata()[0]) for line in crowd.lines) == [6, 8, 9]

    def test_patterns(self):
        grid = np.array([[43] * 8, [8] * 8, [8, 25, 8, 8, 8, 8, 8, 8]], float)
        (axes,) = block_figures.patterns(grid, "title").axes
        assert np.array_equal(axes.images[0].get_array(), grid[[1, 2, 0]].T), "sorted by their sum"
        assert texts(axes) == [" 8 ", " 25 ", " 43 "]

    def test_type_map(self):
        tensors = [Tensor(f"blk.{i}.attn_v.weight", (32, 256), "Q6_K" if i else "Q4_K", 1, 1) for i in range(3)]
        tensors += [
            Tensor("output.weight", (32, 256), "Q6_K", 1, 1),
            Tensor("blk.0.attn_norm.weight", (32,), "F32", 1, 1),
        ]
        (axes,) = block_figures.type_map(tensors, 3, "title").axes
        assert [colour(patch) for patch in axes.patches] == ["#E69F00", "#56B4E9", "#56B4E9", "#56B4E9"]
        assert [patch.get_x() for patch in axes.patches] == [0, 1, 2, 0]
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["attn_v", "output"]


def test_every_type_has_a_colour_of_its_own_family():
    assert set(blocks.TYPES) - {"MXFP4", "NF4"} <= set(style.TYPE_COLOURS)
