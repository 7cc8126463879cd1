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
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from helpers import artifacts
from helpers.quality import candidates
from helpers.quality.candidates import KINDS
from helpers.quality.costs import Costs, Group, groups_of, spread
from helpers.quality.exchange import Exchange


def sensitivity(
    wide: str | Path,
    text: str | Iterable[str],
    importance=None,
    kinds: Sequence[str] = KINDS,
    groups: int | None = None,
    measure: Sequence[str] | None = None,
    window: int = 128,
    most: int | None = 16,
    threads: int | None = None,
    around: Mapping[str, str] | None = None,
) -> Costs:
    """Measure what each tensor, or group of tensors, costs in each type: it alone is stored so, the others stay."""
    kinds = tuple(kinds)
    with Exchange(wide, text, window, most, threads) as model:
        weights = {name: importance.weights(name) for name in model.exchangeable if importance and name in importance.sums}
        possible = {
            name: candidates.possible(name, model.originals[name].columns, kinds, name in weights)
            for name in model.exchangeable
        }
        around = {name: model.tensors[name].type for name in model.exchangeable} | dict(around or {})
        divided = groups_of(model.exchangeable, groups)
        journal = Journal(_journal(model, importance, divided, around))
        measured = _measured(model, divided, possible, measure, weights, around, journal)
        base = float(journal.kl[("", "")].mean()) if ("", "") in journal.kl else 0.0
        file_bytes = model.path.stat().st_size
        sizes = {n: {k: candidates.n_bytes(model.tensors[n].elements, k) for k in possible[n]} for n in possible}
        rest = file_bytes - sum(model.tensors[name].n_bytes for name in possible)
        kl: dict[str, dict[str, float]] = {}
        for group in divided:
            means = {kind: float(m.mean()) for (label, kind), m in measured.items() if label == group.label}
            missing = [kind for kind in possible[group.names[0]] if kind not in means]
            if missing or len(group.names) > 1:
                errors = {n: {k: model.error(n, k, weights.get(n)) for k in possible[n]} for n in group.names}
            else:
                errors = {n: dict.fromkeys(possible[n], 1.0) for n in group.names}
            kl |= spread(group, possible[group.names[0]], means, errors)
    return Costs(model.path.stem, sizes, kl, rest, around, base, measured)


def _measured(model, divided, possible, measure, weights, around, journal) -> dict[tuple[str, str], np.ndarray]:
    from tqdm.auto import tqdm

    wanted = [
        (group, kind)
        for group in divided
        for kind in possible[group.names[0]]
        if (measure is None or kind in measure) and kind != model.tensors[group.names[0]].type
    ]
    wanted.sort(key=lambda pair: divided.index(pair[0]))
    with tqdm(total=len(wanted), desc="measuring", unit="type") as bar:
        for group, kind in wanted:
            bar.set_postfix_str(f"{group.label} {kind}")
            if (group.label, kind) not in journal.kl:
                for name in group.names:
                    model.put(name, kind, weights.get(name))
                journal.add(group.label, kind, model.divergences())
                for name in group.names:
                    model.put(name, around[name], weights.get(name))
            bar.update()
    return {(g.label, k): journal.kl[(g.label, k)] for g, k in wanted}


class Journal:
    """What was measured so far, a line of JSON for each, so that an interruption costs one measurement."""

    def __init__(self, path: Path):
        self.path, self.kl = path, {}
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                label, kind, kl = json.loads(line)
                self.kl[(label, kind)] = np.array(kl)
            except ValueError:  # cut off by a crash
                continue

    def add(self, label: str, kind: str, kl: np.ndarray) -> None:
        """Keep one measurement, here and in the file."""
        with open(self.path, "a") as file:
            file.write(json.dumps([label, kind, [float(f"{value:.6g}") for value in kl]]) + "\n")
        self.kl[(label, kind)] = kl


def _journal(model: Exchange, importance, divided: list[Group], around: dict) -> Path:
    import llama_cpp

    what = (artifacts.stamp(model.path), model.windows.shape, importance and importance.checksum, divided, sorted(around.items()))
    key = hashlib.sha256(repr((*what, model.first, llama_cpp.__version__)).encode() + model.windows.tobytes())
    return artifacts.folder("mix") / f"{model.path.stem}-{key.hexdigest()[:12]}.jsonl"
