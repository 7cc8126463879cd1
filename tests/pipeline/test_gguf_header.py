"""GGUF headers cut or forged at every single field: a clear error or a harmless change, never a huge allocation."""

import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import InputError
from helpers.pipeline import gguf_file, gguf_header


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

    class Spy(gguf_header.Header):
        def take(self, n):
            taken.append((self.position, n))
            return super().take(n)

    original, gguf_header.Header = gguf_header.Header, Spy
    try:
        file = gguf_file.summary(path)
    finally:
        gguf_header.Header = original
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


# Files that this course cannot read, named for what they are


@pytest.mark.parametrize(
    "head, what",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"<!doctype html><title>Sign in</title>", "a web page"),
        (b"PK\x03\x04 archive/data.pkl and so on", "PyTorch weights"),
        (b"tjgg\x03\x00\x00\x00 a model of 2023, and more", "before GGUF"),
        (b'\x40\x00\x00\x00\x00\x00\x00\x00{"a":{"dtype":"F16"}}' + bytes(64), "a safetensors file"),
        (b"something else, long enough for a header", "another kind of file"),
        (b"", "begins with b''"),
    ],
)
def test_other_files_are_named(tmp_path, head, what):
    path = tmp_path / "model.gguf"
    path.write_bytes(head)
    with pytest.raises(InputError, match=f"model.gguf is not a GGUF.*{what}"):
        gguf_file.summary(path)


def test_a_big_endian_file_is_named_and_the_remedy_works(tmp_path):
    """Written by gguf-py for the other byte order; its own tool, which the message names, turns it round."""
    import gguf

    path = tmp_path / "big.gguf"
    writer = gguf.GGUFWriter(path, "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_tensor(
        "a.weight", np.arange(64, dtype=np.float32).astype(">f4"), raw_dtype=gguf.GGMLQuantizationType.F32
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match="big-endian GGUF.*gguf-convert-endian FILE little"):
        gguf_file.summary(path)
    tool = Path(sys.executable).with_name("gguf-convert-endian")
    subprocess.run([tool, path, "little"], input="YES\n", text=True, check=True, capture_output=True)
    assert gguf_file.summary(path).parameters == 64


@pytest.mark.parametrize(
    "version, what", [(1, "of August 2023"), (4, "newer"), (0, "versions 2 and 3"), (999, "newer")]
)
def test_versions(tmp_path, version, what):
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD[:4] + struct.pack("<I", version) + GOOD[8:])
    with pytest.raises(InputError, match=f"GGUF version {version}.*{what}"):
        gguf_file.summary(path)


@pytest.mark.parametrize(
    "number, origin",
    [
        (4, "early 2023"),
        (33, "repacked types of 2024"),
        (36, "bitnet.cpp"),
        (137, "ik_llama.cpp"),
        (60, "newer llama.cpp"),
    ],
)
def test_tensor_types_that_nobody_here_knows(tmp_path, number, origin):
    entry = text("a.weight") + struct.pack("<IQQI", 2, 64, 32, 8)
    assert GOOD.count(entry) == 1
    path = tmp_path / "foreign.gguf"
    path.write_bytes(GOOD.replace(entry, entry[:-4] + struct.pack("<I", number)))
    with pytest.raises(InputError, match=f"type number {number} .*a.weight.*{origin}"):
        gguf_file.summary(path)


# What is passed as a path


@pytest.mark.parametrize("path", [None, b"model.gguf", 7, ["a.gguf"], np.zeros(3)])
def test_what_is_no_path(path):
    with pytest.raises(InputError, match="no path of a file"):
        gguf_file.summary(path)


@pytest.mark.parametrize("path", ["", ".", "missing.gguf", "a\0b", "a" * 300, "\udcff.gguf", "\ud800.gguf"])
def test_paths_that_lead_nowhere(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="There is no file|is a folder|cannot be read") as caught:
        gguf_file.summary(path)
    str(caught.value).encode()  # it can be printed


def test_a_folder_names_the_files_in_it(tmp_path):
    (tmp_path / "one.gguf").write_bytes(GOOD)
    with pytest.raises(InputError, match="is a folder, not a GGUF. It holds one.gguf"):
        gguf_file.summary(str(tmp_path))


def test_text_is_a_path_and_links_are_followed(tmp_path):
    (tmp_path / "blob").write_bytes(GOOD)
    (tmp_path / "model.gguf").symlink_to("blob")
    assert gguf_file.summary(str(tmp_path / "model.gguf")) == gguf_file.summary(tmp_path / "model.gguf")
