"""The quality table of a card: what was measured, how each file was made, and nothing beyond."""

import types
from pathlib import Path

import numpy as np
import pytest
from stand_in import StandIn

from helpers.pipeline import convert
from helpers.pipeline.hub import card, quality_table


@pytest.fixture
def made(story_f16, tmp_path) -> list[Path]:
    """A source, a plain file, one with importance, one with types, too."""
    f16 = tmp_path / "story-F16.gguf"
    f16.symlink_to(story_f16)
    steer = StandIn(f16)
    ways = [{}, {"importance": steer}, {"importance": steer, "types": {"blk.0.attn_v.weight": "Q8_0"}}]
    return [f16, *(convert.requantize(f16, "Q4_0", **way) for way in ways)]


def comparison(values, top1=0.971, name="story-F16"):
    """What `evaluate.compare` returns, as far as a card needs it."""
    divergences = np.array(values)
    return types.SimpleNamespace(
        kl=float(divergences.mean()),
        top1=top1,
        divergences=divergences,
        reference=types.SimpleNamespace(name=name),
        interval=lambda: (float(divergences.min()), float(divergences.max())),
    )


def table(paths, measured) -> list[list[str]]:
    found = quality_table.lines([convert.summary(path) for path in paths], measured)
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in found if line.startswith("|")]


def test_how_each_file_was_made(made):
    titles, _, *rows = table(made, {})
    assert titles == ["file", "type", "size", "bits per weight", "made"]
    seal = StandIn(made[0]).checksum[:6]
    steered = f"importance from numbers 1a2b3c4d, 12 windows ({seal})"
    assert [row[-1] for row in rows[:3]] == ["converted", "without importance", steered]
    mix = made[3].name.split("-mix-")[1][:6]
    assert rows[3][-1] == f"{steered}; types of 1 tensors chosen ({mix})"


def test_what_was_measured(made):
    measured = {made[1].name: comparison([[0.01, 0.03], [0.02, 0.02]] * 4), made[2].name: 0.5}
    titles, _, *rows = table(made, measured)
    assert titles[4:6] == ["KL divergence, nats", "same top token"]
    assert rows[1][4:6] == ["0.0200 [0.0100, 0.0300]", "97.1 %"]
    assert rows[2][4:6] == ["0.5000", "not measured"] and rows[3][4:6] == ["not measured", "not measured"]


def test_what_it_was_measured_on(made):
    """Two files on the same windows need one sentence, others their own."""
    same = [comparison(np.full((88, 255), 0.1)) for _ in range(2)]
    other = comparison(np.full((3, 10), 0.1), name="mine | <b>")
    lines = quality_table.lines([], dict(zip("abc", [*same, other], strict=True)))
    said = [line for line in lines if line.startswith("KL divergence")]
    assert [line.split(". ")[0] for line in said] == [
        "KL divergence and top tokens are compared with story-F16 on 88 windows, 255 tokens each",
        "KL divergence and top tokens are compared with mine b on 3 windows, 10 tokens each",
    ]


def test_a_few_windows_make_no_interval(made):
    measured = {made[1].name: comparison([[0.01, 0.03], [0.02, 0.02]])}
    assert table(made[:2], measured)[-1][4] == "0.0200"
    assert "too few windows for an interval" in quality_table.lines([convert.summary(made[1])], measured)[-1]


def test_numbers_alone_make_no_column_of_top_tokens(made):
    titles, _, *rows = table(made[:2], {made[1].name: 0.25})
    assert titles == ["file", "type", "size", "bits per weight", "KL divergence, nats"]
    assert [row[-1] for row in rows] == ["not measured", "0.2500"]


def test_files_of_others_tell_what_they_know(tmp_path, tiny_gguf):
    """llama-quantize writes no checksum; and what it writes is not ours to trust."""
    path = tiny_gguf(tmp_path / "m.gguf", quantize__imatrix__file="a | <b>\n.dat")
    assert quality_table.made(convert.summary(path)) == "importance from a b .dat"


def test_the_card_has_it(made):
    text = card.build(card.Original("Mine"), made, "ada/m", kl={made[2].name: comparison([[0.1, 0.2]] * 8)})
    assert "| made |" in text and "[0.1000, 0.2000] | 97.1 % | importance from numbers 1a2b3c4d" in text
    assert "compared with story-F16 on 8 windows" in text and "Quality was not measured" not in text
