"""The tensors of a GGUF, read where they lie in the file: nothing is copied before it is asked for."""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

AT_ONCE = 1 << 20  # weights that are decoded together: 4 MB as float32, which fit into a processor's cache


class Stored:
    """A tensor of a GGUF as rows of float32; a vector is a column, so that each of its numbers is a row."""

    def __init__(self, tensor: ReaderTensor):
        self.name, self.type, self._kind = tensor.name, tensor.tensor_type.name, tensor.tensor_type
        self.columns = 1 if len(tensor.shape) == 1 else int(tensor.shape[0])
        self._data = tensor.data.reshape(int(tensor.n_elements) // self.columns, -1)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self._data), self.columns

    def rows(self) -> Iterator[np.ndarray]:
        """Yield all rows in their order, some at a time: (rows, columns) float32."""
        import gguf

        step = max(1, AT_ONCE // self.columns)
        for i in range(0, len(self._data), step):
            with np.errstate(invalid="ignore", over="ignore"):  # who reads it looks for infinities
                rows = gguf.dequantize(self._data[i : i + step], self._kind)
            yield rows.reshape(-1, self.columns)


def tensors(path: Path) -> Iterator[Stored]:
    """Yield all tensors of a GGUF, of all its parts if it is named by its first one."""
    for part in parts(path):
        for tensor in reader()(part).tensors:
            yield Stored(tensor)


def parts(path: Path) -> list[Path]:
    """Return the files of a GGUF that is named by its first part, or the one file."""
    if found := re.fullmatch(r"(.*)-00001-of-(\d{5})\.gguf", path.name):
        return [path.with_name(f"{found[1]}-{i:05}-of-{found[2]}.gguf") for i in range(1, int(found[2]) + 1)]
    return [path]


@functools.cache
def reader() -> type[GGUFReader]:
    """Return gguf-py's reader without the items of arrays: it takes seconds to make objects of a vocabulary."""
    import gguf

    class Reader(gguf.GGUFReader):
        def _get_field_parts(self, orig_offs: int, raw_type: int):
            if raw_type != gguf.GGUFValueType.ARRAY:
                return super()._get_field_parts(orig_offs, raw_type)
            item, count = struct.unpack_from("<IQ", self.data, orig_offs)
            place = orig_offs + 12
            if item == gguf.GGUFValueType.STRING:
                for _ in range(count):
                    place += 8 + struct.unpack_from("<Q", self.data, place)[0]
            else:
                place += count * np.dtype(self.gguf_scalar_to_np[gguf.GGUFValueType(item)]).itemsize
            return place - orig_offs, [], [], [gguf.GGUFValueType.ARRAY, gguf.GGUFValueType(item)]

    return Reader
