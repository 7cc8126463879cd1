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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from helpers import artifacts
from helpers.quality import candidates
from helpers.quality.candidates import KINDS
from helpers.quality.costs import Costs, Group, groups_of, spread
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
    groups: int | None = None,
    measured: Sequence[str] | None = None,
    window: int = 128,
    most: int | None = 16,
    threads: int | None = None,
    around: Mapping[str, str] | None = None,
) -> Costs:
    """Measure what each tensor of a GGUF of floats costs in each of `kinds`: it alone is rounded, the others stay.

    `groups` bounds how many groups of tensors are measured (without it each tensor is one), `measured` which types
    (without it all of them): the prices of others follow from their weighted errors. `most` windows are taken evenly
    from the text. With `around`, a type for each tensor, prices are what changes if one tensor leaves that mix; then
    each tensor is a group and every price is measured. What was measured is kept in artifacts/mix, so that an
    interrupted call goes on. Raises InputError for a file that is quantized already and as `scoring.perplexity` does.
    """
    with Exchange(wide, text, window, most, threads) as model:
        study = _Study(model, importance, tuple(kinds), groups, around)
        for group, kind in study.wanted(measured):
            study.measure(group, kind)
        return study.costs()


def measure(
    wide: str | Path,
    text: str | Iterable[str],
    importance: Importance | None,
    *mixes: Mapping[str, str],
    window: int = 128,
    most: int | None = 16,
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

    def __init__(self, model: Exchange, importance, kinds: tuple[str, ...], groups: int | None, around):
        self.model, self.importance = model, importance
        self.possible = {
            name: candidates.possible(
                name, model.originals[name].columns, kinds, _weights(importance, name) is not None
            )
            for name in model.exchangeable
        }
        self.unchanged = {name: model.tensors[name].type for name in model.exchangeable}
        self.around = self.unchanged | dict(around or {})
        self.groups = groups_of(model.exchangeable, None if around else groups)
        self.journal = Journal(self._path())
        for name, kind in self.around.items():
            if kind != self.unchanged[name]:
                model.put(name, kind, _weights(importance, name))
        if ("", "") not in self.journal:
            self.journal.add("", "", model.divergences())
        self.base = float(self.journal["", ""].mean())

    def wanted(self, measured: Sequence[str] | None) -> Iterable[tuple[Group, str]]:
        """Yield what is to be measured, with a progress bar."""
        from tqdm.auto import tqdm

        every = []
        for group in self.groups:
            kinds = self.possible[group.names[0]]
            if measured is not None and self.around == self.unchanged:
                kinds = [kind for kind in kinds if kind in measured] or kinds
            every += [(group, kind) for kind in kinds if kind != self.around[group.names[0]]]
        with tqdm(every, desc=f"measuring {self.model.path.stem}", unit="price") as bar:
            for group, kind in bar:
                bar.set_postfix_str(f"{group.label} {kind}")
                yield group, kind

    def measure(self, group: Group, kind: str) -> None:
        """Measure one group in one type unless that is known."""
        if (group.label, kind) in self.journal:
            return
        if all(kind == self.unchanged[name] for name in group.names) and self.around == self.unchanged:
            return
        for name in group.names:
            self.model.put(name, kind, _weights(self.importance, name))
        self.journal.add(group.label, kind, self.model.divergences())
        for name in group.names:
            self.model.put(name, self.around[name], _weights(self.importance, name))

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
                    name: {kind: self.model.error(name, kind, _weights(self.importance, name)) for kind in kinds}
                    for name in group.names
                }
            kl |= spread(group, kinds, known, errors)
        tensors = self.model.tensors
        sizes = {n: {k: candidates.n_bytes(tensors[n].elements, k) for k in kl[n]} for n in kl}
        rest = self.model.file_bytes - sum(tensors[name].n_bytes for name in kl)
        return Costs(self.model.path.stem, sizes, kl, rest, self.around, self.base, self.journal.kl)

    def _path(self) -> Path:
        import llama_cpp

        model = self.model
        what = (
            artifacts.stamp(*model.files),
            model.first,
            model.windows.shape,
            self.importance.checksum if self.importance else None,
            self.groups,
            sorted(self.around.items()),
            llama_cpp.__version__,
        )
        key = hashlib.sha256(repr(what).encode() + model.windows.tobytes()).hexdigest()[:12]
        return artifacts.folder("mix") / f"{model.path.stem}-{key}.jsonl"


def _weights(importance: Importance | None, name: str) -> np.ndarray | None:
    return importance.weights(name) if importance is not None and name in importance.sums else None
