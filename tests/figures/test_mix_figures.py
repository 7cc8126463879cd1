"""The figures of notebook 15 are tested by their data."""

import numpy as np
import pytest

from helpers.figures import mix as figures

PRICES = {
    "blk.0.attn_q.weight": 1e-3,
    "blk.0.ffn_down.weight": 1e-5,
    "blk.10.attn_q.weight": 1e-4,
    "blk.2.attn_q.weight": 0.0,
    "token_embd.weight": 1e-2,
}


def test_maps_put_every_tensor_into_its_row_and_column():
    types = dict.fromkeys(PRICES, "Q4_K") | {"token_embd.weight": "Q6_K"}
    prices, layout = figures.maps(PRICES, {"recipe": types}, {"Q4_K": 4.5, "Q6_K": 6.56}, "finding").axes
    rows = [tick.get_text() for tick in prices.get_yticklabels()]
    columns = [tick.get_text() for tick in prices.get_xticklabels()]
    assert rows == ["layer 0", "layer 2", "layer 10", "token_embd"] and columns == ["attn_q", "ffn_down"]
    heights = prices.images[0].get_array()
    assert np.allclose(heights.filled(np.nan)[:, 0], [-3, -5, -4, -2]), "a price of 0 is drawn like the smallest"
    assert heights[0, 1] == pytest.approx(-5) and heights.mask[1:, 1].all()
    bits = layout.images[0].get_array().filled(0)
    assert bits[:, 0].tolist() == [4.5, 4.5, 4.5, 6.56] and bits[:, 1].tolist() == [4.5, 0, 0, 0]
    texts = {(text.get_position(), text.get_text()) for text in layout.texts}
    assert ((0, 3), "Q6_K") in texts and len(texts) == len(PRICES)
    assert ((0, 0), "1") in {(text.get_position(), text.get_text()) for text in prices.texts}


def test_large_maps_have_no_texts():
    prices = {f"blk.{i}.attn_q.weight": 1e-4 for i in range(figures.MOST_TEXTS + 1)}
    axes = figures.maps(prices, {"recipe": dict.fromkeys(prices, "Q4_K")}, {"Q4_K": 4.5}, "finding").axes
    assert not any(each.texts for each in axes)


def test_frontier():
    series = {"plain": {"Q2_K": (1.2, 0.05, 0.04, 0.06)}, "mix": {"Q2_K": (1.2, 0.02, 0.018, 0.022)}}
    (axes,) = figures.frontier([(1, 0.1), (2, 0.01)], series, "finding").axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 0.1], [2, 0.01]]
    assert [text.get_text() for text in axes.texts] == ["Q2_K"], "the first series names the files"
    dots = [container.lines[0].get_xydata().tolist() for container in axes.containers]
    assert dots == [[[1.2, 0.05]], [[1.2, 0.02]]] and axes.get_yscale() == "log"
    (ends,) = axes.containers[0].lines[2]
    assert np.allclose(ends.get_segments()[0][:, 1], [0.04, 0.06])


def test_sums():
    (axes,) = figures.sums({"mix Q2_K": (0.01, (0.012, 0.011, 0.013)), "Q2_K": (0.02, (0.03, 0.02, 0.04))}, "f").axes
    assert axes.lines[0].get_xydata().tolist() == [[0.01, 0.01], [0.03, 0.03]], "where both are equal"
    assert [text.get_text() for text in axes.texts] == ["mix Q2_K", "Q2_K"]
    colours = {container.lines[0].get_color() for container in axes.containers}
    assert len(colours) == 2, "a mix has a colour of its own"
