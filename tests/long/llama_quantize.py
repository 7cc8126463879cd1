"""Compare files with llama.cpp's own llama-quantize: `python -m tests.long.llama_quantize [type …]`.

The program is built as llama_imatrix.py says. It and the course quantize `story` with the same importance, once with
the types of llama.cpp's recipe and once with types of single tensors, and all bytes of all tensors must be equal.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

from helpers.pipeline import catalogue, convert
from helpers.quality import calibration, importance
from helpers.quality.importance import Importance
from tests.long.llama_imatrix import program

KINDS = "Q8_0 Q4_K_M Q4_0 IQ4_XS Q3_K_M IQ3_M Q2_K IQ3_XXS IQ2_M IQ2_XXS IQ1_M IQ1_S".split()
MIX = {"blk.0.attn_v.weight": "Q6_K", "blk.1.ffn_down.weight": "IQ2_XXS", "token_embd.weight": "IQ4_XS"}


def theirs(f16: Path, kind: str, matrix: Path, types: dict[str, str], path: Path) -> None:
    """Make a file with llama-quantize; raises RuntimeError with its last words."""
    pairs = [("--tensor-type", f"^{re.escape(name)}$={chosen.lower()}") for name, chosen in types.items()]
    options = [part for pair in pairs for part in pair]
    command = [program("llama-quantize"), "--imatrix", matrix, *options, f16, path, kind, 2]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-2000:])


def differences(ours: Path, other: Path) -> list[str]:
    """Return the names of the tensors whose type or bytes differ, or that only one file has."""
    files = [{tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors} for path in (ours, other)]
    names = sorted(files[0].keys() | files[1].keys())
    return [name for name in names if not _same(*(file.get(name) for file in files))]


def _same(one: gguf.ReaderTensor | None, other: gguf.ReaderTensor | None) -> bool:
    there = one is not None and other is not None
    return there and one.tensor_type == other.tensor_type and np.array_equal(one.data, other.data)


def compare(f16: Path, kind: str, seen: Importance, types: dict[str, str], folder: Path) -> list[str]:
    """Quantize with both and return what differs."""
    ours = convert.requantize(f16, kind, importance=seen, types=types)
    # All types by name: llama.cpp's recipe counts only the tensors that are not named, and would give others.
    chosen = {t.name: t.type for t in convert.summary(ours).tensors if t.type != "F32"} if types else {}
    path = folder / f"theirs-{ours.name}"
    theirs(f16, kind, seen.save(folder / "matrix.gguf"), chosen, path)
    return differences(ours, path)


def main(kinds: list[str]) -> int:
    """Compare every type with and without a mix; return how many files differ."""
    f16 = convert.to_gguf(catalogue.choose("story").fetch(), "f16")
    seen = importance.collect(f16, calibration.text(), most=40)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds or KINDS:
            for types in ({}, MIX):
                found = compare(f16, kind, seen, types, Path(folder))
                print(f"{kind:8s} {'mix ' if types else ''}{', '.join(found) or 'the same'}", flush=True)
                failures += bool(found)
    return failures


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
