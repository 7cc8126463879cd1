"""Measuring prices: what is rounded when, what is known already, and the costs that follow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from helpers import artifacts
from helpers.pipeline import convert
from helpers.quality import candidates
from helpers.quality.costs import Costs, Group, spread
from helpers.quality.exchange import Exchange
from helpers.quality.importance import Importance
from helpers.quality.journal import Journal


class Study:
    """An open model, its importance, and a journal of what was measured: KL of each window, by what was rounded."""

    def __init__(self, model: Exchange, importance: Importance | None):
        self.model, self.importance = model, importance
        self.weights = {name: weights_of(importance, name) for name in model.exchangeable}
        self.journal = Journal(_path(model, importance))

    def divergences(self, label: str, kind: str, types: Mapping[str, str]) -> np.ndarray:
        """Return the KL of the model with these types, the others in floats: (windows,). `label`, `kind` name it."""
        if (label, kind) not in self.journal:
            for name in self.model.exchangeable:
                self.model.put(name, types.get(name, self.model.tensors[name].type), self.weights[name])
            self.journal.add(label, kind, self.model.divergences())
        return self.journal[label, kind]

    def mix(self, types: Mapping[str, str]) -> np.ndarray:
        """Return the KL of a whole mix on each window, (windows,)."""
        return self.divergences(hashlib.sha256(repr(sorted(types.items())).encode()).hexdigest()[:16], "mix", types)

    def costs(self, groups: Sequence[Group], kinds: Sequence[str], measured: Mapping[str, Sequence[str]]) -> Costs:
        """Measure each group in some types, by its label, and return all prices."""
        from tqdm.auto import tqdm

        groups = [group for group in groups if set(group.names) <= set(self.model.exchangeable)]
        known: dict[str, dict[str, np.ndarray]] = {group.label: {} for group in groups}
        fitting = {group.label: self._kinds(group, kinds) for group in groups}
        steps = [(g, kind) for g in groups for kind in measured[g.label] if kind in fitting[g.label]]
        with tqdm(steps, desc=f"measuring {self.model.path.stem}", unit="price") as bar:
            for group, kind in bar:
                bar.set_postfix_str(f"{group.label} {kind}")
                known[group.label][kind] = self.divergences(group.label, kind, dict.fromkeys(group.names, kind))
        kl: dict[str, dict[str, float]] = {}
        for group in groups:
            kl |= self._prices(group, fitting[group.label], known[group.label])
        tensors = self.model.tensors
        sizes = {n: {k: candidates.n_bytes(tensors[n].elements, k) for k in kl[n]} for n in kl}
        # One file is planned, and what its matrices do not take is the same in all: metadata, vectors, room between.
        floats = {name: tensors[name].type for name in kl}
        rest = convert.planned_size(self.model.path, "Q8_0", self.importance, floats)
        rest -= sum(sizes[name][kind] for name, kind in floats.items())
        measurements = {(label, kind): values for label, found in known.items() for kind, values in found.items()}
        return Costs(self.model.path.stem, sizes, kl, rest, measurements)

    def _kinds(self, group: Group, kinds: Sequence[str]) -> tuple[str, ...]:
        """Return which types fit a group, its floats first."""
        first = group.names[0]
        wanted = tuple(dict.fromkeys((self.model.tensors[first].type, *kinds)))
        return candidates.possible(self.model.originals[first].columns, wanted, self.weights[first] is not None)

    def _prices(
        self, group: Group, kinds: tuple[str, ...], measured: dict[str, np.ndarray]
    ) -> dict[str, dict[str, float]]:
        """Return a group's prices by tensor and type; errors are computed only where a price follows from them."""
        known = {kinds[0]: 0.0} | {kind: float(values.mean()) for kind, values in measured.items()}
        if len(group.names) == 1 and set(known) == set(kinds):
            return {group.names[0]: {kind: known[kind] for kind in kinds}}
        errors = {n: {k: self.model.error(n, k, self.weights[n]) for k in kinds} for n in group.names}
        return spread(kinds, known, errors)


def weights_of(importance: Importance | None, name: str) -> np.ndarray | None:
    """Return a tensor's importance, or None if there is none."""
    return importance.weights(name) if importance is not None and name in importance.sums else None


def _path(model: Exchange, importance: Importance | None) -> Path:
    """Return where measurements are kept, by everything that they depend on."""
    import llama_cpp

    what = (
        artifacts.stamp(*model.files),
        importance.checksum if importance else None,
        (model.windows.shape, model.first),
        llama_cpp.__version__,
    )
    key = hashlib.sha256(repr(what).encode() + model.windows.tobytes()).hexdigest()[:12]
    return artifacts.folder("mix") / f"{model.path.stem}-{key}.jsonl"
