"""The header of one GGUF file, read field by field; nothing in it is believed before it was checked.

gguf-py's reader gives the same (a test compares them) but takes seconds for a large vocabulary, and it trusts
its input; here every length is checked against the file before it is used. What is no GGUF, or one that this
course cannot read, is named for what it is.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import InputError


@dataclass(frozen=True)
class Tensor:
    """One tensor of a GGUF; `shape` is (rows, columns), the reverse of the order in the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    elements: int
    n_bytes: int


# No honest header comes near these; a forged one shall not make us read a whole model as text or numbers.
MOST_ENTRIES, MOST_ITEMS = 1 << 20, 1 << 24

# The value types of the format, by number, as struct codes. 8 is text and 9 an array.
NUMBERS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))

# How files begin that are taken for a GGUF, and what to do with them.
OTHERS = {
    b"version https://git-lfs": "a Git LFS pointer, a few lines that stand for the file. Run `git lfs pull` beside it",
    b"<": "a web page that was saved instead. Download the file again with huggingface_hub",
    b"PK\x03\x04": "a zip archive: PyTorch weights, or a packed download. Unpack it, or convert the checkpoint",
    b"lmgg": "a file of llama.cpp from before GGUF (GGML, until August 2023). Convert the original checkpoint again",
    b"tjgg": "a file of llama.cpp from before GGUF (GGJT, until August 2023). Convert the original checkpoint again",
    b"fmgg": "a file of llama.cpp from before GGUF (GGMF, until August 2023). Convert the original checkpoint again",
}


def located(path: str | os.PathLike) -> Path:
    """Return the path of a file that is there and can be read; raise InputError for anything else."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(
            f"{path!r:.80} is no path of a file. A GGUF is named by text or a pathlib.Path. Pass what "
            "convert.to_gguf returned, or the file's name."
        )
    path = Path(path)
    try:
        if path.is_dir():
            inside = sorted(found.name for found in path.glob("*.gguf"))
            found = f"It holds {', '.join(inside[:5])}" if inside else "It holds no GGUF"
            raise InputError(f"{path.name} is a folder, not a GGUF. {found}. Pass the path of one file.")
        if not path.is_file():
            raise InputError(
                f"There is no file {path.name!r:.200}. It was not made yet or is somewhere else. Check the path."
            )
        with open(path, "rb"):
            return path
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path.name!r:.200} cannot be read: {reason}. Check its name and its permissions.") from error


def check(path: Path) -> None:
    """Raise InputError unless the file begins like a GGUF: magic, version, byte order, believable counts."""
    path = located(path)
    with open(path, "rb") as file:
        head = file.read(24)
    if head[:4] != b"GGUF":
        start = head.lstrip()
        what = next((name for magic, name in OTHERS.items() if start.startswith(magic)), None)
        if what is None and head[8:9] == b"{":
            what = "a safetensors file. Convert the folder it lies in with convert.to_gguf"
        what = what or "another kind of file. Download it again with huggingface_hub"
        raise InputError(
            f"{path.name} is not a GGUF: it begins with {head[:4]!r}, not b'GGUF'. Most likely it is {what}."
        )
    if len(head) < 24:
        raise InputError(f"{path.name} is cut short: {len(head)} bytes. Make or download it again.")
    version, tensors, pairs = struct.unpack("<IQQ", head[4:])
    if version & 0xFFFF == 0 and version:
        raise InputError(
            f"{path.name} is a big-endian GGUF, made for processors such as s390x. Here numbers begin with their "
            "smallest byte. Get the file for ordinary machines, or turn it round: `gguf-convert-endian FILE little`."
        )
    if version == 1:
        raise InputError(
            f"{path.name} has GGUF version 1, of August 2023. llama.cpp no longer reads it; 2 and 3 are known. "
            "Convert the original checkpoint again."
        )
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


def read(path: Path) -> tuple[dict[str, object], list[Tensor]]:
    """Return the metadata and the tensors of one whole file. Raises InputError for a damaged or unknown one."""
    check(path)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = Header(path, data)
        header.take(8)  # magic and version
        tensor_count, pair_count = header.number("Q"), header.number("Q")
        metadata = {}
        for _ in range(pair_count):
            key = header.text()
            metadata[key] = header.value(header.number("I"))
        tensors, end = [], 0
        for _ in range(tensor_count):
            tensor, offset = header.tensor()
            tensors.append(tensor)
            end = max(end, offset + tensor.n_bytes)
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
    return metadata, tensors


class Header:
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

    def tensor(self) -> tuple[Tensor, int]:
        """Return a tensor's entry and where its data begin, counted from the end of the header."""
        import gguf

        name = self.text()
        dims = [self.number("Q") for _ in range(self.count(self.number("I"), 8))]
        kind, offset = self.number("I"), self.number("Q")
        try:
            block, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
        except (KeyError, ValueError):
            raise InputError(
                f"{self.path.name} holds tensors of type number {kind} ({name!r:.80}), {_origin(kind)}. The pinned "
                "llama.cpp cannot read it. Use the program that made the file, or get one with ordinary types."
            ) from None
        elements = math.prod(dims)
        n_bytes = elements // block * block_bytes
        return Tensor(name, tuple(reversed(dims)), gguf.GGMLQuantizationType(kind).name, elements, n_bytes), offset


def _origin(kind: int) -> str:
    """Say where a tensor type comes from that gguf-py does not know."""
    if kind in (4, 5):
        return "Q4_2 or Q4_3 of early 2023, removed from llama.cpp"
    if kind in (31, 32, 33, 36, 37, 38):
        return "one of llama.cpp's repacked types of 2024, removed since (36 is also I2_S of bitnet.cpp)"
    if 96 <= kind < 400:
        return "a type of the fork ik_llama.cpp (IQ2_K to IQ6_K, IQ4_KS, row-interleaved types and others)"
    return "made by a newer llama.cpp or a fork, or damaged"
