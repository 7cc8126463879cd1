"""Takes the functions that notebooks define out of them, to be tested, and writes a model with them."""

import ast
import struct
from pathlib import Path
from statistics import NormalDist

import nbformat
import numpy as np
import torch

from helpers import artifacts

NOTEBOOKS = artifacts.ROOT / "notebooks"


def functions(number: str, **names) -> dict:
    """Return the namespace of a notebook's function definitions; `names` are the globals they use."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    space = {"np": np, "torch": torch, "struct": struct, "NormalDist": NormalDist, **names}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code" or "def " not in cell.source:
            continue
        definitions = [node for node in ast.parse(cell.source).body if isinstance(node, ast.FunctionDef)]
        exec(compile(ast.Module(definitions, []), str(path), "exec"), space)
    return space


def hand_made(tmp_path: Path, **changes) -> Path:
    """A model written by notebook 03's functions: one layer, 32 words, random weights."""
    space = functions("03")
    metadata = {
        "general.architecture": "llama", "llama.context_length": 64, "llama.embedding_length": 32,
        "llama.block_count": 1, "llama.feed_forward_length": 64, "llama.attention.head_count": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.dimension_count": 32,
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": [f"t{i}" for i in range(32)],
        "tokenizer.ggml.scores": [0.0] * 32,
    } | changes  # fmt: skip
    random = np.random.default_rng(0)
    shapes = {"token_embd": (32, 32), "blk.0.ffn_gate": (64, 32), "blk.0.ffn_up": (64, 32), "blk.0.ffn_down": (32, 64)}
    shapes |= {f"blk.0.attn_{part}": (32, 32) for part in ("q", "k", "v", "output")}
    shapes |= {name: (32,) for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm")}
    tensors = {name: (0.2 * random.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    path = tmp_path / "hand.gguf"
    path.write_bytes(space["gguf_bytes"]({k: v for k, v in metadata.items() if v is not None}, tensors))
    return path
