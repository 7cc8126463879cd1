"""The best file for its size: which tensor gets which type, decided by what each one's rounding was measured to cost.

    costs = mix.sensitivity(f16, text, importance)      # KL of each tensor alone, in each type
    best = mix.choose(costs, budget=recipe.stat().st_size)
    convert.requantize(f16, "Q4_K_M", importance=importance, types=best.types)
    mix.pareto(costs)                                   # the best mix of every size

llama.cpp's recipes (Q4_K_M and so on) give more bits to the same tensors of every model. Here the model says itself
which ones need them, on a text; whether that helps on another text is for `evaluate.compare` to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from helpers.pipeline import gguf_file
from helpers.pipeline.proof import stored
from helpers.quality import candidates
from helpers.quality.candidates import KINDS
from helpers.quality.costs import Costs
from helpers.quality.exchange import Exchange
from helpers.quality.importance import Importance
from helpers.quality.knapsack import Mix, choose, pareto
from helpers.quality.plan import Plan, plan
from helpers.quality.study import Study, weights_of

__all__ = ["KINDS", "Costs", "Mix", "Plan", "by_error", "choose", "pareto", "plan", "refine", "sensitivity"]

CHANGE = 0.25  # standard deviation of the logarithm of the factors on prices that `refine` tries


def sensitivity(
    wide: str | Path,
    text: str | Iterable[str],
    importance: Importance | None = None,
    kinds: Sequence[str] = KINDS,
    measured: int | None = 1,
    minutes: float | None = None,
    window: int = 256,
    most: int = 24,
    threads: int | None = None,
) -> Costs:
    """Return what each tensor of a GGUF of floats costs in each of `kinds`: it alone is rounded, the others stay.

    Each is measured in one type, or in `measured` (None: in all); the prices of others follow from their weighted
    errors. A large model takes long: with `minutes`, neighbouring layers share a measurement, see `plan`.

    `most` windows are taken evenly from the text. What was measured is kept in artifacts/mix, so that an interrupted
    call goes on. Raises InputError for a file that is quantized already and as `scoring.perplexity` does.
    """
    file = gguf_file.summary(wide)
    planned = plan(file, kinds, measured, minutes, window, most)
    with Exchange(file.path, text, window, most, threads) as model:
        return Study(model, importance).costs(planned.groups, kinds, planned.measured)


def by_error(costs: Costs, wide: str | Path, importance: Importance | None) -> Costs:
    """Return the same with each tensor's weighted error as its price: no text is read, no KL is measured.

    So chooses llama.cpp's pull request 15550 (`--target-bpw`, open in 2026): all errors count alike, wherever they are.
    """
    file = gguf_file.summary(wide)
    shapes = {tensor.name: tensor.shape for tensor in file.tensors}
    kl = {
        tensor.name: {
            kind: candidates.error(
                tensor, candidates.experts(shapes[tensor.name]), kind, weights_of(importance, tensor.name)
            )
            for kind in costs.kl[tensor.name]
        }
        for tensor in stored.tensors(file.path)
        if tensor.name in costs.kl
    }
    return replace(costs, kl=kl)


def refine(
    wide: str | Path,
    text: str | Iterable[str],
    importance: Importance | None,
    costs: Costs,
    budget: float,
    trials: int = 40,
    window: int = 256,
    most: int = 24,
    threads: int | None = None,
    seed: int = 0,
) -> list[Mix]:
    """Try mixes that slightly other prices would choose, each measured whole; return them, the best last.

    Errors do not quite add up: two may partly undo each other, which no price of one tensor tells. All prices are
    multiplied with random factors; who wins passes its factors on. `predicted` is the KL measured on this text.
    """
    from tqdm.auto import tqdm

    random, tried = np.random.default_rng(seed), []
    factors = np.zeros(len(costs.kl))  # logarithms
    with Exchange(wide, text, window, most, threads) as model:
        study = Study(model, importance)
        with tqdm(range(trials + 1), desc=f"trying mixes of {model.path.stem}", unit="mix") as bar:
            for trial in bar:
                other = factors + (random.normal(0, CHANGE, len(factors)) if trial else 0)
                mix = choose(costs.times(np.exp(other)), budget)
                if any(mix.types == before.types for before in tried):
                    continue
                mix = replace(mix, predicted=float(study.mix(mix.types).mean()))
                if not tried or mix.predicted < min(before.predicted for before in tried):
                    factors = other
                    bar.set_postfix_str(f"KL {mix.predicted:.5f}")
                tried.append(mix)
    return sorted(tried, key=lambda mix: -mix.predicted)
