"""The parts of the comparison with llama-imatrix (tests/long/llama_imatrix.py), without building it."""

import io
import tarfile
import types

import numpy as np
import pytest

from helpers.errors import InstallError
from helpers.quality.importance import Importance
from tests.long import llama_imatrix as peer


def importance(scale=1.0, counts=4, **more) -> Importance:
    tensors = {"a": np.arange(1, 7, dtype=np.float32)[None] * scale} | more
    return Importance(tensors, {name: np.array([counts]) for name in tensors}, (), 4, 1)


def test_differences_are_found():
    row = np.ones((1, 3), np.float32)
    assert peer.differences(importance(), importance()) == []
    assert peer.differences(importance(1 + 5e-5), importance()) == []
    assert peer.differences(importance(1 + 3e-4), importance()) == ["a: sums differ by 3.0e-04 of the maximum"]
    assert peer.differences(importance(), importance(counts=3)) == ["a: counts [4] and [3]"]
    for one, other in ((importance(b=row), importance()), (importance(), importance(b=row))):
        assert peer.differences(one, other) == ["b was seen by one of the two alone"]
    assert peer.differences(importance(**{peer.TIED: row}), importance()) == [], "only we record it"
    assert len(peer.differences(importance(), importance(**{peer.TIED: row}))) == 1


def test_other_means_are_found():
    assert peer.other_weights(importance(), importance(2, counts=8)) == []
    assert peer.other_weights(importance(), importance(2)) == ["a"]


def test_without_a_compiler_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(peer, "FOLDER", tmp_path)
    monkeypatch.setattr(peer.shutil, "which", lambda tool: None if tool == "cmake" else tool)
    with pytest.raises(InstallError, match="cannot be built. cmake is missing"):
        peer.program()


def test_it_is_built_once_from_the_source_distribution(monkeypatch, tmp_path):
    def download(requirement, folder, source):
        path = tmp_path / "package.tar.gz"
        with tarfile.open(path, "w:gz") as packed:
            entry = tarfile.TarInfo("package-1/vendor/llama.cpp/CMakeLists.txt")
            packed.addfile(entry, io.BytesIO())
        return path

    def run(command, **options):
        commands.append(command)
        if "--build" in command:
            built = tmp_path / "there" / "built" / "bin" / "llama-imatrix"
            built.parent.mkdir(parents=True)
            built.touch()

    commands = []
    monkeypatch.setattr(peer, "FOLDER", tmp_path / "there")
    monkeypatch.setattr(peer.shutil, "which", lambda tool: tool)
    monkeypatch.setattr(peer.pip, "download", download)
    monkeypatch.setattr(peer.subprocess, "run", run)
    assert peer.program() == peer.program() == tmp_path / "there" / "built" / "bin" / "llama-imatrix"
    configure, _ = commands
    assert configure[2].endswith("package-1/vendor/llama.cpp") and "-DGGML_NATIVE=OFF" in configure


def test_what_the_program_says_when_it_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(peer, "program", lambda: "sh")
    monkeypatch.setattr(
        peer.subprocess, "run", lambda *a, **k: types.SimpleNamespace(returncode=1, stdout="", stderr="no such model")
    )
    with pytest.raises(RuntimeError, match="no such model"):
        peer.run(tmp_path / "x.gguf")
