"""GGUF headers cut or forged at every single field: a clear error or a harmless change, never a huge allocation."""

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import InputError
from helpers.pipeline import gguf_file


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def small_file() -> bytes:
    """A GGUF with every kind of field, two tensors and 1 MB of data behind the header."""
    pairs = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("general.alignment") + struct.pack("<II", 4, 64),
        text("tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("bc") + text("def"),
        text("scores") + struct.pack("<IIQ3f", 9, 6, 3, 0.5, 1.5, 2.5),
        text("flag") + struct.pack("<I?", 7, True),
        text("big") + struct.pack("<IQ", 10, 2**40),
    ]
    tensors = [
        text("a.weight") + struct.pack("<IQQIQ", 2, 64, 32, 8, 0),  # Q8_0
        text("b.weight") + struct.pack("<IQIQ", 1, 1024, 0, 2176),  # F32
    ]
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)) + b"".join(pairs + tensors)
    return header + bytes(-len(header) % 64) + bytes(1_000_000)


GOOD = small_file()


@pytest.fixture(scope="module")
def fields(tmp_path_factory) -> list[tuple[int, int]]:
    """Where each field of the header stands, as (start, length): what the reader takes, in order."""
    taken = []
    path = tmp_path_factory.mktemp("good") / "good.gguf"
    path.write_bytes(GOOD)

    class Spy(gguf_file._Header):
        def take(self, n):
            taken.append((self.position, n))
            return super().take(n)

    original, gguf_file._Header = gguf_file._Header, Spy
    try:
        file = gguf_file.summary(path)
    finally:
        gguf_file._Header = original
    assert [t.type for t in file.tensors] == ["Q8_0", "F32"] and file.metadata["scores"] == [0.5, 1.5, 2.5]
    return taken


def attempt(path, data: bytes) -> gguf_file.Summary | None:
    """Read damaged bytes; return None if they were refused. Anything but InputError fails the test."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        return gguf_file.summary(path)
    except InputError as error:
        assert str(error).count(".") >= 2, "what happened, why, what to do"
        return None
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000 + 40 * len(data), f"{peak:,} bytes allocated for a file of {len(data):,}"


def test_every_field_cut_off(fields, tmp_path):
    for start, length in fields:
        for end in {start, start + length // 2, start + max(0, length - 1)}:
            assert attempt(tmp_path / "cut.gguf", GOOD[:end]) is None
    assert attempt(tmp_path / "cut.gguf", GOOD[: len(GOOD) - 999_000]) is None, "data missing"


@pytest.mark.parametrize("forged", [b"\x00", b"\xff", b"\x7f", b"\x01"])
def test_every_field_overwritten(fields, tmp_path, forged):
    refused = 0
    for start, length in fields:
        data = GOOD[:start] + forged * length + GOOD[start + length :]
        refused += attempt(tmp_path / "forged.gguf", data) is None
    assert refused >= len(fields) // (8 if forged in b"\x00\x01" else 3)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_fields_forged_at_random(fields, tmp_path_factory, data):
    damaged = bytearray(GOOD)
    for start, length in data.draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3)):
        damaged[start : start + length] = data.draw(st.binary(min_size=length, max_size=length))
    attempt(tmp_path_factory.mktemp("random") / "random.gguf", bytes(damaged))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_behind_the_magic(tmp_path_factory, data):
    attempt(tmp_path_factory.mktemp("any") / "any.gguf", b"GGUF" + struct.pack("<I", 3) + data)


@pytest.mark.parametrize("tensors, pairs", [(2**63, 0), (0, 2**63), (2**64 - 1, 2**64 - 1), (2**21, 0)])
def test_absurd_counts(tmp_path, tensors, pairs):
    data = struct.pack("<4sIQQ", b"GGUF", 3, tensors, pairs) + bytes(1000)
    assert attempt(tmp_path / "counts.gguf", data) is None


def test_an_array_as_large_as_the_file_is_not_read(tmp_path):
    """The announced 100 million numbers would fit into this (sparse) file; no honest header has that many."""
    path = tmp_path / "large.gguf"
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + text("x") + struct.pack("<IIQ", 9, 0, 100_000_000)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(200_000_000)
    tracemalloc.start()
    with pytest.raises(InputError, match="damaged header"):
        gguf_file.summary(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_row_order_can_be_undone():
    weight = np.arange(32).reshape(16, 2)
    there = weight.reshape(2, 2, 4, 2).swapaxes(1, 2).reshape(16, 2)
    assert np.array_equal(gguf_file.undo_permutation(there, 2), weight)
