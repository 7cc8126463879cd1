"""Which source a quantized file was made from."""

import os
import shutil
from pathlib import Path

import pytest
import tiny_checkpoints as tiny

from helpers.pipeline import convert


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    """One tiny model in three types, beside each other, as GGUF files."""
    folder = tiny.write(tmp_path_factory.mktemp("tiny") / "model")
    return {kind: convert.to_gguf(folder, kind) for kind in ("f16", "bf16", "f32")}


@pytest.fixture
def beside(floats, tmp_path):
    return {kind: Path(shutil.copy(path, tmp_path / f"m-{kind.upper()}.gguf")) for kind, path in floats.items()}


def test_files_of_different_sources_lie_beside_each_other(beside):
    made = {kind: convert.requantize(path, "Q6_K") for kind, path in beside.items()}
    assert [path.name for path in made.values()] == ["m-Q6_K.gguf", "m-BF16-Q6_K.gguf", "m-F32-Q6_K.gguf"]
    assert convert.requantize(str(beside["f16"]), "Q6_K") == made["f16"]


def test_what_the_converter_writes_is_not_overwritten(beside):
    """to_gguf(…, "q8_0") writes m-Q8_0.gguf, rounded once; this one is rounded to F16 first."""
    assert convert.requantize(beside["f16"], "Q8_0").name == "m-F16-Q8_0.gguf"


def test_a_source_that_is_replaced_by_an_older_one_is_noticed(beside):
    path = convert.requantize(beside["f16"], "Q4_0")
    made = path.stat().st_mtime_ns
    assert convert.requantize(beside["f16"], "Q4_0").stat().st_mtime_ns == made
    data = bytearray(beside["f16"].read_bytes())
    data[-4000:] = data[-8000:-4000]
    beside["f16"].write_bytes(data)
    os.utime(beside["f16"], (1, 1))
    first = path.read_bytes()
    assert convert.requantize(beside["f16"], "Q4_0").read_bytes() != first


def test_a_file_that_somebody_put_there_is_made_again(beside):
    path = convert.requantize(beside["f16"], "Q4_0")
    whole = path.read_bytes()
    path.write_bytes(convert.requantize(beside["f16"], "Q2_K").read_bytes())
    assert convert.requantize(beside["f16"], "Q4_0").read_bytes() == whole
