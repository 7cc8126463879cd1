"""Where the bytes of a GGUF lie: how large a quantized file will be, and the numbers of single tensors.

A GGUF is: 24 bytes, key-value pairs, one entry per tensor, padding to 32, then each tensor padded to 32.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from helpers.pipeline.gguf_file import Summary
from helpers.pipeline.gguf_header import Header, Tensor

ALIGNMENT = 32
ADDED = {"general.quantization_version": 0, "general.file_type": 0}  # numbers that llama.cpp's quantizer writes itself
REMOVED = ("split.no", "split.count", "split.tensors.count")  # a model in parts becomes one file
SLAB = 1 << 24  # numbers looked at together


def file_bytes(source: Summary, types: dict[str, str], added: dict[str, str | int]) -> int:
    """Return the size of a file that llama.cpp's quantizer makes of `source`.

    types: of every tensor. added: further metadata, numbers of 4 bytes or texts.
    """
    import gguf

    pairs, _ = _layout(source.path)
    pairs = {key: n for key, n in pairs.items() if key not in REMOVED}
    for key, value in (ADDED | added).items():
        pairs[key] = 8 + len(key.encode()) + 4 + (4 if isinstance(value, int) else 8 + len(value.encode()))
    header, data = 24 + sum(pairs.values()), 0
    for tensor in source.tensors:
        shape = np.trim_zeros(np.array(tensor.shape) - 1, "f")  # leading dimensions of 1 are not written
        header += 8 + len(tensor.name.encode()) + 4 + 8 * max(1, len(shape)) + 4 + 8
        block, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[types[tensor.name]]]
        data += _padded(tensor.elements // block * block_bytes)
    return _padded(header) + data


def _padded(n_bytes: int) -> int:
    return math.ceil(n_bytes / ALIGNMENT) * ALIGNMENT


def largest(source: Summary, tensors: list[Tensor]) -> Iterator[tuple[Tensor, float]]:
    """Yield each of these F32 or BF16 tensors and its largest magnitude, NaN if it holds one."""
    wanted = {tensor.name: tensor for tensor in tensors}
    for part in (source.parts or (source.path,)) if wanted else ():
        _, starts = _layout(part)
        for name in starts.keys() & wanted.keys():
            tensor = wanted[name]
            stored = np.float32 if tensor.type == "F32" else np.uint16
            numbers = np.memmap(part, stored, "r", starts[name], tensor.elements)
            top = 0.0
            for start in range(0, tensor.elements, SLAB):
                piece = numbers[start : start + SLAB]
                if tensor.type == "BF16":  # the upper half of a float32; without their signs, bits sort like numbers
                    piece = (np.array([(piece & 0x7FFF).max()], np.uint32) << 16).view(np.float32)
                top = max(top, float(np.abs(piece).max()), key=lambda x: math.inf if math.isnan(x) else x)
            yield tensor, top


def _layout(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return the bytes of each key-value pair of one file, and where each tensor begins in it."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = Header(path, data)
        header.take(8)  # magic and version
        tensors, count = header.number("Q"), header.number("Q")
        pairs = {}
        for _ in range(count):
            start = header.position
            key = header.text()
            header.value(header.number("I"))
            pairs[key] = header.position - start
        entries = [header.tensor() for _ in range(tensors)]
        start = _padded(header.position)
    return pairs, {tensor.name: start + offset for tensor, offset in entries}
