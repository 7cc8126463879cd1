"""The parts of the comparison with llama-quantize (tests/long/llama_quantize.py), without building it."""

import shutil
import types
from pathlib import Path

import gguf
import numpy as np
import pytest

from helpers.pipeline import convert
from helpers.quality.importance import Importance
from tests.long import llama_quantize as peer


def steer(f16: Path) -> Importance:
    matrices = [t for t in convert.summary(f16).tensors if len(t.shape) > 1]
    return Importance(
        {t.name: np.ones((1, t.shape[1]), np.float32) for t in matrices},
        {t.name: np.ones(1, np.int64) for t in matrices},
        ("ones",),
        1,
        1,
    )


def test_differences_are_found(story_f16, tmp_path):
    f16 = Path(shutil.copy(story_f16, tmp_path / "story-F16.gguf"))
    plain = convert.requantize(f16, "Q4_0")
    assert peer.differences(plain, plain) == []
    other = convert.requantize(f16, "Q4_0", types={"blk.2.attn_q.weight": "Q4_1"})
    assert peer.differences(plain, other) == peer.differences(other, plain) == ["blk.2.attn_q.weight"]
    data = bytearray(plain.read_bytes())
    data[gguf.GGUFReader(plain).tensors[-1].data_offset] ^= 1
    (tmp_path / "bit.gguf").write_bytes(data)
    assert peer.differences(plain, tmp_path / "bit.gguf") == [gguf.GGUFReader(plain).tensors[-1].name]


def test_the_program_is_asked_for_all_types_by_name(story_f16, tmp_path, monkeypatch):
    """llama.cpp's recipe gives others to the rest if only some are named."""
    f16 = Path(shutil.copy(story_f16, tmp_path / "story-F16.gguf"))
    asked = []

    def run(command, **options):
        asked.append(command)
        ours = next(path for path in tmp_path.glob("story-imatrix-*-mix-*.gguf"))
        shutil.copy(ours, command[-3])
        return types.SimpleNamespace(returncode=0)

    monkeypatch.setattr(peer, "program", lambda name: name)
    monkeypatch.setattr(peer.subprocess, "run", run)
    mix = {"blk.0.attn_v.weight": "Q6_K"}
    assert peer.compare(f16, "Q3_K_M", steer(f16), mix, tmp_path) == []
    assert asked[0].count("--tensor-type") == 29 and asked[0][-2:] == ["Q3_K_M", "2"]
    assert r"^blk\.0\.attn_v\.weight$=q6_k" in asked[0] and r"^blk\.2\.attn_v\.weight$=q4_k" in asked[0]


def test_what_the_program_says_when_it_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(peer, "program", lambda name: name)
    monkeypatch.setattr(
        peer.subprocess, "run", lambda *a, **k: types.SimpleNamespace(returncode=1, stdout="no such type", stderr="")
    )
    with pytest.raises(RuntimeError, match="no such type"):
        peer.theirs(tmp_path / "x.gguf", "Q9", tmp_path / "m.gguf", {}, tmp_path / "y.gguf")
