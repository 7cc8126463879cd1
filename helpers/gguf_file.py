"""What is in a GGUF file: its metadata, its tensors, whether it is whole, and where its tensors come from."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.errors import InputError


@dataclass(frozen=True)
class Tensor:
    """One tensor of a GGUF; `shape` is (rows, columns), the reverse of the order in the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    elements: int
    n_bytes: int


@dataclass(frozen=True)
class Summary:
    """A GGUF at a glance. `tensor_bytes` counts the weights alone, `file_bytes` everything."""

    path: Path
    metadata: dict[str, object]
    tensors: list[Tensor]
    file_bytes: int

    @property
    def tensor_bytes(self) -> int:
        return sum(tensor.n_bytes for tensor in self.tensors)

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
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
        return self.types.most_common(1)[0][0]


def summary(path: Path) -> Summary:
    """Read a GGUF's header. Raises InputError if the file is not a whole GGUF of version 2 or 3."""
    import gguf

    path = Path(path)
    check(path)
    try:
        reader = gguf.GGUFReader(path)
        metadata = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
        tensors = [
            Tensor(
                t.name, tuple(int(n) for n in reversed(t.shape)), t.tensor_type.name, int(t.n_elements), int(t.n_bytes)
            )
            for t in reader.tensors
        ]
        end = max((int(t.data_offset + t.n_bytes) for t in reader.tensors), default=0)
    except Exception as error:  # the reader trusts its input: any exception means a damaged file
        raise InputError(
            f"{path.name} has a damaged header ({type(error).__name__}). The file was cut or altered. "
            "Make or download it again."
        ) from error
    size = path.stat().st_size
    if size < end:
        raise InputError(
            f"{path.name} is cut short: {size:,} bytes, its header announces {end:,}. A download or a copy "
            "stopped early. Make or download it again."
        )
    return Summary(path, metadata, tensors, size)


def check(path: Path) -> None:
    """Raise InputError unless the file begins like a GGUF: magic, version, believable counts."""
    if not path.is_file():
        raise InputError(f"There is no file {path.name}. It was not made yet or is somewhere else. Check the path.")
    with open(path, "rb") as file:
        head = file.read(24)
    if head[:4] != b"GGUF":
        hint = "a web page was saved instead" if head.lstrip()[:1] == b"<" else "it is another kind of file"
        raise InputError(
            f"{path.name} is not a GGUF: it begins with {head[:4]!r}, not b'GGUF'. Most likely {hint}. "
            "Download it again with huggingface_hub."
        )
    if len(head) < 24:
        raise InputError(f"{path.name} is cut short: {len(head)} bytes. Make or download it again.")
    version, tensors, pairs = struct.unpack("<IQQ", head[4:])
    if version not in (2, 3):
        raise InputError(
            f"{path.name} has GGUF version {version}; versions 2 and 3 are known. It is damaged, or newer than "
            "this course. Make it again with the pinned converter."
        )
    # A tensor's entry takes at least 32 bytes of the header, a key-value pair at least 13.
    if tensors * 32 + pairs * 13 > path.stat().st_size:
        raise InputError(
            f"{path.name} announces {tensors:,} tensors and {pairs:,} metadata entries, more than fit in it. "
            "The header is damaged. Make or download it again."
        )


def undo_permutation(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undo the row order that the converter gives the query and key matrices.

    Hugging Face rotates the two halves of a head (rows i and i + d/2), llama.cpp neighbouring rows
    (2i and 2i + 1); the converter reorders rows so that both compute the same. Shape (rows, columns).
    """
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def checkpoint_name(name: str) -> str:
    """Translate a GGUF tensor name into the Hugging Face one: blk.3.attn_q → model.layers.3.self_attn.q_proj."""
    top = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    if name in top:
        return top[name]
    _, layer, part, kind = name.split(".")
    parts = {
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
    return f"model.layers.{layer}.{parts[part]}.{kind}"
