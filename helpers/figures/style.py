"""What all figures share: colours that colour-blind readers can tell apart, one style, detached figures.

Detached means: made without pyplot, so a notebook shows a figure once, as the value of its cell.
"""

import functools
import io
import textwrap

# Okabe and Ito's palette: distinguishable with every common kind of colour blindness.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#7F7F7F"
LINES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, "black", GREY)
KINDS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, "black")  # number formats and models, in notebooks 01 and 06
TYPE_COLOURS = {
    "F32": GREY, "F16": "#BBBBBB", "BF16": "#BBBBBB", "Q8_0": BLUE, "Q6_K": SKY, "Q5_K": GREEN, "Q5_1": "#1B7837",
    "Q5_0": "#66C2A5", "Q4_K": ORANGE, "Q4_1": YELLOW, "Q4_0": "#FDBF6F", "IQ4_NL": "#C49A00",
    "Q3_K": VERMILION, "Q2_K": PURPLE,
}  # fmt: skip
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 110,
}


def new_figure(title: str, height: float = 3.2, width: float = 7.5, rows: int = 1, columns: int = 1, **options):
    """Return a Figure that a notebook can show without pyplot, and its axes (an array if there are several).

    The title, which states the finding, stands above the first axes. Sizes in inches; options go to `subplots`.
    """
    from matplotlib import rc_context

    with rc_context(STYLE):
        figure = _figure_class()(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, **options)
    write_title(figure.axes[0], title)
    return figure, axes


@functools.cache
def _figure_class() -> type:
    from matplotlib.figure import Figure
    from PIL import Image

    class Picture(Figure):
        def _repr_png_(self):
            """Draw for the notebook; the title becomes the picture's alternative text.

            In 256 colours: a third of the bytes, and no pixel is off by more than some levels of 255.
            """
            drawn, stored = io.BytesIO(), io.BytesIO()
            self.savefig(drawn, format="png", dpi=110)
            few = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            few.save(stored, "PNG", optimize=True)
            return stored.getvalue(), {"alt": self.axes[0].get_title(loc="left").replace("\n", " ")}

        def _repr_mimebundle_(self, **_):
            """As above; asked before the picture formatters that ipywidgets switches on for every Figure."""
            data, metadata = self._repr_png_()
            return {"image/png": data, "text/plain": repr(self)}, {"image/png": metadata}

    return Picture


def write_title(axes, text: str) -> None:
    """Write the finding above the axes, left-aligned and wrapped."""
    axes.set_title("\n".join(textwrap.wrap(text, 72)), loc="left", fontsize=11, fontweight="bold")


def title_over_all(figure) -> None:
    """Move the title from the first of several axes, which it would widen, over the whole figure."""
    title = figure.axes[0]._left_title
    figure.suptitle(title.get_text(), x=0.01, ha="left", fontsize=11, fontweight="bold")
    title.set_visible(False)  # the text stays: it is the picture's alternative text


def write_beside(axes, text: str, point: tuple[float, float], offset: tuple[float, float], **look) -> None:
    """Write beside a point; offset: points to the right and up."""
    axes.annotate(text, point, xytext=offset, textcoords="offset points", **{"fontsize": 9} | look)


def plain_log_ticks(axis, digits: tuple[int, ...] = (1, 2, 5)) -> None:
    """Mark 1, 2, 5 (or other digits) and their tens on a logarithmic axis, as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
