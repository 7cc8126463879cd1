"""What is in a GGUF file: its metadata, its tensors, whether it is whole, and where its tensors come from."""

import math
import mmap
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
    """Read a GGUF's header. Raises InputError if the file is not a whole GGUF of version 2 or 3.

    gguf-py's reader gives the same (a test compares them) but takes seconds for a large vocabulary,
    and it trusts its input; here every length is checked against the file before it is used.
    """
    import gguf

    path = Path(path)
    check(path)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = _Header(path, data)
        header.take(8)  # magic and version
        tensor_count, pair_count = header.number("Q"), header.number("Q")
        metadata = {}
        for _ in range(pair_count):
            key = header.text()
            metadata[key] = header.value(header.number("I"))
        tensors, end = [], 0
        for _ in range(tensor_count):
            name = header.text()
            dims = [header.number("Q") for _ in range(header.count(header.number("I"), 8))]
            kind, offset = header.number("I"), header.number("Q")
            try:
                block, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
            except (KeyError, ValueError):
                raise header.damaged(f"tensor {name!r} has type {kind}, which nobody knows") from None
            elements = math.prod(dims)
            n_bytes = elements // block * block_bytes
            tensors.append(Tensor(name, tuple(reversed(dims)), gguf.GGMLQuantizationType(kind).name, elements, n_bytes))
            end = max(end, offset + n_bytes)
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise header.damaged(f"its alignment is {alignment!r}")
        start = -(-header.position // alignment) * alignment
    size = path.stat().st_size
    if size < start + end:
        raise InputError(
            f"{path.name} is cut short: {size:,} bytes, its header announces {start + end:,}. A download or a "
            "copy stopped early. Make or download it again."
        )
    return Summary(path, metadata, tensors, size)


def is_whole(path: Path) -> bool:
    """Tell whether `summary` can read a file: one that was cut by a copy or a crash is made again, not used."""
    try:
        summary(path)
    except InputError:
        return False
    return True


# No honest header comes near these; a forged one shall not make us read a whole model as text or numbers.
MOST_ENTRIES, MOST_ITEMS = 1 << 20, 1 << 24

# The value types of the format, by number, as struct codes. 8 is text and 9 an array.
NUMBERS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))


class _Header:
    """Reads the fields of a GGUF header one after the other and never beyond the end of the file."""

    def __init__(self, path: Path, data: mmap.mmap):
        self.path, self.data, self.position = path, data, 0

    def damaged(self, what: str) -> InputError:
        return InputError(
            f"{self.path.name} has a damaged header: {what}. The file was cut or altered. Make or download it again."
        )

    def count(self, n: int, each: int) -> int:
        """Return n if that many items of `each` bytes still fit into the file."""
        if n > MOST_ITEMS or n * each > len(self.data) - self.position:
            raise self.damaged(f"it announces {n:,} items where {len(self.data) - self.position:,} bytes are left")
        return n

    def take(self, n: int) -> bytes:
        start = self.position
        self.position += self.count(n, 1)
        return self.data[start : self.position]

    def number(self, code: str) -> int | float | bool:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", errors="replace")

    def value(self, kind: int):
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == 8:
            return self.text()
        if kind != 9:
            raise self.damaged(f"a metadata value has type {kind}, which nobody knows")
        item, n = self.number("I"), self.number("Q")
        if item in NUMBERS:
            width = struct.calcsize("<" + NUMBERS[item])
            return list(struct.unpack(f"<{n}{NUMBERS[item]}", self.take(self.count(n, width) * width)))
        if item == 8:
            return [self.text() for _ in range(self.count(n, 8))]
        raise self.damaged(f"an array holds items of type {item}")


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
    if tensors * 32 + pairs * 13 > path.stat().st_size or max(tensors, pairs) > MOST_ENTRIES:
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
