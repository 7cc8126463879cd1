"""Measuring prices: which tensor is rounded when, what is known already, and the costs that follow."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from helpers import artifacts
from helpers.pipeline import convert
from helpers.quality import candidates
from helpers.quality.costs import Costs, Group, given_back, spread
from helpers.quality.exchange import Exchange
from helpers.quality.importance import Importance
from helpers.quality.journal import Journal

WHOLE = ("", "")  # the journal's key for the model before anything is exchanged


class Study:
    """An open model, its tensors in groups, and what was measured of them; around a mix each tensor is a group."""

    def __init__(
        self,
        model: Exchange,
        importance: Importance | None,
        kinds: tuple[str, ...],
        groups: Sequence[Group],
        around: Mapping[str, str] | None,
    ):
        self.model, self.importance = model, importance
        self.floats = {name: model.tensors[name].type for name in model.exchangeable}
        self.around = self.floats | dict(around or {})
        self.weights = {name: weights_of(importance, name) for name in model.exchangeable}
        self.possible = {
            name: candidates.possible(
                model.originals[name].columns,
                tuple(dict.fromkeys((self.floats[name], self.around[name], *kinds))),
                self.weights[name] is not None,
            )
            for name in model.exchangeable
        }
        self.groups = [group for group in groups if set(group.names) <= set(model.exchangeable)]
        self.journal = Journal(_path(model, importance, self.groups, self.around))
        for name, kind in self.around.items():
            if kind != self.floats[name]:
                model.put(name, kind, self.weights[name])
        if WHOLE not in self.journal:
            self.journal.add(*WHOLE, model.divergences())

    def steps(self, measured: Mapping[str, Sequence[str]]) -> Iterator[tuple[Group, str]]:
        """Yield which group to measure in which type, with a progress bar; `measured` names types by group's label."""
        from tqdm.auto import tqdm

        every = []
        for group in self.groups:
            name = group.names[0]
            kinds = measured[group.label] if self.around == self.floats else [self.floats[name]]
            changed = any(self.around[name] not in kinds for name in group.names)
            every += [(group, kind) for kind in kinds if kind in self.possible[name] and changed]
        with tqdm(every, desc=f"measuring {self.model.path.stem}", unit="price") as bar:
            for group, kind in bar:
                bar.set_postfix_str(f"{group.label} {kind}")
                yield group, kind

    def measure(self, group: Group, kind: str) -> None:
        """Measure the model with one group in another type, unless that is known."""
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
            kl |= self._prices(group)
        tensors = self.model.tensors
        sizes = {n: {k: candidates.n_bytes(tensors[n].elements, k) for k in kl[n]} for n in kl}
        # One file is planned, and what its matrices do not take is the same in all: metadata, vectors, room between.
        rest = convert.planned_size(self.model.path, "Q8_0", self.importance, self.around)
        rest -= sum(sizes[name][kind] for name, kind in self.around.items())
        explained = sum(np.nan_to_num(kl[name][kind]) for name, kind in self.around.items())
        base = float(self.journal[WHOLE].mean() - explained)
        return Costs(self.model.path.stem, sizes, kl, rest, self.around, base, self.journal.kl)

    def _prices(self, group: Group) -> dict[str, dict[str, float]]:
        """Return a group's prices by tensor and type; errors are computed only where a price follows from them."""
        kinds = self.possible[group.names[0]]
        mean = {kind: float(kl.mean()) for (label, kind), kl in self.journal.kl.items() if label == group.label}
        floats = self.floats[group.names[0]]
        known = {kind: mean[kind] for kind in kinds if kind in mean} | {floats: 0.0}
        if self.around == self.floats and len(group.names) == 1 and set(known) == set(kinds):
            return {group.names[0]: known}
        errors = {n: {k: self.model.error(n, k, self.weights[n]) for k in kinds} for n in group.names}
        if self.around == self.floats:
            return spread(kinds, known, errors)
        less = float(self.journal[WHOLE].mean()) - mean.get(floats, math.nan)
        return given_back(less, self.around, errors)


def weights_of(importance: Importance | None, name: str) -> np.ndarray | None:
    """Return a tensor's importance, or None if there is none."""
    return importance.weights(name) if importance is not None and name in importance.sums else None


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
