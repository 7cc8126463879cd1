"""The calibration text: large, mixed, and apart from everything that the course measures on."""

import pytest

from helpers.quality import calibration
from tools import calibration as tool

TEXT = calibration.text()
WRITTEN = {path.stem: path.read_text(encoding="utf-8").strip() for path in tool.WRITTEN.glob("*.txt")}


def test_it_shares_nothing_with_what_is_measured():
    measured = {text: calibration.phrases(text) for text in tool.evaluation()}
    assert len(measured) > 900 and sum(map(len, measured.values())) > 30_000
    ours = calibration.phrases(TEXT)
    for text, phrases in measured.items():
        assert not ours & phrases, text[:80]


def test_shared_phrases_are_found():
    """The check above can fail: with a sentence of an evaluation text, in capitals and with other punctuation."""
    sentence = "Ivy had grown through the front wheel and out again, neatly"
    assert any(sentence in text for text in tool.evaluation())
    measured = calibration.phrases("\n".join(tool.evaluation()))
    assert calibration.phrases(f"Before. {sentence.upper().replace(',', ';')}! After.") & measured
    assert calibration.phrases("one two three") == set()
    assert calibration.phrases("A b, c", words=2) == {"a b", "b c"}


def test_a_passage_that_is_measured_is_left_out(monkeypatch):
    stolen = WRITTEN["german"].split(tool.PIECE)[2]
    monkeypatch.setattr(tool, "evaluation", lambda: iter([stolen]))
    found = tool.genres()["german"]
    assert stolen not in found and len(found) == WRITTEN["german"].count(tool.PIECE)


@pytest.mark.parametrize("text", [TEXT, tool.mixture(tool.genres())], ids=["stored", "made now"])
def test_it_is_large_and_holds_every_genre(text):
    assert len(text.split()) >= 30_000
    for genre, written in WRITTEN.items():
        for piece in written.split(tool.PIECE):
            assert piece.strip() in text, f"{genre}: run python -m tools.calibration"
    for table in tool.tables():
        assert table in text
    for word in (" und ", " Fenster ", " les ", " lendemain", "def ", "SELECT ", "#include <", "2024-01-07,"):
        assert word in text, word


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_its_beginning_is_a_mixture_too(share):
    """Who reads only a part (`most=`) reads of everything."""
    beginning = TEXT[: int(share * len(TEXT))]
    for genre, written in WRITTEN.items():
        pieces = written.split(tool.PIECE)
        there = sum(piece.strip() in beginning for piece in pieces)
        assert abs(there - share * len(pieces)) <= 1, genre


def test_the_command_writes_it(monkeypatch, tmp_path, capsys):
    path = tmp_path / "calibration.txt"
    monkeypatch.setattr(calibration, "PATH", path)
    monkeypatch.setattr(tool, "genres", lambda: {"a": ["one two", "three"], "b": ["vier"]})
    tool.main()
    assert sorted(path.read_text().split("\n\n")) == ["one two", "three", "vier\n"]
    assert "calibration.txt: 4 words" in capsys.readouterr().out


def test_passages_are_whole_and_evenly_spread():
    assert list(tool.gathered(["a " * 100, "b " * 60, "c"])) == ["a " * 100 + "\n\n" + "b " * 60]
    assert tool.evenly([f"{n} word" for n in range(10)], 8) == ["2 word", "4 word", "7 word", "9 word"]
    assert len(tool.evenly(["one"] * 3, 100)) == 3
