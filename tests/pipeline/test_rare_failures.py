"""Failures that a broken disk, library or connection brings about: they are played, and explained."""

import json
import shutil
import types
from pathlib import Path

import llama_cpp
import pytest
import torch

from helpers import artifacts
from helpers.errors import CheckpointError, ConversionError, HubError, InputError
from helpers.pipeline import gguf_file, reference
from helpers.pipeline.hub import preflight, reading
from helpers.pipeline.proof import predictions, scores, vocabulary
from helpers.pipeline.shelf import Folder

STORY = artifacts.ROOT / "data" / "story"


def test_a_file_that_came_short(server, checkpoint, monkeypatch):
    server.host("ada/tiny", checkpoint)
    shelf = reading.Repository(server.endpoint, "ada/tiny", None)
    monkeypatch.setattr(reading, "_first", lambda pieces, most: b"".join(pieces)[:10])
    with pytest.raises(HubError, match=r"config.json of ada/tiny came with 10 bytes, the Hub lists"):
        shelf.data("config.json")


def test_a_file_that_may_not_be_read(checkpoint, monkeypatch):
    shelf = Folder(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(CheckpointError, match="config.json cannot be read: No such file"):
        shelf.data("config.json")


def test_parts_that_say_other_numbers(monkeypatch):
    parts = [
        types.SimpleNamespace(tensors=[1], metadata={"split.count": count}, path=Path(f"m-{count}")) for count in (2, 3)
    ]
    found = iter(parts)
    monkeypatch.setattr(gguf_file, "summary", lambda path: next(found))
    with pytest.raises(InputError, match=r"do not belong together: they say that there are \[2, 3\]"):
        preflight._require_whole([part.path for part in parts])


def test_llama_cpp_that_cannot_decode(story_f16, monkeypatch):
    monkeypatch.setattr(llama_cpp, "llama_decode", lambda *_: 1)
    with pytest.raises(InputError, match="could not run story-F16.gguf on 3 tokens"):
        predictions.compute(story_f16, [1, 2, 3], [0], 1)


def test_a_process_that_ends_without_an_answer(story_f16, monkeypatch):
    monkeypatch.setattr(predictions.sys, "executable", "/bin/false")
    with pytest.raises(ConversionError, match="ended its process on story-F16.gguf"):
        predictions.of(story_f16, [1], [0])


def test_a_tokenizer_that_llama_cpp_does_not_read(story_f16, monkeypatch):
    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", lambda *_: None)
    with pytest.raises(InputError, match="could not read the tokenizer of story-F16.gguf"):
        vocabulary.Vocabulary(gguf_file.summary(story_f16))


def test_scores_of_another_model_or_of_another_form(story_f16, tmp_path, monkeypatch):
    path = shutil.copy(story_f16, tmp_path / "mine-F16.gguf")
    monkeypatch.setattr(scores, "piece_ranks", lambda checkpoint: {"no such piece": 1})
    with pytest.raises(InputError, match="lacks pieces that story knows"):
        scores.rebuild_scores(STORY, path)
    with pytest.raises(InputError, match="scores in a form that is not known"):
        scores._place(path, 7)


def test_weights_that_transformers_does_not_find(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    changed = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    (checkpoint / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(CheckpointError, match="does not find .* weights of"):
        reference._from_folder(checkpoint, "float32")


def test_a_model_that_transformers_cannot_compute_with(checkpoint, monkeypatch):
    class Odd(torch.nn.Module):
        def forward(self, ids, use_cache=False):
            raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(reference, "load", lambda checkpoint: Odd())
    with pytest.raises(CheckpointError, match=r"could not compute with .*It said: shapes do not fit"):
        reference.logits(checkpoint, [1, 2])
