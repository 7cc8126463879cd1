"""Speed of `scoring.perplexity` on windows of 512 tokens of SmolLM2 in F16, 2 threads. About a minute.

Peers, in one process on the same windows: a bare `llama_decode` of the same batches, which computes nothing from the
logits; and the usual way, `Llama(logits_all=True)` with `Llama.logits_to_logprobs` for each token in Python, for all
tokens (as most scripts do) or for the scored half.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import llama_cpp
import numpy as np

from benchmarks.report import Row, race
from helpers import artifacts
from helpers.pipeline import catalogue, convert, runtime
from helpers.quality import scoring

GROUP = "Perplexity"
WINDOW, WINDOWS, THREADS, ROUNDS = 512, 2, 2, 5


def reading(rows: list[Row]) -> str:
    """Say what the rows show."""
    return (
        f"Ours runs at {rows[0].ratio:.0%} of bare decoding: nearly all the time is llama.cpp's own, so a loop in "
        f"Python is hardly slower here (ratio {rows[2].ratio:.2f})."
    )


def rows() -> Iterator[Row]:
    """Race ours against the bare decoder and the usual loop; all must find the same perplexity."""
    f16 = convert.to_gguf(catalogue.CATALOGUE["smollm2"].fetch(), "f16")
    text = (artifacts.ROOT / "data" / "evaluation.txt").read_text()
    with scoring.Scorer(f16, text, WINDOW, WINDOWS, THREADS) as model:
        usual = runtime.load(f16, n_ctx=WINDOW, threads=THREADS, n_batch=WINDOW, n_ubatch=WINDOW, logits_all=True)

        def bare() -> None:
            for _ in model.scored():
                pass

        def ours() -> float:
            return float(np.mean([scoring.losses_of(logits, targets) for logits, targets in model.scored()]))

        def usual_way(first: int) -> float:
            losses = []
            for window in model.windows:
                usual.reset()
                usual.eval(window.tolist())
                for position in range(first, WINDOW - 1):
                    log_p = llama_cpp.Llama.logits_to_logprobs(usual.scores[position])
                    losses.append(-log_p[window[position + 1]])
            return float(np.mean(losses))

        assert math.isclose(ours(), usual_way(model.first), rel_tol=1e-3)
        mine, *peers = race(ours, bare, lambda: usual_way(model.first), lambda: usual_way(0), rounds=ROUNDS)
        usual.close()
    tokens = WINDOW * WINDOWS
    names = ("bare llama_decode", "Python loop, scored half", "Python loop, all tokens")
    for name, peer, note in zip(names, peers, ("budget: ratio 0.93", "", "budget: ratio 1.3"), strict=True):
        speeds = (tokens / mine.best, "tokens/s", name, tokens / peer.best, mine.spread)
        yield Row(GROUP, "perplexity, SmolLM2 F16", *speeds, note)
