"""Mix the text on which importance is recorded: `python -m tools.calibration` writes data/calibration.txt.

A third was written for it (`data/calibration/`: eight genres, German, French, five languages of code), a little is
tables drawn from a seed, and the rest is this course's own prose and code as they stand now. Run it again only on
purpose: files that were made with the old text name its checksum. Nothing in it stands in a text that the course
measures on; what shares eight words in a row with one is left out.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator

from helpers import artifacts
from helpers.pipeline import catalogue
from helpers.pipeline.proof import logits
from helpers.quality import calibration
from helpers.training import corpus, stories

WRITTEN = artifacts.ROOT / "data" / "calibration"
PIECE = "\n\n*\n\n"  # between two pieces of one file there
WORDS = {"course": 16_000, "source": 6_500}  # how much of the course's own
PASSAGE = 150  # words, at least


def main() -> None:
    text = mixture(genres())
    calibration.PATH.write_text(text, encoding="utf-8")
    print(f"{calibration.PATH.name}: {len(text.split()):,} words, {len(text.encode()):,} bytes")


def genres() -> dict[str, list[str]]:
    """Return all passages by genre, those left out that an evaluation text shares."""
    found = {path.stem: path.read_text(encoding="utf-8").strip().split(PIECE) for path in sorted(WRITTEN.glob("*.txt"))}
    found["tables"] = list(tables())
    found["course"] = evenly(course(), WORDS["course"])
    found["source"] = evenly(source(), WORDS["source"])
    measured = calibration.phrases("\n".join(evaluation()))
    return {name: [text for text in texts if not calibration.phrases(text) & measured] for name, texts in found.items()}


def evaluation() -> Iterator[str]:
    """Yield every text on which the course measures a model."""
    yield from (
        path.read_text(encoding="utf-8")
        for path in sorted(calibration.PATH.parent.glob("*.txt"))
        if path != calibration.PATH
    )
    yield from logits.TEXTS.values()
    yield from stories.stories(corpus.HELD_OUT_SEED, 500)
    yield from (f"{probe.prompt} {probe.answer}" for probe in stories.probes())
    yield from (question for model in catalogue.CATALOGUE.values() for question in model.questions)


def mixture(passages: dict[str, list[str]]) -> str:
    """Return one text in which every genre is spread evenly, so that its beginning is a mixture too."""
    placed = []
    for number, texts in enumerate(passages.values()):
        shift = (number * 0.618) % 1  # genres with equally many passages do not come in step
        placed += [((i + shift) / len(texts), number, text) for i, text in enumerate(texts)]
    return "\n\n".join(text.strip() for _, _, text in sorted(placed)) + "\n"


def course() -> Iterator[str]:
    """Yield passages of the notebooks' prose."""
    for path in sorted((artifacts.ROOT / "notebooks").glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield from gathered("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def source() -> Iterator[str]:
    """Yield passages of the helpers' code, whole functions."""
    for path in sorted((artifacts.ROOT / "helpers").rglob("*.py")):
        yield from gathered(path.read_text(encoding="utf-8").split("\n\n\n"))


def gathered(parts: Iterable[str]) -> Iterator[str]:
    """Yield parts put together until they have PASSAGE words; a short rest at the end is left out."""
    passage: list[str] = []
    for part in parts:
        passage.append(part.strip("\n"))
        if sum(len(text.split()) for text in passage) >= PASSAGE:
            yield "\n\n".join(passage)
            passage = []


def evenly(passages: Iterable[str], words: int) -> list[str]:
    """Return passages of about so many words altogether, evenly spread over all of them."""
    passages = list(passages)
    share = min(1, words / sum(len(text.split()) for text in passages))
    return [text for i, text in enumerate(passages) if int((i + 1) * share) > int(i * share)]


def tables() -> Iterator[str]:
    """Yield twelve tables of invented numbers, always the same: logs, timetables and price lists in three notations."""
    drawn = random.Random("tables")
    number = drawn.random  # the one method whose sequence Python promises to keep
    names = "Ashby Colne Dunmere Eastgate Fallow Harrow Kestle Marsh Orrin Penfold Saltholm Tarn Wick".split()
    goods = "apples,barley,candles,eggs,flour,honey,lentils,nails,oil,paper,rope,salt,soap,tea,wax,wool".split(",")
    for month in range(1, 5):
        rows = [
            (f"2024-{month:02}-{day:02}", 4 * month + 12 * number() - 6, 9 * number() ** 3, int(360 * number()))
            for day in range(1, 22)
        ]
        yield "date,temperature_c,rain_mm,wind_deg\n" + "\n".join(f"{d},{t:.1f},{r:.1f},{w}" for d, t, r, w in rows)
        stops = [name for name in names if number() < 0.7]
        lines = []
        for start in range(5, 22, 2):
            minute, times = 60 * start + int(50 * number()), []
            for _ in stops:
                times.append(f"{minute // 60 % 24:02}:{minute % 60:02}")
                minute += 4 + int(14 * number())
            lines.append(f"| {start - 4} | " + " | ".join(times) + " |")
        head = "| train | " + " | ".join(stops) + " |\n|" + "---|" * (len(stops) + 1)
        yield head + "\n" + "\n".join(lines)
        lines = [f"{'item':<12}{'amount':>8}{'price':>10}{'total':>12}"]
        for item in (good for good in goods if number() < 0.8):
            amount, price = 1 + int(40 * number()), round(0.2 + 12 * number() ** 2, 2)
            lines.append(f"{item:<12}{amount:>8}{price:>10.2f}{amount * price:>12.2f}")
        yield "\n".join(lines)


if __name__ == "__main__":
    main()
