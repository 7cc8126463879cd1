"""The best file for its size: which tensor gets which type, decided by what each one's rounding was measured to cost.

    costs = mix.sensitivity(f16, text, importance)      # KL of each tensor alone, in each type
    best = mix.choose(costs, budget=recipe.stat().st_size)
    convert.requantize(f16, "Q4_K_M", importance=importance, types=best.types)
    mix.pareto(costs)                                   # the best mix of every size

llama.cpp's recipes (Q4_K_M and so on) give more bits to the same tensors of every model. Here the model says itself
which ones need them, on a text; whether that helps on another text is for `evaluate.compare` to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from helpers import artifacts
from helpers.pipeline import convert, gguf_file
from helpers.quality import candidates, plan
from helpers.quality.candidates import KINDS
from helpers.quality.costs import Costs, Group, spread
from helpers.quality.exchange import Exchange
from helpers.quality.importance import Importance
from helpers.quality.journal import Journal
from helpers.quality.knapsack import Mix, choose, pareto

__all__ = ["KINDS", "Costs", "Mix", "choose", "measure", "pareto", "refine", "sensitivity"]


def sensitivity(
    wide: str | Path,
    text: str | Iterable[str],
    importance: Importance | None = None,
    kinds: Sequence[str] = KINDS,
    minutes: float | None = None,
    window: int = 256,
    most: int = 8,
    threads: int | None = None,
    around: Mapping[str, str] | None = None,
) -> Costs:
    """Measure what each tensor of a GGUF of floats costs in each of `kinds`: it alone is rounded, the others stay.

    A large model takes long: with `minutes`, `plan.plan` decides what is measured, and the other prices follow from
    weighted errors. `most` windows are taken evenly from the text. With `around`, a type for each tensor, prices are
    what changes if one tensor leaves that mix. What was measured is kept in artifacts/mix, so that an interrupted call
    goes on. Raises InputError for a file that is quantized already and as `scoring.perplexity` does.
    """
    file = gguf_file.summary(wide)
    planned = plan.plan(file, kinds, minutes, window, most)
    with Exchange(file.path, text, window, most, threads) as model:
        study = _Study(model, importance, tuple(kinds), planned, around)
        for group, kind in study.wanted():
            study.measure(group, kind)
        return study.costs()


def measure(
    wide: str | Path,
    text: str | Iterable[str],
    importance: Importance | None,
    *mixes: Mapping[str, str],
    window: int = 256,
    most: int = 8,
    threads: int | None = None,
) -> np.ndarray:
    """Return the KL of whole mixes on each window, (mixes, windows), in the open model: no file is made."""
    with Exchange(wide, text, window, most, threads) as model:
        found = []
        for types in mixes:
            for name in model.exchangeable:
                model.put(name, types.get(name, model.tensors[name].type), _weights(importance, name))
            found.append(model.divergences())
        return np.stack(found)


def refine(
    wide: str | Path,
    text: str | Iterable[str],
    importance: Importance | None,
    costs: Costs,
    budget: float,
    rounds: int = 2,
    **options,
) -> tuple[Mix, list[float]]:
    """Choose a mix, measure the prices of single changes around it, choose again; return the best and each one's KL.

    Errors do not quite add up: what a tensor costs beside others that are rounded, too, is not what it costs alone.
    options: kinds, window, most, threads, as for `sensitivity`.
    """
    mix, best, seen = choose(costs, budget), None, []
    for _ in range(rounds + 1):
        costs = sensitivity(wide, text, importance, around=mix.types, **options)
        mix = Mix(mix.types, mix.bytes, costs.base)
        seen.append(costs.base)
        if best is None or mix.predicted < best.predicted:
            best = mix
        mix = choose(costs, budget)
        if mix.types == costs.around:
            break
    return best, seen


class _Study:
    """One call of `sensitivity`: a model, its groups, what is known of them."""

    def __init__(
        self,
        model: Exchange,
        importance: Importance | None,
        kinds: tuple[str, ...],
        planned: plan.Plan,
        around: Mapping[str, str] | None,
    ):
        self.model, self.importance, self.planned = model, importance, planned
        self.weights = {name: _weights(importance, name) for name in model.exchangeable}
        self.unchanged = {name: model.tensors[name].type for name in model.exchangeable}
        self.around = self.unchanged | dict(around or {})
        self.possible = {
            name: candidates.possible(
                model.originals[name].columns,
                tuple(dict.fromkeys((self.unchanged[name], *kinds))),
                self.weights[name] is not None,
            )
            for name in model.exchangeable
        }
        self.groups = [group for group in planned.groups if set(group.names) <= set(model.exchangeable)]
        self.journal = Journal(_path(model, importance, self.groups, self.around))
        for name, kind in self.around.items():
            if kind != self.unchanged[name]:
                model.put(name, kind, self.weights[name])
        if ("", "") not in self.journal:
            self.journal.add("", "", model.divergences())
        self.base = float(self.journal["", ""].mean())

    def wanted(self) -> Iterator[tuple[Group, str]]:
        """Yield what is to be measured, with a progress bar."""
        from tqdm.auto import tqdm

        every = []
        for group in self.groups:
            name = group.names[0]
            kinds = self.possible[name] if self.around != self.unchanged else self.planned.measured[group.label]
            every += [(group, k) for k in kinds if k in self.possible[name] and k != self.around[name]]
        with tqdm(every, desc=f"measuring {self.model.path.stem}", unit="price") as bar:
            for group, kind in bar:
                bar.set_postfix_str(f"{group.label} {kind}")
                yield group, kind

    def measure(self, group: Group, kind: str) -> None:
        """Measure one group in one type unless that is known."""
        if (group.label, kind) in self.journal:
            return
        for name in group.names:
            self.model.put(name, kind, self.weights[name])
        self.journal.add(group.label, kind, self.model.divergences())
        for name in group.names:
            self.model.put(name, self.around[name], self.weights[name])

    def costs(self) -> Costs:
        """Return all prices from what was measured."""
        kl: dict[str, dict[str, float]] = {}
        for group in self.groups:
            kinds = self.possible[group.names[0]]
            known = {
                k: float(self.journal[group.label, k].mean()) - self.base
                for k in kinds
                if (group.label, k) in self.journal
            }
            known |= {kind: 0.0 for kind in kinds if kind == self.around[group.names[0]]}
            errors = {name: dict.fromkeys(kinds, 1.0) for name in group.names}
            if len(group.names) > 1 or set(known) != set(kinds):
                errors = {
                    name: {kind: self.model.error(name, kind, self.weights[name]) for kind in kinds}
                    for name in group.names
                }
            kl |= spread(group, kinds, known, errors)
        tensors = self.model.tensors
        sizes = {n: {k: candidates.n_bytes(tensors[n].elements, k) for k in kl[n]} for n in kl}
        # One file is planned, and what its matrices do not take is the same in all: metadata, vectors, room between.
        rest = convert.planned_size(self.model.path, "Q8_0", self.importance, self.around)
        rest -= sum(sizes[name][kind] for name, kind in self.around.items())
        return Costs(self.model.path.stem, sizes, kl, rest, self.around, self.base, self.journal.kl)


def _path(model: Exchange, importance: Importance | None, groups: list[Group], around: dict[str, str]) -> Path:
    """Return where measurements are kept, by everything that they depend on."""
    import llama_cpp

    what = (
        artifacts.stamp(*model.files),
        importance.checksum if importance else None,
        groups,
        sorted(around.items()),
        (model.windows.shape, model.first),
        llama_cpp.__version__,
    )
    key = hashlib.sha256(repr(what).encode() + model.windows.tobytes()).hexdigest()[:12]
    return artifacts.folder("mix") / f"{model.path.stem}-{key}.jsonl"


def _weights(importance: Importance | None, name: str) -> np.ndarray | None:
    return importance.weights(name) if importance is not None and name in importance.sums else None
