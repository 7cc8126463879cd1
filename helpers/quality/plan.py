"""How long will it take to measure a model's prices, and how finely can they be measured in the time there is?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from helpers import machine
from helpers.artifacts import size_text
from helpers.pipeline.gguf_file import Summary
from helpers.quality import candidates
from helpers.quality.costs import Group, groups_of

# What a core of 2021 does in llama.cpp with F16 weights, in multiplications and additions each second, and how many
# weights ggml rounds: between 2 million (IQ2) and 200 million (Q8_0).
OPERATIONS, ROUNDED = 50e9, 4e6
# Of the types that fit a tensor those are measured first: one below the other in the middle of what is used.
ANCHORS = ("Q4_K", "Q4_0", "Q2_K", "IQ2_S")


@dataclass(frozen=True)
class Plan:
    """Which groups are measured in which types, and what that takes."""

    groups: tuple[Group, ...]
    measured: dict[str, tuple[str, ...]]  # by a group's label
    tokens: int
    parameters: int
    memory: float  # bytes

    @property
    def passes(self) -> int:
        """How often the model reads the text."""
        return 1 + sum(len(kinds) for kinds in self.measured.values())

    @property
    def seconds(self) -> float:
        """An estimate on this machine's cores, within a factor of two."""
        rounding = self.parameters * self.passes / max(1, len(self.groups)) / ROUNDED
        return (2 * self.parameters * self.tokens * self.passes / OPERATIONS + rounding) / machine.cores()

    def __str__(self) -> str:
        return (
            f"{len(self.groups)} groups, {self.passes - 1} prices measured on {self.tokens:,} tokens each, "
            f"{size_text(self.memory)} of memory, about {max(1, round(self.seconds / 60)):,} minutes on "
            f"{machine.cores()} cores"
        )


def plan(
    file: Summary,
    kinds: Sequence[str] = candidates.KINDS,
    minutes: float | None = None,
    window: int = 128,
    most: int = 16,
) -> Plan:
    """Return the finest plan that takes at most `minutes`, or the coarsest if none does; without minutes the finest.

    From fine to coarse: every tensor in every type; in two types, then one; groups of the same matrix in neighbouring
    layers, of more and more layers.
    """
    names = [tensor.name for tensor in file.tensors if len(tensor.shape) > 1]
    columns = {tensor.name: tensor.shape[-1] for tensor in file.tensors}
    bands = sorted({len(groups_of(names, most_groups)) for most_groups in range(8, len(names) + 1)}, reverse=True)
    found = None
    for anchors, groups in ((None, len(names)), *((2, count) for count in bands), *((1, count) for count in bands)):
        divided = tuple(groups_of(names, groups))
        measured = {}
        for group in divided:
            first = group.names[0]
            possible = [k for k in candidates.possible(first, columns[first], tuple(kinds), True) if k != "F16"]
            anchored = [kind for kind in ANCHORS if kind in possible][:anchors] or possible[:anchors]
            measured[group.label] = tuple(possible if anchors is None else anchored)
        vocabulary = len(file.metadata.get("tokenizer.ggml.tokens", []))
        memory = file.file_bytes + 2 * most * window * vocabulary + 0.2e9
        found = Plan(divided, measured, most * window, file.parameters, memory)
        if minutes is None or found.seconds <= 60 * minutes:
            break
    return found
