"""Figures to play with, in the notebook and on the site: `explore.bits(0.1)`, `explore.microscope(gguf)`.

Each is HTML and JavaScript of its own: nothing is loaded from anywhere and no kernel has to run, so it works in Colab,
JupyterLab, VS Code, on the site and in a stored notebook. Plain HTML and not a widget library, because a widget needs a
running kernel or a foreign script to draw it. Where scripts do not run, and on paper, a still picture stands there.
Their arithmetic stands in the .js files beside this one and is tested in a browser against `helpers.numbers`.
"""

from helpers.figures.explore.figures import affine, bits, blocks, roofline
from helpers.figures.explore.microscope import microscope

__all__ = ["affine", "bits", "blocks", "microscope", "roofline"]
