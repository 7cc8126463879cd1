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
from helpers.pipeline.proof import stored

ALIGNMENT = 32
ADDED = {"general.quantization_version": 0, "general.file_type": 0}  # numbers that llama.cpp's quantizer writes itself
REMOVED = ("split.no", "split.count", "split.tensors.count")  # a model in parts becomes one file


def file_bytes(source: Summary, types: dict[str, str], added: dict[str, str | int]) -> int:
    """Return the size of a file that llama.cpp's quantizer makes of `source`.

    types: of every tensor. added: further metadata, numbers of 4 bytes or texts.
    """
    import gguf

    pairs = {key: n for key, n in _bytes_of_pairs(source.path).items() if key not in REMOVED}
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
    """Yield each of these tensors of floats and its largest magnitude, NaN if it holds one."""
    wanted = {tensor.name: tensor for tensor in tensors}
    for tensor in stored.tensors(source.path) if wanted else ():
        if tensor.name in wanted:
            yield wanted[tensor.name], float(max((np.abs(rows).max() for rows in tensor.rows()), key=_nan_first))


def _nan_first(magnitude: np.float32) -> float:
    return math.inf if np.isnan(magnitude) else float(magnitude)


def _bytes_of_pairs(path: Path) -> dict[str, int]:
    """Return how many bytes each key-value pair of a file takes."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = Header(path, data)
        header.take(16)  # magic, version, number of tensors
        pairs = {}
        for _ in range(header.number("Q")):
            start = header.position
            key = header.text()
            header.value(header.number("I"))
            pairs[key] = header.position - start
    return pairs
