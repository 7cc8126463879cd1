"""How long will it take to measure a model's prices, and how finely can they be measured in the time there is?

`plan(gguf_file.summary(f16), minutes=20)` reads the file's header only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from helpers import machine
from helpers.artifacts import size_text
from helpers.pipeline.gguf_file import Summary
from helpers.quality import candidates
from helpers.quality.costs import Group, groups_of

# What one core does each second: multiplications and additions in llama.cpp with F16 weights, and weights that ggml
# rounds, from 2 million (IQ2) to 200 million (Q8_0).
OPERATIONS, ROUNDED = 50e9, 4e6
# Measured first, where they fit a tensor: one in the middle of what is used for each width, then a smaller one.
ANCHORS = ("Q4_K", "Q4_0", "Q2_K")


@dataclass(frozen=True)
class Plan:
    """Which tensors are exchanged together, in which types (by the group's label), and what that takes."""

    groups: tuple[Group, ...]
    measured: dict[str, tuple[str, ...]]
    tokens: int
    parameters: int
    memory: float  # bytes

    @property
    def prices(self) -> int:
        """How many prices are measured: so often the model reads the text, and once before."""
        return sum(len(kinds) for kinds in self.measured.values())

    @property
    def seconds(self) -> float:
        """An estimate for this machine's cores, right within a factor of two."""
        reading = 2 * self.parameters * self.tokens * (1 + self.prices) / OPERATIONS
        rounding = self.parameters * self.prices / len(self.groups) / ROUNDED
        return (reading + rounding) / machine.cores()

    def __str__(self) -> str:
        return (
            f"{self.prices:,} prices of {len(self.groups)} groups, {self.tokens:,} tokens each: about "
            f"{max(1, round(self.seconds / 60)):,} minutes on {machine.cores()} cores, "
            f"{size_text(self.memory)} of memory"
        )


def plan(
    file: Summary,
    kinds: Sequence[str] = candidates.KINDS,
    measured: int | None = 1,
    minutes: float | None = None,
    window: int = 256,
    most: int = 24,
) -> Plan:
    """Return the plan that measures each tensor in `measured` types (None: all), or what `minutes` allow.

    If that would take longer, each tensor is measured in one type; then the same matrix of 2, 3, … neighbouring layers
    together. The coarsest plan is returned even if it takes longer.
    """
    names = [tensor.name for tensor in file.tensors if len(tensor.shape) > 1]
    coarser = [(most_groups, 1) for most_groups in range(len(names), 7, -1)]
    for most_groups, types in [(len(names), measured), *coarser]:
        groups = tuple(groups_of(names, most_groups))
        found = _plan(file, groups, tuple(kinds), types, window, most)
        if minutes is None or found.seconds <= 60 * minutes:
            break
    return found


def _plan(
    file: Summary, groups: tuple[Group, ...], kinds: tuple[str, ...], types: int | None, window: int, most: int
) -> Plan:
    """Return the plan with these groups, each measured in `types` types, or in all."""
    columns = {tensor.name: tensor.shape[-1] for tensor in file.tensors}
    measured = {}
    for group in groups:
        fitting = candidates.possible(columns[group.names[0]], kinds, weighted=True)
        possible = [kind for kind in fitting if kind not in ("F32", "F16")]
        anchors = [kind for kind in ANCHORS if kind in possible] or possible
        measured[group.label] = tuple(possible if types is None else anchors[:types])
    kept = 2 * window * most * len(file.metadata.get("tokenizer.ggml.tokens", []))
    return Plan(groups, measured, window * most, file.parameters, file.file_bytes + kept + 0.2e9)
