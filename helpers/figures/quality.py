"""The figure of notebook 08 that is its own: how much each token surprises a model. Its others are in `charts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.figures.style import BLUE, VERMILION, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def token_losses(pieces: list[str], losses: np.ndarray, title: str) -> Figure:
    """A bar for each token: how surprised the model was, in nats; the token stands below its bar."""
    figure, axes = new_figure(title, height=3.2)
    axes.bar(range(len(pieces)), losses, color=[VERMILION if loss > 1 else BLUE for loss in losses])
    axes.axhline(np.mean(losses), color="black", linestyle="--", linewidth=1)
    axes.text(len(pieces) - 0.5, np.mean(losses), " mean", va="bottom", ha="right", fontsize=9)
    axes.set_xticks(range(len(pieces)), [piece.replace("\n", "⏎") for piece in pieces], rotation=70, fontsize=8)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("−log p (nats)")
    return figure
