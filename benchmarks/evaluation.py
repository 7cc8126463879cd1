"""Speed of `evaluate.perplexity` against two peers: `python -m benchmarks.evaluation`. About two minutes.

Peers, in one process on the same windows of 512 tokens of SmolLM2 in F16, 2 threads: a bare `llama_decode` of the
same batches, which computes nothing from the logits; and the usual way, `Llama(logits_all=True)` with
`Llama.logits_to_logprobs` for each token in Python, for all tokens (as most scripts do) or for the scored half.
They take turns; the best of each counts.
"""

from __future__ import annotations

import math
import time

import llama_cpp
import numpy as np

from helpers import artifacts, convert, evaluate, models, runtime

WINDOW, WINDOWS, THREADS, ROUNDS = 512, 2, 2, 5


def main() -> None:
    f16 = convert.to_gguf(models.CATALOGUE["smollm2"].fetch(), "f16")
    text = (artifacts.ROOT / "data" / "evaluation.txt").read_text()
    with evaluate._Model(f16, text, WINDOW, WINDOWS, THREADS) as model:
        usual = runtime.load(f16, n_ctx=WINDOW, threads=THREADS, n_batch=WINDOW, n_ubatch=WINDOW, logits_all=True)

        def bare() -> None:
            for _ in model.scored():
                pass

        def ours() -> float:
            return float(np.mean([evaluate._losses(logits, targets) for logits, targets in model.scored()]))

        def usual_way(first: int) -> float:
            losses = []
            for window in model.windows:
                usual.reset()
                usual.eval(window.tolist())
                for position in range(first, WINDOW - 1):
                    log_p = llama_cpp.Llama.logits_to_logprobs(usual.scores[position])
                    losses.append(-log_p[window[position + 1]])
            return float(np.mean(losses))

        def usual_half() -> float:
            return usual_way(model.first)

        def usual_all() -> float:
            return usual_way(0)

        best = {}
        for _ in range(ROUNDS):
            for way in (bare, ours, usual_half, usual_all):
                started = time.perf_counter()
                way()
                seconds = time.perf_counter() - started
                best[way.__name__] = min(best.get(way.__name__, math.inf), seconds)
        assert math.isclose(ours(), usual_half(), rel_tol=1e-3)
        usual.close()
    speeds = {name: WINDOW * WINDOWS / seconds for name, seconds in best.items()}
    print(f"llama-cpp-python {llama_cpp.__version__}, {THREADS} threads, tokens per second")
    print("  ".join(f"{name} {speed:.0f}" for name, speed in speeds.items()))
    for name, budget in (("bare", 0.93), ("usual_half", None), ("usual_all", 1.3)):
        note = f" (budget {budget})" if budget else ""
        print(f"ours ÷ {name} {speeds['ours'] / speeds[name]:.2f}{note}")


if __name__ == "__main__":
    main()
