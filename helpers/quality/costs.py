"""What every tensor would cost in every type: bytes, and KL divergence, measured or following from what was."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Group:
    """Tensors that are exchanged together: the same matrix in neighbouring layers, or one tensor alone."""

    label: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Costs:
    """Prices of a model's tensors, by tensor and type.

    sizes: bytes. kl: nats per token that the model loses if this tensor alone has this type. `rest` is what the file
    takes beside these tensors. measured: (group's label, type) → KL of each window; other prices follow from these.
    """

    model: str
    sizes: dict[str, dict[str, int]]
    kl: dict[str, dict[str, float]]
    rest: int
    measured: dict[tuple[str, str], np.ndarray]

    def bytes(self, types: dict[str, str]) -> int:
        """Return the bytes of a file with these types."""
        return self.rest + sum(self.sizes[name][kind] for name, kind in types.items())

    def predicted(self, types: dict[str, str]) -> float:
        """Return the KL of a file with these types, if prices add up."""
        return sum(self.kl[name][kind] for name, kind in types.items())

    def times(self, factors: Iterable[float]) -> Costs:
        """Return the costs with each tensor's prices multiplied with a factor, in the order of `kl`."""
        kl = {
            name: {kind: price * factor for kind, price in prices.items()}
            for (name, prices), factor in zip(self.kl.items(), factors, strict=True)
        }
        return replace(self, kl=kl)


def groups_of(names: Sequence[str], most: int | None = None) -> list[Group]:
    """Divide a model's tensors into at most about `most` groups; without it, each is one.

    The same matrix of neighbouring layers shares a group: there are as many bands of layers as fit.
    """
    if most is None or len(names) <= most:
        return [Group(name.removesuffix(".weight"), (name,)) for name in names]
    layers = {name: re.fullmatch(r"blk\.(\d+)\.(.+)\.weight", name) for name in names}
    depth = 1 + max(int(found[1]) for found in layers.values() if found)
    roles = {found[2] for found in layers.values() if found}
    alone = sum(found is None for found in layers.values())
    bands = max(1, min(depth, (most - alone) // len(roles)))
    groups: dict[str, list[str]] = {}
    for name, found in layers.items():
        if found:
            band = int(found[1]) * bands // depth
            first, last = (-(-edge * depth // bands) for edge in (band, band + 1))
            label = f"{found[2]} {first}" if last - first == 1 else f"{found[2]} {first} to {last - 1}"
        else:
            label = name.removesuffix(".weight")
        groups.setdefault(label, []).append(name)
    return [Group(label, tuple(members)) for label, members in groups.items()]


def spread(
    kinds: Iterable[str], measured: Mapping[str, float], errors: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Return tensor → type → KL, from the KL of a whole group in some types and each tensor's weighted error in all.

    A type that was not measured gets its price by its error: on a line through the measured ones (both in logarithms),
    and in proportion outside of them. A group's price is divided among its tensors by their errors.
    """
    kinds = tuple(kinds)
    of_group = {kind: sum(tensor[kind] for tensor in errors.values()) for kind in kinds}
    known = sorted((of_group[kind], kl) for kind, kl in measured.items() if of_group[kind] > 0 and kl > 0)
    prices: dict[str, dict[str, float]] = {name: {} for name in errors}
    for kind in kinds:
        total = measured[kind] if kind in measured else _on_the_line(of_group[kind], known)
        for name in errors:
            share = errors[name][kind] / of_group[kind] if of_group[kind] > 0 else 1 / len(errors)
            prices[name][kind] = total * share
    return prices


def _on_the_line(error: float, known: list[tuple[float, float]]) -> float:
    """Return the price of an error from measured (error, price) pairs in ascending order."""
    if error <= 0 or not known:
        return 0.0
    (low, first), (high, last) = known[0], known[-1]
    if error <= low:
        return first * error / low
    if error >= high:
        return last * error / high
    x, y = np.log(known).T
    return float(np.exp(np.interp(np.log(error), x, y)))
