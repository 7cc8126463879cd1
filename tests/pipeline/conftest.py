"""Fixtures of the tests of publishing: somebody logged in to a rehearsal Hub, and GGUF files that take no time."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from helpers.pipeline import hub


@pytest.fixture
def here(server):
    return hub.Hub(server.endpoint, "rehearsal", True, "a test", server.token)


@pytest.fixture
def tiny_gguf():
    return write_gguf


@pytest.fixture
def files(tmp_path):
    return [write_gguf(tmp_path / "m-Q8_0.gguf"), write_gguf(tmp_path / "m-Q4_0.gguf")]


def write_gguf(path: Path, tensors: int = 1, split_max_tensors: int = 0, **metadata: str) -> Path:
    """Write a GGUF of 256 kB a tensor; with `split_max_tensors` in parts, of which the first one's path is returned."""
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=split_max_tensors)
    for key, text in metadata.items():
        writer.add_string(key.replace("__", "."), text)
    for n in range(tensors):
        writer.add_tensor(f"blk.{n}.weight", np.random.default_rng().random((256, 256), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path if path.exists() else min(path.parent.glob(f"{path.stem}-*-of-*.gguf"))
