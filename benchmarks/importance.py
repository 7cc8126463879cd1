"""Recording importance on windows of 256 tokens, 2 threads. Some minutes; 20 more where llama-imatrix must be built.

Peers, on the same windows: llama.cpp's decoder with the logits of every token and nobody looking on; and llama.cpp's
own llama-imatrix (tests/long/llama_imatrix.py builds it), without its perplexity, as the difference between a long and
a short run, so that starting and loading do not count. Ours adds up every window as `importance.collect` does.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Row, Time, race
from helpers.errors import CourseError
from helpers.pipeline import catalogue, convert, gguf_file
from helpers.quality import calibration, importance, squares, watching
from helpers.quality.scoring import Scorer
from tests.long import llama_imatrix

GROUP = "Importance"
WINDOW, THREADS, ROUNDS, SHORT = 256, 2, 5, 2
MODELS = {"story": 40, "smollm2": 4}  # windows


def reading(rows: list[Row]) -> str:
    """Say what the rows show."""
    plain = [row.theirs / row.ours for row in rows if row.peer.startswith("bare")]
    said = f"Recording takes {min(plain):.2f} to {max(plain):.2f} times as long as decoding without a watcher."
    if peers := [row.theirs / row.ours for row in rows if row.peer == "llama-imatrix"]:
        said += f" llama-imatrix takes {1 / max(peers):.2f} to {1 / min(peers):.2f} times as long as ours for the same."
    return said


def rows() -> Iterator[Row]:
    """Race recording against both peers, for a very small and a small model."""
    for name, windows in MODELS.items():
        gguf = convert.to_gguf(catalogue.CATALOGUE[name].fetch(), "f16")
        speeds, what = race_one(gguf, windows), f"recording, {catalogue.CATALOGUE[name].title} F16"
        tokens = windows * WINDOW
        peers = {"bare llama_decode": "budget: ratio 0.87", "llama-imatrix": "budget: ratio 1.0"}
        for (peer, note), theirs in zip(peers.items(), speeds[1:], strict=False):
            yield Row(GROUP, what, tokens / speeds[0].best, "tokens/s", peer, tokens / theirs, speeds[0].spread, note)


def race_one(gguf: Path, windows: int) -> list:
    """Return our time, and the seconds of the peers: the decoder, and llama-imatrix if it is there."""
    text = calibration.text()
    with Scorer(gguf, text, WINDOW, windows, THREADS) as model, tempfile.TemporaryDirectory() as temporary:
        pairs = model.windows.reshape(-1, 2, WINDOW)
        source = Path(temporary) / "text.txt"
        source.write_text(text, encoding="utf-8")
        seen, names = squares.Squares(), {tensor.name for tensor in gguf_file.summary(gguf).tensors}
        with watching.watched(model.llm, names, seen.add, 2) as read, watching.reader(model.llm, None, 2) as decode:

            def ours() -> importance.Importance:
                whole = importance.Importance({}, {}, (), WINDOW, 0)
                for two in pairs:
                    read(two)
                    found = seen.taken("it", two.size)
                    whole = importance.merge(whole, importance.Importance(*found, (), WINDOW, len(two)))
                return whole

            def theirs(chunks: int) -> None:
                options = ("-f", source, "-c", WINDOW, "--chunks", chunks, "--no-ppl", "-o", Path(temporary) / "x.gguf")
                llama_imatrix.run(gguf, "-tb", THREADS, *options)

            competitors = [ours, lambda: [decode(two) for two in pairs]]
            with contextlib.suppress(CourseError):  # no compiler here
                llama_imatrix.program()
                competitors += [lambda: theirs(windows + SHORT), lambda: theirs(SHORT)]
            for run in competitors:
                run()
            mine, *others = race(*competitors, rounds=ROUNDS)
            return [mine, others[0].best, *difference(*others[1:])]


def difference(long: Time | None = None, short: Time | None = None) -> list[float]:
    """Return the seconds that the long run takes more, in a list; an empty one without runs."""
    return [long.best - short.best] if long and short else []
