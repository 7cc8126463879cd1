"""The header of a safetensors file: which tensors it holds, of which type and shape, and where.

A file starts with the header's length (8 bytes, little-endian) and the header as JSON; the numbers follow. Read here
and not by the library, so that a message names what is wrong, and a header can be read without its file.
"""

from __future__ import annotations

import json
import math

from helpers.errors import CheckpointError
from helpers.pipeline.shelf import LONGEST_HEADER, Shelf, require_content

# Bits of one element, by the names that safetensors gives to types.
BITS = dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8)
BITS |= dict.fromkeys(("I16", "U16", "F16", "BF16"), 16) | dict.fromkeys(("I32", "U32", "F32"), 32)
BITS |= dict.fromkeys(("I64", "U64", "F64", "C64"), 64) | {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
FIRST = 64 * 1024  # bytes that usually hold a whole header


def read(shelf: Shelf, name: str, first: int = FIRST) -> dict[str, dict]:
    """Return tensor name → dtype, shape, data_offsets of a whole file. Raises CheckpointError.

    first: how much to read before the header's length is known; one more reading follows if it was too little.
    """
    start = shelf.data(name, first)
    size = shelf.files[name]
    require_content(start[:200], name, shelf.title)
    length = int.from_bytes(start[:8], "little")
    if not 2 <= length <= LONGEST_HEADER or (size is not None and 8 + length > size):
        raise CheckpointError(
            f"{name} of {shelf.title} is not a whole safetensors file: its header would be {length} bytes long. "
            "The download was cut or another file was saved under this name. Delete it and download again."
        )
    if 8 + length > len(start):
        start = shelf.data(name, 8 + length)
    tensors, announced = _parse(start[8 : 8 + length], name)
    if size is not None and size != 8 + length + announced:
        raise CheckpointError(
            f"{name} is {size:,} bytes long, its header announces {8 + length + announced:,}. The download was cut. "
            "Delete the file and download again."
        )
    return tensors


def _parse(text: bytes, name: str) -> tuple[dict[str, dict], int]:
    """Return the table and how many bytes of numbers it describes, without holes between tensors."""
    try:
        tensors = json.loads(text)
        tensors.pop("__metadata__", None)
        places = sorted((_span(tensor, entry), tensor) for tensor, entry in tensors.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(
            f"{name} has a damaged header. The download was cut or altered. Delete it and download again."
        ) from None
    end = 0
    for (first, last), tensor in places:
        entry = tensors[tensor]
        if entry["dtype"] not in BITS:
            raise CheckpointError(
                f"{tensor} in {name} is of type {entry['dtype']!r}. The safetensors format has no such type, or a "
                "newer version of it. Save the model again in BF16 or F16."
            )
        wanted = -(-math.prod(entry["shape"]) * BITS[entry["dtype"]] // 8)
        if first != end or last - first != wanted:
            raise CheckpointError(
                f"{tensor} in {name} does not fit: {entry['dtype']} of shape {entry['shape']} takes {wanted:,} bytes "
                f"from {end:,} on, the header says {first:,} to {last:,}. The file was altered. Download it again."
            )
        end = last
    return tensors, end


def _span(tensor: str, entry: dict) -> tuple[int, int]:
    first, last = entry["data_offsets"]
    numbers = [first, last, *entry["shape"]]
    if not all(type(number) is int and number >= 0 for number in numbers) or first > last:
        raise ValueError(tensor)
    if not (isinstance(entry["dtype"], str) and entry["dtype"]):
        raise ValueError(tensor)
    return first, last
