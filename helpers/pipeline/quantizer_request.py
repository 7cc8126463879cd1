"""What is asked of llama.cpp's quantizer: source, type, importance, types of single tensors; how the result tells.

`quantizer_guards` tells whether it can be done.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from helpers import artifacts
from helpers.pipeline.gguf_file import Summary

# The file types that llama_model_quantize can write: for any model, without importance; then for special ones (experts,
# ternary and binary weights) or rather with it; then those that need it.
TYPES = ("Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS Q3_K_L Q3_K_M Q3_K_S Q2_K").split()
SPECIAL_TYPES = "IQ3_M IQ3_S MXFP4_MOE TQ2_0 TQ1_0 Q1_0".split()
STEERED_TYPES = "IQ3_XS IQ3_XXS IQ2_M Q2_K_S IQ2_S IQ2_XS IQ2_XXS IQ1_M IQ1_S".split()
ALL_TYPES = (*TYPES, *SPECIAL_TYPES, *STEERED_TYPES)
MOST_TEXT = 127  # bytes of a text in the metadata that can be handed over


class Importance(Protocol):
    """What weighs errors: for each tensor the mean square of each of its inputs, recorded on some text."""

    names: tuple[str, ...]
    name: str
    datasets: tuple[str, ...]
    checksum: str

    def weights(self, name: str) -> np.ndarray:
        """Return (experts * columns,) float32, none negative."""


@dataclass(frozen=True)
class Request:
    """A source, a type for all, and for single tensors their own; with or without importance."""

    source: Summary
    type_name: str
    importance: Importance | None = None
    types: dict[str, str] = field(default_factory=dict)

    def weights(self, name: str) -> np.ndarray:
        return np.ascontiguousarray(self.importance.weights(name), np.float32)

    def recipe(self) -> str:
        """Return what the file is made from and how, for its note."""
        parts = self.source.parts or (self.source.path,)
        recipe = ["quantized", artifacts.stamp(*parts), self.type_name, importlib.metadata.version("llama_cpp_python")]
        if self.importance is not None:
            texts = tuple(self.importance.datasets)
            recipe.append(("importance", self.importance.name, self.importance.checksum, texts))
        if self.types:
            recipe.append(("types", *sorted(self.types.items())))
        return repr(tuple(recipe))

    def labels(self) -> list[str]:
        """Return what stands in the file's name beside its type."""
        importance = ["imatrix", self.importance.checksum[:6]] if self.importance is not None else []
        return importance + (["mix", self._types_checksum()[:6]] if self.types else [])

    def metadata(self) -> dict[str, str | int]:
        """Return what the file says of itself: llama-quantize's own keys for importance, and ours.

        A file of a plain type says no more than one of llama-quantize does.
        """
        said: dict[str, str | int] = {}
        if self.importance is not None:
            said["quantize.imatrix.file"] = _short(self.importance.name)
            said["quantize.imatrix.dataset"] = _short(", ".join(self.importance.datasets) or "unknown")
            said["quantize.imatrix.entries_count"] = len(self.importance.names)
            if windows := getattr(self.importance, "windows", 0):
                said["quantize.imatrix.chunks_count"] = int(windows)
            said["quantize.imatrix.sha256"] = _short(self.importance.checksum)
        if self.types:
            said["quantize.types.count"] = len(self.types)
            said["quantize.types.sha256"] = self._types_checksum()
        if said:
            said["quantize.tool"] = f"llama-cpp-python {importlib.metadata.version('llama_cpp_python')}"
        return said

    def _types_checksum(self) -> str:
        return hashlib.sha256(json.dumps(sorted(self.types.items())).encode()).hexdigest()


def _short(text: str) -> str:
    """Return a text that fits into the metadata, cut where a letter ends."""
    data = " ".join(text.replace("\0", " ").split()).encode()
    return data.decode() if len(data) <= MOST_TEXT else data[: MOST_TEXT - 3].decode(errors="ignore") + "…"
