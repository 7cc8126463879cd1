"""What is in a GGUF: its metadata, its tensors, whether it is whole, and where its tensors come from.

A large model may come in parts, `name-00001-of-00003.gguf` and so on: any part names the whole, as long as all
lie in one folder, and its `Summary` stands under the first one, which is what llama.cpp opens.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.errors import InputError
from helpers.pipeline import gguf_header
from helpers.pipeline.gguf_header import Tensor

PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)

# The tensors of a LLaMA by their names in a GGUF: outside of the layers (`.weight` included), and in each layer.
TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


@dataclass(frozen=True)
class Summary:
    """A GGUF at a glance. `tensor_bytes` counts the weights alone, `file_bytes` everything, all parts together."""

    path: Path
    metadata: dict[str, object]
    tensors: list[Tensor]
    file_bytes: int
    parts: tuple[Path, ...] = ()  # all files, the first one first; empty for a model in one file

    @property
    def tensor_bytes(self) -> int:
        return sum(tensor.n_bytes for tensor in self.tensors)

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits for each weight; raises InputError for a file without any."""
        if not self.parameters:
            raise InputError(
                f"{self.path.name} holds no tensors. It is a vocabulary alone, or came from a checkpoint whose weights "
                "were not found. Convert the checkpoint again."
            )
        return 8 * self.tensor_bytes / self.parameters

    @property
    def types(self) -> Counter[str]:
        """How many weights are stored in each type."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors:
            counts[tensor.type] += tensor.elements
        return counts

    @property
    def main_type(self) -> str:
        """The type of most weights, "none" in a file without tensors."""
        return self.types.most_common(1)[0][0] if self.tensors else "none"

    @property
    def file_type(self) -> str:
        """The type that the file was written as, such as Q4_K_M: some of its tensors may have others."""
        import gguf

        try:
            name = gguf.LlamaFileType(self.metadata["general.file_type"]).name
        except (KeyError, ValueError):
            return self.main_type
        return name.removeprefix("MOSTLY_").removeprefix("ALL_")


def summary(path: str | os.PathLike) -> Summary:
    """Read a GGUF's header, or those of all its parts if it has several and one of them is given.

    Raises InputError if the file is not a whole GGUF of version 2 or 3, or if a part is missing.
    """
    path = gguf_header.located(path)
    metadata, tensors = gguf_header.read(path)
    if metadata.get("split.count", 0) in (0, 1):
        return Summary(path, metadata, tensors, path.stat().st_size)
    parts = _parts(path, metadata)
    # The first part carries the model's metadata, the others only say which part they are.
    headers = [(metadata, tensors) if part == path else gguf_header.read(part) for part in parts]
    for number, (part, (theirs, _)) in enumerate(zip(parts, headers, strict=True)):
        if (theirs.get("split.no"), theirs.get("split.count")) != (number, len(parts)):
            raise InputError(
                f"{part.name} says that it is part {theirs.get('split.no')} (from 0) of {theirs.get('split.count')}. "
                "Its name says something else: files were renamed or come from two models. Download them again."
            )
    everything = [tensor for _, theirs in headers for tensor in theirs]
    announced = headers[0][0].get("split.tensors.count", len(everything))
    if announced != len(everything) or len({tensor.name for tensor in everything}) != len(everything):
        raise InputError(
            f"The parts of {parts[0].name} hold {len(everything):,} tensors, {announced:,} different ones are "
            "announced. They come from two models, or one was damaged. Download all of them again."
        )
    return Summary(parts[0], headers[0][0], everything, sum(part.stat().st_size for part in parts), tuple(parts))


def _parts(path: Path, metadata: dict[str, object]) -> list[Path]:
    """Return the paths of all parts of a model, the first one first; raise InputError if some are not there."""
    count = metadata["split.count"]
    name = PART.fullmatch(path.name)
    if not isinstance(count, int) or not name or int(name["count"]) != count:
        raise InputError(
            f"{path.name} is one part of {count}, and parts are found by their names. llama.cpp wants "
            f"NAME-00001-of-{count if isinstance(count, int) else 0:05}.gguf and so on. Give all parts their first "
            "names back."
        )
    parts = [path.with_name(f"{name['name']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        shown = ", ".join(missing[:3]) + (" and more" if len(missing) > 3 else "")
        raise InputError(
            f"{path.name} is one part of {count}, {len(missing)} of them not beside it: {shown}. A model opens only "
            "whole. Download the others into the same folder."
        )
    return parts


def is_whole(path: str | os.PathLike) -> bool:
    """Tell whether `summary` can read a file: one that was cut by a copy or a crash is made again, not used."""
    try:
        summary(path)
    except InputError:
        return False
    return True


def undo_permutation(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undo the row order that the converter gives the query and key matrices.

    Hugging Face rotates the two halves of a head (rows i and i + d/2), llama.cpp neighbouring rows
    (2i and 2i + 1); the converter reorders rows so that both compute the same. Shape (rows, columns);
    arrays and torch tensors alike. Raises InputError if the rows do not divide.
    """
    rows, columns = weight.shape
    if heads < 1 or rows % (2 * heads):
        raise InputError(
            f"{rows:,} rows cannot be divided among {heads} heads with two halves each. The row order belongs to "
            "query and key matrices. Pass one of them, with its own number of heads."
        )
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def checkpoint_name(name: str) -> str:
    """Translate a GGUF tensor name into the Hugging Face one: blk.3.attn_q → model.layers.3.self_attn.q_proj.

    For the tensors of a LLaMA; raises InputError for any other.
    """
    if name in TOP:
        return TOP[name]
    found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(\w+)", name)
    if not found or found[2] not in LAYER:
        raise InputError(
            f"{name!r:.80} is no tensor of a LLaMA. Other architectures have names of their own. Look them up in "
            "gguf.constants.TENSOR_NAMES."
        )
    return f"model.layers.{found[1]}.{LAYER[found[2]]}.{found[3]}"
