"""The best file for its size: which tensor gets which type, decided by what each one's rounding was measured to cost.

    costs = mix.sensitivity(f16, text, importance)      # KL of each tensor alone, in each type
    best = mix.choose(costs, budget=recipe.stat().st_size)
    convert.requantize(f16, "Q4_K_M", importance=importance, types=best.types)
    mix.pareto(costs)                                   # the best mix of every size

llama.cpp's recipes (Q4_K_M and so on) give more bits to the same tensors of every model. Here the model says itself
which ones need them, on a text; whether that helps on another text is for `evaluate.compare` to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from helpers.pipeline import gguf_file
from helpers.pipeline.proof import stored
from helpers.quality import candidates
from helpers.quality.candidates import KINDS
from helpers.quality.costs import Costs, between
from helpers.quality.exchange import Exchange
from helpers.quality.importance import Importance
from helpers.quality.knapsack import Mix, choose, pareto
from helpers.quality.plan import Plan, plan
from helpers.quality.study import Study, weights_of

__all__ = ["KINDS", "Costs", "Mix", "Plan", "by_error", "choose", "measure", "pareto", "plan", "refine", "sensitivity"]


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
    around: Mapping[str, str] | None = None,
) -> Costs:
    """Return what each tensor of a GGUF of floats costs in each of `kinds`: it alone is rounded, the others stay.

    Each is measured in one type, or in `measured` (None: in all); the prices of others follow from their weighted
    errors. A large model takes long: with `minutes`, neighbouring layers share a measurement, see `plan`. With
    `around`, a type for each tensor, the price is what becomes less if this tensor alone is given back its floats.

    `most` windows are taken evenly from the text. What was measured is kept in artifacts/mix, so that an interrupted
    call goes on. Raises InputError for a file that is quantized already and as `scoring.perplexity` does.
    """
    file = gguf_file.summary(wide)
    planned = plan(file, kinds, measured, minutes, window, most)
    with Exchange(file.path, text, window, most, threads) as model:
        study = Study(model, importance, tuple(kinds), planned.groups, around)
        for group, kind in study.steps(planned.measured):
            study.measure(group, kind)
        return study.costs()


def measure(
    wide: str | Path,
    text: str | Iterable[str],
    importance: Importance | None,
    *mixes: Mapping[str, str],
    window: int = 256,
    most: int = 24,
    threads: int | None = None,
) -> np.ndarray:
    """Return the KL of whole mixes on each window, (mixes, windows), in the open model: no file is made."""
    with Exchange(wide, text, window, most, threads) as model:
        found = []
        for types in mixes:
            for name in model.exchangeable:
                model.put(name, types.get(name, model.tensors[name].type), weights_of(importance, name))
            found.append(model.divergences())
        return np.stack(found)


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
    return replace(costs, kl=kl, base=0.0)


def refine(
    wide: str | Path,
    text: str | Iterable[str],
    importance: Importance | None,
    costs: Costs,
    budget: float,
    rounds: int = 2,
    **options,
) -> list[Mix]:
    """Choose a mix, measure prices among the others' errors, choose again; return all, the best last.

    Errors do not quite add up: what a tensor costs beside others that are rounded, too, is not what it costs alone.
    The KL of each mix returned is measured, on the same text. options: as for `sensitivity`.
    """
    mix, tried = choose(costs, budget), []
    for _ in range(rounds + 1):
        inside = sensitivity(wide, text, importance, around=mix.types, **options)
        tried.append(Mix(mix.types, mix.bytes, inside.predicted(mix.types)))
        mix = choose(between(costs, inside), budget)
        if any(mix.types == before.types for before in tried):
            break
    return sorted(tried, key=lambda mix: -mix.predicted)
