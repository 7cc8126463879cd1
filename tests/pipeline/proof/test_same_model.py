"""The proof passes for right conversions and finds each silent fault, in the row where it belongs."""

import json
import shutil

import makers
import numpy as np
import pytest
import torch
from makers import STORY

from helpers.errors import CheckpointError, InputError
from helpers.pipeline import convert, proof
from helpers.pipeline.proof import FAILED, OPEN, PASSED, chat, logits, tensors, tokens, values

RIGHT = """story-bf16 chat gpt2 qwen3 gemma2 microsoft mixtral mamba mistral heavy-bf16 vision hearing listed no-prefix
no-beginning other-head""".split()
# What is wrong, the rows that must say so, and what they must mention.
WRONG = {
    "json-only": {tokens.NAME: "rebuild_scores"},
    "other-merges": {tokens.NAME: "texts differ"},
    "added-in-json": {tokens.NAME: r"added tokens differ: '<\|extra\|>'.*save_pretrained"},
    "added-without-row": {tokens.NAME: r"'<\|extra\|>'.*\(resized\)"},
    "ends": {chat.ENDS: "every prompt ends in </s>.*add_eos_token"},
    "twice": {chat.ENDS: "begins with <s> twice"},
    "window": {logits.NAME: "sliding window"},
    "microsoft-window": {logits.NAME: "sliding window"},
    "gelu": {logits.NAME: "activation"},
    "relu": {logits.NAME: "activation"},
    "heavy": {values.NAME: "blk.0.ffn_down.weight.*bf16", logits.NAME: "NaN or infinity"},
    "heavy-q8": {values.NAME: "blk.0.ffn_down.weight.*bf16", logits.NAME: "NaN or infinity"},
    "nan": {values.NAME: "and in the checkpoint"},
    "left-out": {tensors.NAME: "1 of 39 are not in the file: mlp.extra.weight"},
    "stale-index": {logits.NAME: "made from this folder"},
}


def row(found: proof.Proof, name: str) -> proof.Row:
    return next(row for row in found.rows if row.name == name)


@pytest.fixture
def folder(tmp_path):
    return makers.story(tmp_path / "changed")


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_conversion(workshop, name):
    found = proof.same_model(*workshop[name])
    assert found.passed, str(found)
    assert "PASSED" in found.verdict


@pytest.mark.parametrize("outtype", ["f32", "f16", "q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"])
def test_story_in_every_precision(story_f16, outtype):
    gguf = convert.requantize(story_f16, outtype) if outtype.isupper() else convert.to_gguf(STORY, outtype)
    found = proof.same_model(STORY, gguf)
    assert found.passed, str(found)
    assert ("as exactly as" in found.verdict) == (found.type not in proof.FAITHFUL)


def test_smollm2(smollm2, smollm2_f16):
    found = proof.same_model(str(smollm2), str(smollm2_f16))
    assert found.passed, str(found)
    assert "17 added tokens" in row(found, tokens.NAME).detail


@pytest.mark.parametrize("name", WRONG)
def test_a_silent_fault(workshop, name):
    import re

    found = proof.same_model(*workshop[name])
    assert not found.passed and found.verdict.startswith("FAILED")
    for where, what in WRONG[name].items():
        seen = row(found, where)
        assert seen.verdict == FAILED and re.search(what, f"{seen.detail} {seen.remedy}"), seen
    others = {seen.name for seen in found.rows if seen.verdict == FAILED}
    assert others == set(WRONG[name]), str(found)


def test_what_is_left_out_is_named(workshop):
    found = proof.same_model(*workshop["vision"])
    assert "43 tensors" in row(found, tensors.NAME).detail
    assert "without its part for pictures or sound" in found.verdict


# The file of another model


def test_another_model(smollm2_f16):
    found = proof.same_model(STORY, smollm2_f16)
    assert {seen.name for seen in found.rows if seen.verdict == FAILED} >= {tokens.NAME, tensors.NAME, logits.NAME}


def test_trained_on(folder, story_f16):
    """All weights moved by 2 %: a fine-tune of the same model."""
    makers.weights(
        folder, lambda all: {name: t + 0.02 * t.std() * torch.randn_like(t) for name, t in all.items() if t.ndim}
    )
    found = proof.same_model(folder, story_f16)
    assert row(found, logits.NAME).verdict == FAILED, str(found)


def test_one_row_of_the_embedding(folder, story_f16):
    """A token that no text here contains: no logits can see it."""

    def change(all):
        all["model.embed_tokens.weight"][777] += 0.1

    makers.weights(folder, change)
    seen = row(proof.same_model(folder, story_f16), values.NAME)
    assert seen.verdict == FAILED and "token_embd.weight (0.10% of its rows)" in seen.detail


def test_a_file_damaged_on_the_way(story_f16, tmp_path):
    import gguf

    copy = tmp_path / "copy-F16.gguf"
    shutil.copyfile(story_f16, copy)
    reader = gguf.GGUFReader(copy, "r+")
    next(t for t in reader.tensors if t.name == "blk.1.ffn_up.weight").data[5, :] = 0
    reader.data.flush()
    seen = row(proof.same_model(STORY, copy), values.NAME)
    assert seen.verdict == FAILED and "blk.1.ffn_up.weight" in seen.detail


def test_a_head_that_is_not_the_embedding(workshop, story_f16):
    seen = row(proof.same_model(workshop["other-head"][0], story_f16), values.NAME)
    assert seen.verdict == FAILED and "tie_word_embeddings" in seen.remedy


@pytest.mark.parametrize("change", [{"rope_theta": 2000.0}, {"rms_norm_eps": 0.01}])
def test_another_setting(folder, story_f16, change):
    makers.edit(folder / "config.json", rope_parameters=None, **change)
    seen = row(proof.same_model(folder, story_f16), logits.NAME)
    assert seen.verdict == FAILED, seen


# Chat templates


@pytest.mark.parametrize(
    "template, what",
    [
        (makers.CHAT.replace("[", "("), "render differently"),
        (makers.CHAT.replace("{{ eos_token }}", "\n"), "render differently"),
        (makers.CHAT + "{{ raise_exception('no') }}", "only the file renders it"),
        (None, "the checkpoint has no chat template"),
    ],
)
def test_another_template(workshop, tmp_path, template, what):
    _, gguf = workshop["chat"]
    other = makers.story(tmp_path / "other", None, {"chat_template": template})
    seen = row(proof.same_model(other, gguf), chat.NAME)
    assert seen.verdict == FAILED and what in seen.detail


# What cannot be compared


def test_a_tokenizer_with_code_of_its_own(folder, story_f16):
    makers.edit(folder / "tokenizer_config.json", tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Own", None]})
    (folder / "own.py").write_text("raise SystemExit('foreign code ran')")
    found = proof.same_model(folder, story_f16)
    assert row(found, tokens.NAME).verdict == OPEN and not found.passed
    assert row(found, logits.NAME).verdict == PASSED, "the file's own tokens do for the weights"
    assert found.verdict.startswith("NOT PROVEN")


def test_an_architecture_that_transformers_does_not_know(folder, story_f16):
    makers.edit(folder / "config.json", model_type="nobody", architectures=["NobodyForCausalLM"])
    found = proof.same_model(folder, story_f16)
    assert row(found, logits.NAME).verdict == OPEN and "could not load" in row(found, logits.NAME).detail
    assert row(found, values.NAME).verdict == PASSED
    assert not found.passed and found.verdict.startswith("NOT PROVEN")


def test_weights_under_other_names(folder, story_f16):
    """transformers fills in random numbers and only warns: nothing that is compared with them would mean anything."""
    makers.weights(folder, lambda all: {name.replace("layers.0", "layers.9"): tensor for name, tensor in all.items()})
    with pytest.raises(CheckpointError, match="lacks whole layers: 0 of"):
        proof.same_model(folder, story_f16)


def test_what_is_no_model(tmp_path, story_f16):
    with pytest.raises(CheckpointError):
        proof.same_model(tmp_path, story_f16)
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(InputError):
        proof.same_model(STORY, tmp_path / "page.gguf")


def test_a_vocabulary_with_a_token_twice(story_f16, tmp_path):
    """llama.cpp would end the process."""
    twin = tmp_path / "twin-F16.gguf"
    twin.write_bytes(story_f16.read_bytes().replace(b"</s>", b"<s>>", 1).replace(b"<s>>", "▁a▁"[:1].encode() + b"a", 1))
    found = proof.same_model(STORY, twin)
    assert "2 times" in row(found, tokens.NAME).detail and not found.passed


def test_a_window_too_long_to_reach(workshop, monkeypatch, story_f16):
    monkeypatch.setattr(logits, "MOST_WORK", 0)
    monkeypatch.setattr(logits, "TOKENS", 20)
    seen = row(proof.same_model(*workshop["window"]), logits.NAME)
    assert seen.verdict == FAILED and "looks back over 24 tokens" in seen.detail
    assert "max_position_embeddings to be 24" in seen.remedy or "max_position_embeddings be 24" in seen.remedy
    seen = row(proof.same_model(*workshop["gemma2"]), logits.NAME)
    assert seen.verdict == PASSED and "take too long" in seen.detail


# Scores


def test_scores_from_merges(workshop, tmp_path):
    folder, gguf = workshop["json-only"]
    copy = shutil.copy(gguf, tmp_path / "mended-F16.gguf")
    assert proof.rebuild_scores(folder, copy) == tmp_path / "mended-F16.gguf"
    found = proof.same_model(folder, copy)
    assert found.passed, str(found)
    assert copy.stat().st_size == gguf.stat().st_size


def test_scores_that_cannot_be(workshop, tmp_path, smollm2_f16):
    folder, gguf = workshop["json-only"]
    with pytest.raises(InputError, match="no sentencepiece vocabulary but 'gpt2'"):
        proof.rebuild_scores(folder, smollm2_f16)
    with pytest.raises(CheckpointError, match="no tokenizer.json with merges"):
        proof.rebuild_scores(STORY, gguf)
    other = shutil.copytree(folder, tmp_path / "other")
    content = json.loads((other / "tokenizer.json").read_text())
    merges = content["model"]["merges"]
    content["model"]["merges"] = merges[::2] + merges[1::2]
    (other / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="does not come from sentencepiece"):
        proof.rebuild_scores(other, gguf)


# Measures and printing


def test_measures():
    expected = np.random.default_rng(0).normal(size=(20, 50)).astype(np.float32)
    same = logits.measure(expected, expected + 7)  # a constant changes no probability
    assert same.error < 1e-6 and same.kl < 1e-9 and same.agreement == 1
    other = logits.measure(expected, np.random.default_rng(1).normal(size=(20, 60)).astype(np.float32))
    assert other.error > 1 and other.kl > 0.5
    one = expected.copy()
    one[3] = -one[3]  # a router that chose another expert
    assert logits.measure(expected, one).error < 1e-6 < logits.measure(expected, one).kl
    p, q = np.log([[0.5, 0.25, 0.25]]), np.log([[0.25, 0.25, 0.5]])
    assert logits.measure(p, q).kl == pytest.approx(0.25 * np.log(2))
    assert np.isnan(logits.measure(expected, expected * np.nan).error)


def test_how_it_prints():
    rows = (
        proof.Row("tokens", PASSED, "3 ids | <s>", left_out="its eyes"),
        proof.Row("logits", FAILED, "error 1", "Look <here>."),
    )
    bad = proof.Proof("mine", "mine-Q4.gguf", "Q4_K", rows)
    assert str(bad).splitlines()[1].startswith("✗ logits") and "→ Look <here>." in str(bad)
    assert str(bad).splitlines()[-1] == "FAILED: mine-Q4.gguf is not the same model as mine (logits)."
    assert "&lt;here&gt;" in bad._repr_html_() and "<here>" not in bad._repr_html_()
    assert "| tokens | ✓ passed | 3 ids \\| &lt;s> |" in bad.markdown() and "**FAILED" in bad.markdown()
    good = proof.Proof("mine", "mine-Q4.gguf", "Q4_K", rows[:1])
    assert good.passed
    assert good.verdict == (
        "PASSED: mine-Q4.gguf is the same model as mine, without its eyes, as exactly as Q4_K allows."
    )
