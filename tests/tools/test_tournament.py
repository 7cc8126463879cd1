"""The tournament: budgets, mistakes of players, ranks with intervals, the page and what is kept for the next look."""

import json

import numpy as np
import pytest

from helpers.errors import InputError
from tools import tournament
from tools.tournament import Score


@pytest.fixture(scope="module")
def game():
    with pytest.MonkeyPatch.context() as patch:
        for name, few in {"STORIES": 15, "QUESTIONS": 12, "CALIBRATION": 20}.items():
            patch.setattr(tournament, name, few)
        yield tournament.Game("Q3_K_M", "a word of the tests")


def write(folder, name: str, types) -> None:
    (folder / f"{name}.json").write_text(types if isinstance(types, str) else json.dumps(types))


def test_a_game_from_the_template_to_the_page(game, tmp_path, capsys):
    recipe = game.template()
    assert recipe["blk.0.attn_q.weight"] == "Q3_K" and len(recipe) == 29
    coarse = {name: "Q2_K" for name in recipe if "attn_q" in name}
    write(tmp_path, "anna", recipe)
    write(tmp_path, "bo|the brave", coarse)
    write(tmp_path, "cem", dict.fromkeys(recipe, "Q8_0"))
    write(tmp_path, "dora", {"blk.9.attn_q.weight": "Q8_0"})
    write(tmp_path, "eve", "{")
    write(tmp_path, "fay", ["Q8_0"])
    kept = {}
    tournament.play(tmp_path, game, kept)
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 6 and "cem: " in said
    page = (tmp_path / tournament.PAGE).read_text()
    ranked, out = page.split("Not ranked:")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ranked.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {7}
    places = {row[1]: row for row in rows[2:]}
    assert [*places][-1] == "bo/the brave" and len(places) == 4
    weighed = places["llama.cpp's Q3_K_M, with importance"]
    assert places["anna"][2:4] == weighed[2:4] and places["anna"][2] == f"{game.budget:,}", "the recipe, written out"
    assert int(places["bo/the brave"][2].replace(",", "")) < game.budget
    assert places["anna"][5:] == weighed[5:]
    for player, why in (("cem", "bytes above the budget"), ("dora", "blk.9"), ("eve", "as JSON"), ("fay", "no object")):
        assert any(line.startswith(f"- {player}: ") and why in line for line in out.splitlines()), player

    measured = []
    game.measured, usual = (lambda *a: measured.append(a) or usual(*a)), game.measured
    tournament.play(tmp_path, game, kept)
    assert not measured and (tmp_path / tournament.PAGE).read_text() == page, "nothing changed"
    write(tmp_path, "bo|the brave", coarse | {"blk.0.attn_q.weight": "Q4_K"})
    (tmp_path / "anna.json").unlink()
    again = tournament.before(tmp_path)
    tournament.play(tmp_path, game, again)
    assert [player for player, _ in measured] == ["bo/the brave"], "what was kept on disk was not measured again"
    assert "| anna |" not in (tmp_path / tournament.PAGE).read_text()
    del game.measured


def test_the_secret_decides_about_the_text_and_is_not_told(game, tmp_path, monkeypatch):
    for name, few in {"STORIES": 15, "QUESTIONS": 12, "CALIBRATION": 20}.items():
        monkeypatch.setattr(tournament, name, few)
    other = tournament.Game("Q3_K_M", "another word")
    assert not set(other.text) & set(game.text) and other.budget == game.budget
    write(tmp_path, "x", {})
    assert tournament.key(game, tmp_path / "x.json") != tournament.key(other, tmp_path / "x.json")
    assert "another" not in tournament.key(other, tmp_path / "x.json")


def score(player: str, kl, right=(True, True, False)) -> Score:
    return Score(player, 100, [float(value) for value in kl], list(right))


def rows(page: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")][1:]


def test_who_cannot_be_told_from_the_leader_shares_the_first_place():
    """Pairs of the same windows: a small difference in all of them decides, a larger one in some does not."""
    windows = np.linspace(0.1, 0.9, 40)
    noise = np.where(np.arange(40) % 2, 0.3, -0.28)
    players = [score("third", windows + 0.1), score("first", windows), score("second", windows + noise)]
    table = rows(tournament.leaderboard(players, [True, True, True], 100))
    assert [row[:2] for row in table] == [["1", "first"], ["1", "second"], ["3", "third"]]
    assert table[0][4] == "" and table[2][4] == "+0.1000 [+0.1000, +0.1000]"
    assert [row[5:] for row in table] == [["66.7%", "1"]] * 3


def test_flips_count_both_ways():
    page = tournament.leaderboard([score("x", [0.1, 0.2], (True, False, True))], [False, True, True], 100)
    assert rows(page)[0][5:] == ["66.7%", "2"] and "F16 answers 66.7% of 3 questions" in page


def test_a_page_without_anyone():
    page = tournament.leaderboard([Score("x", error="It is late.")], [True], 1234)
    assert "1,234 bytes" in page and page.endswith("- x: It is late.\n")


def test_what_was_kept_may_be_damaged(tmp_path):
    assert tournament.before(tmp_path) == {}
    for text in ("{", "[]", '{"x": 1}', '{"x": {"unknown": 1}}'):
        (tmp_path / tournament.RESULTS).write_text(text)
        assert tournament.before(tmp_path) == {}


class Quick:
    """A game that measures nothing."""

    base, word, budget, right = "Q3_K_M", "w", 10, np.array([True])

    def __init__(self, base, word):
        if base == "Q9":
            raise InputError("Unknown quantization type 'Q9'. Choose one.")
        self.word = word

    def template(self):
        return {"a.weight": "Q4_K"}

    def house(self):
        return [score("house", [0.1, 0.2]), score("plain", [0.3, 0.4])]

    def score(self, path):
        return score(path.stem, [0.2, 0.3])


def test_the_commands(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tournament, "Game", Quick)
    assert tournament.main(["template"]) == 0
    assert json.loads(capsys.readouterr().out) == {"a.weight": "Q4_K"}
    write(tmp_path, "me", {})
    assert tournament.main(["try", str(tmp_path / "me.json")]) == 0
    assert "| me |" in capsys.readouterr().out and not (tmp_path / tournament.PAGE).exists()
    assert tournament.main(["score", str(tmp_path), "--secret", "w"]) == 0
    assert "| me |" in (tmp_path / tournament.PAGE).read_text() and "me: 0.2500 nats" in capsys.readouterr().out
    assert tournament.main(["score", str(tmp_path / "nowhere"), "--secret", "w"]) == 1
    assert "There is no folder 'nowhere'" in capsys.readouterr().err
    assert tournament.main(["--base", "Q9", "template"]) == 1
    assert "Unknown quantization type" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tournament.main(["score", str(tmp_path)])  # without a secret


def test_watching_sees_what_is_handed_in_later_and_ends_with_ctrl_c(monkeypatch, tmp_path):
    waits = iter([lambda: write(tmp_path, "late", {}), lambda: None])

    def sleep(seconds):
        step = next(waits, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(tournament, "Game", Quick)
    monkeypatch.setattr(tournament.time, "sleep", sleep)
    assert tournament.main(["score", str(tmp_path), "--secret", "w", "--watch"]) == 0
    assert "| late |" in (tmp_path / tournament.PAGE).read_text()
