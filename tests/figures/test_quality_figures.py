"""The figure of notebook 08 is tested by its data."""

import numpy as np

from helpers.figures import quality as figures


def test_token_losses():
    (axes,) = figures.token_losses(["a", "b\n"], np.array([0.5, 2.5]), "title").axes
    assert [bar.get_height() for bar in axes.patches] == [0.5, 2.5]
    assert axes.lines[0].get_ydata()[0] == 1.5 and axes.get_xticklabels()[1].get_text() == "b⏎"
