"""Who makes the best file of `story` for its size? A game for a class, without accounts and without a network.

    python -m tools.tournament template > anna.json         # each player: a type for every tensor, to be changed
    python -m tools.tournament try anna.json                # size, and how good it is on a text for practice
    python -m tools.tournament score FOLDER --secret WORD   # the teacher: all players' files, on a text of their own

A player's file gives types to tensors by name; what it does not name gets llama.cpp's own recipe. Everybody's file is
made with the same importance, and its weights may take no more bytes than that recipe's. The text on which all are
measured comes from the secret word: new stories and new questions that nobody has seen. The leaderboard is a page in
FOLDER; a file that did not change is not measured again. When the word is told, everybody can check the result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers import artifacts
from helpers.errors import CourseError, InputError
from helpers.pipeline import catalogue, convert, gguf_file
from helpers.quality import evaluate, importance, scoring
from helpers.training import stories

BASE = "Q3_K_M"
STORIES, QUESTIONS, CALIBRATION, WINDOW = 120, 200, 400, 128
PRACTICE = "practice"
PLAIN, WEIGHED = "llama.cpp's {}", "llama.cpp's {}, with importance"
RESULTS, PAGE = ".tournament.json", "leaderboard.md"
WAIT = 5  # seconds between two looks into the folder


@dataclass(frozen=True)
class Score:
    """What a player's file is worth: KL divergence of each window, and which questions it answers. Or why nothing."""

    player: str
    bytes: int = 0
    kl: Sequence[float] = ()
    right: Sequence[bool] = ()
    error: str = ""


class Game:
    """One recipe whose size is the budget, and one text. `word` decides about stories and questions."""

    def __init__(self, base: str = BASE, word: str = PRACTICE):
        self.base, self.word = base, f"tournament {word}"
        self.f16 = convert.to_gguf(catalogue.CATALOGUE["story"].fetch(), "f16")
        self.importance = importance.collect(self.f16, list(stories.stories(5, CALIBRATION)), name="stories")
        self.weighed = convert.requantize(self.f16, base, importance=self.importance)
        self.budget = gguf_file.summary(self.weighed).tensor_bytes
        self.text = list(stories.stories(self.word, STORIES))

    @cached_property
    def reference(self) -> scoring.Reference:
        """What F16 says about the text."""
        return scoring.reference(self.f16, self.text, window=WINDOW)

    @cached_property
    def right(self) -> np.ndarray:
        """Which questions F16 answers."""
        return evaluate.recall(self.f16, stories.probes(self.word, QUESTIONS))

    def template(self) -> dict[str, str]:
        """Return the type that the recipe gives to each matrix."""
        return {tensor.name: tensor.type for tensor in gguf_file.summary(self.weighed).tensors if len(tensor.shape) > 1}

    def score(self, path: Path) -> Score:
        """Make and measure the file that a player's choice gives; what is wrong with it becomes the score's error."""
        player = path.stem.replace("|", "/")  # the page is a table
        try:
            made = convert.requantize(self.f16, self.base, importance=self.importance, types=_types(path))
            return self.measured(player, made)
        except CourseError as error:
            return Score(player, error=str(error))

    def house(self) -> list[Score]:
        """Return two players of the house: the recipe with importance, and without where llama.cpp can do that."""
        weighed = self.measured(WEIGHED.format(self.base), self.weighed)
        try:
            return [weighed, self.measured(PLAIN.format(self.base), convert.requantize(self.f16, self.base))]
        except CourseError as error:
            return [weighed, Score(PLAIN.format(self.base), error=str(error))]

    def measured(self, player: str, gguf: Path) -> Score:
        """Return the score of a file, or only its size if that is above the budget."""
        size = gguf_file.summary(gguf).tensor_bytes
        if size > self.budget:
            return Score(player, size, error=f"{size - self.budget:,} bytes above the budget of {self.budget:,}.")
        compared = evaluate.compare(self.reference, gguf, self.text)
        right = evaluate.recall(gguf, stories.probes(self.word, QUESTIONS))
        kl = compared.divergences.mean(axis=1, dtype=np.float64)
        return Score(player, size, kl.tolist(), right.tolist())


def _types(path: Path) -> dict[str, str]:
    """Read a player's file; raise InputError for what is no object of names and types."""
    try:
        types = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # bad JSON and bad UTF-8 are both ValueErrors
        raise InputError(
            f"{path.name} cannot be read as JSON: {error}. It was cut or edited by hand. Begin with the template."
        ) from error
    if not isinstance(types, dict) or not all(isinstance(kind, str) for kind in types.values()):
        raise InputError(
            f"{path.name} is no object of names and types. A player's file looks like "
            '{"blk.0.attn_v.weight": "Q6_K"}. Begin with the template.'
        )
    return types


def leaderboard(scores: Iterable[Score], right: Iterable[bool], budget: int) -> str:
    """Return the page: best KL first, how far behind the leader with a paired 95 % interval, facts and flips.

    A flip is a question that F16 answers and the file does not, or the other way round.
    """
    right, scores = np.array(list(right)), list(scores)
    ranked = sorted((score for score in scores if not score.error), key=lambda score: np.mean(score.kl))
    lines = [
        "# Leaderboard\n",
        f"Budget: {budget:,} bytes of weights. F16 answers {right.mean():.1%} of {right.size} questions.\n",
        "| | player | bytes | KL divergence (nats) | behind the leader | facts recalled | flips |",
        "|---|---|---|---|---|---|---|",
    ]
    rank = 1
    for place, score in enumerate(ranked, 1):
        behind = ""
        if place > 1:
            difference = np.subtract(score.kl, ranked[0].kl)
            low, high = evaluate.bootstrap(difference)
            behind = f"{difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            rank = place if low > 0 or rank > 1 else 1  # who cannot be told from the leader shares the first place
        flips = int((np.array(score.right) != right).sum())
        cells = (
            rank,
            score.player,
            f"{score.bytes:,}",
            f"{np.mean(score.kl):.4f}",
            behind,
            f"{np.mean(score.right):.1%}",
        )
        lines.append("| " + " | ".join(map(str, (*cells, flips))) + " |")
    if out := [score for score in scores if score.error]:
        lines += ["\nNot ranked:\n", *(f"- {score.player}: {score.error}" for score in out)]
    return "\n".join(lines) + "\n"


def play(folder: Path, game: Game, kept: dict[str, Score]) -> None:
    """Score every file of the folder that is new or has changed, and write the page."""
    found = {key(game, path): path for path in sorted(folder.glob("*.json")) if path.name != RESULTS}
    house = [f"house {number} {_digest(game)}" for number in range(2)]
    if not {*house} <= kept.keys():
        kept.update(zip(house, game.house(), strict=True))
    for name, path in found.items():
        if name not in kept:
            kept[name] = game.score(path)
            print(f"{kept[name].player}: {kept[name].error or f'{np.mean(kept[name].kl):.4f} nats'}", flush=True)
    shown = [kept[name] for name in (*house, *found)]
    stored = {name: asdict(score) for name, score in kept.items()}
    for name, text in ((RESULTS, json.dumps(stored)), (PAGE, leaderboard(shown, game.right, game.budget))):
        with artifacts.making(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def key(game: Game, path: Path) -> str:
    """Return what a score depends on: the player, what the file says, the recipe and the word."""
    return f"{path.stem} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]} {_digest(game)}"


def _digest(game: Game) -> str:
    """Return recipe and word without telling the word."""
    return hashlib.sha256(f"{game.base} {game.word}".encode()).hexdigest()[:16]


def before(folder: Path) -> dict[str, Score]:
    """Return the scores of an earlier run, none if there was none."""
    try:
        stored = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        return {name: Score(**score) for name, score in stored.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default=BASE, help=f"the recipe whose size is the budget ({BASE})")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("template", help="print the recipe's types, a file to begin with")
    commands.add_parser("try", help="measure files on a text for practice").add_argument("files", nargs="+", type=Path)
    score = commands.add_parser("score", help="measure all files of a folder on the secret text")
    score.add_argument("folder", type=Path)
    score.add_argument("--secret", required=True, help="a word that no player knows before the end")
    score.add_argument("--watch", action="store_true", help="go on with files that are handed in later")
    given = parser.parse_args(arguments)
    try:
        if given.command == "score" and not given.folder.is_dir():
            raise InputError(
                f"There is no folder {given.folder.name!r:.80}. The players' files are looked for there. Make it and "
                "let everybody put NAME.json into it."
            )
        game = Game(given.base, given.secret if given.command == "score" else PRACTICE)
        if given.command == "template":
            print(json.dumps(game.template(), indent=1))
        elif given.command == "try":
            print(leaderboard([*game.house(), *map(game.score, given.files)], game.right, game.budget))
        else:
            kept = before(given.folder)
            play(given.folder, game, kept)
            while given.watch:
                time.sleep(WAIT)
                play(given.folder, game, kept)
            print((given.folder / PAGE).read_text(encoding="utf-8"))
        return 0
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # how watching ends
        return 0


if __name__ == "__main__":
    sys.exit(main())
