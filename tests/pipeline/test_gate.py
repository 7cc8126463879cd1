"""The gate before a file is made public: what was not looked at, or looks wrong, keeps it private."""

import types

import numpy as np
import pytest

from helpers.errors import InputError
from helpers.pipeline import convert, gguf_file, hub, runtime
from helpers.pipeline.hub import gate

CARD = "---\nlicense: mit\n---\n"
OPENING = "There once was a stoat named Pimfin, who lived in a"


def proof(path, passed=True):
    return types.SimpleNamespace(passed=passed, gguf=path.name)


def rows(found: gate.Gate) -> dict[str, bool | None]:
    return {row.name: row.passed for row in found.rows}


@pytest.fixture(scope="module")
def story_q8(story_f16):
    return convert.requantize(story_f16, "Q8_0")


def test_a_good_file_may_be_made_public(here, story_f16, story_q8):
    found = gate.check(story_q8, proof(story_f16), [OPENING], kl=0.0004)
    assert found.passed and str(found).splitlines() == [
        "✓ proof          passed, for story-F16.gguf, of which this is a quantization",
        "✓ answers        1 of 1 questions answered",
        "✓ KL divergence  0.0004 nats, at most 0.005 for Q8_0",
        f"{story_q8.name} may be made public.",
    ]
    assert "<td>✓</td><td>proof</td>" in found._repr_html_()
    published = hub.publish(here, "story-GGUF", story_q8, CARD, private=False, gates=found)
    assert not published.private and not here.api.model_info(published.repo).private


def test_what_was_not_looked_at_does_not_pass(story_q8):
    found = gate.check(story_q8)
    assert rows(found) == {"proof": None, "answers": None, "KL divergence": None} and not found.passed
    assert found.verdict == f"{story_q8.name} stays private: proof, answers, KL divergence was not checked."


def test_a_proof_that_failed_or_is_another_models(story_q8, story_f16, tmp_path):
    assert rows(gate.check(story_q8, proof(story_f16, passed=False)))["proof"] is False
    assert rows(gate.check(story_q8, proof(tmp_path / "smollm2-F16.gguf")))["proof"] is False
    assert rows(gate.check(story_q8, proof(story_q8)))["proof"] is True


@pytest.mark.parametrize("kl", [0.006, float("nan"), float("inf")])
def test_too_much_divergence(story_q8, kl):
    assert rows(gate.check(story_q8, kl=kl))["KL divergence"] is False
    assert rows(gate.check(story_q8, kl=types.SimpleNamespace(kl=0.001)))["KL divergence"] is True
    assert rows(gate.check(story_q8, kl=0.006, most=0.01))["KL divergence"] is True


@pytest.mark.parametrize(
    "answer, passed",
    [
        ("A bird is an animal with feathers.", True),
        ("", False),
        (" \n", False),
        ("\ufffd\ufffd", False),
        ("the cat the cat the cat the cat the cat", False),
        ("!" * 40, False),
    ],
)
def test_answers_that_are_none(story_q8, monkeypatch, answer, passed):
    monkeypatch.setattr(runtime, "ask", lambda llm, question, **options: llm.eval([1, 2]) or answer)
    assert rows(gate.check(story_q8, questions="What is a bird?"))["answers"] is passed


def test_weights_that_give_no_finite_number(story_f16, tmp_path):
    """One infinite weight, as a checkpoint in BF16 may leave behind in F16."""
    broken = tmp_path / "broken-F16.gguf"
    data = bytearray(story_f16.read_bytes())
    data[-1000:] = np.full(500, np.inf, np.float16).tobytes()
    broken.write_bytes(data)
    (row,) = [row for row in gate.check(broken, questions=[OPENING]).rows if row.name == "answers"]
    assert row.passed is False and "not finite" in row.detail


def test_a_file_that_does_not_open(tmp_path, tiny_gguf):
    found = gate.check(tiny_gguf(tmp_path / "m-F32.gguf"), questions=["Hello"])
    assert rows(found)["answers"] is False
    (tmp_path / "cut.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match="cut short"):
        gate.check(tmp_path / "cut.gguf")


@pytest.mark.parametrize(
    "text, endless",
    [
        ("One two three four five six seven.", False),
        ("Yay!!!!!!", False),
        ("ha ha ha ha", False),
        ("ha ha ha ha ha ha ha ha ha ha", True),
        ("Well, it is the Grand Cross, the Grand Cross, the Grand Cross, the Grand Cross, the Gra", True),
        ("是的是的是的是的是的是的是的是的是的是的是的是的", True),
        ("", False),
    ],
)
def test_repetition(text, endless):
    unit = gate.repetition(text)
    assert bool(unit) is endless and (not unit or (unit * 3) in text)


def test_limits_grow_as_bits_go():
    names = "F32 BF16 Q8_0 Q6_K Q5_K_M Q4_K_M Q3_K_S Q2_K IQ1_S".split()
    limits = [gate.limit(name) for name in names]
    assert limits == sorted(limits) and gate.limit("IQ4_XS") == gate.limit("MXFP4_MOE") == gate.limit("Q4_0")
    assert gate.limit("F16") == gate.limit("BF16") and gate.limit("TQ1_0") == gate.limit("IQ1_M")


def test_every_type_of_llama_cpp_has_a_limit():
    import gguf

    for kind in gguf.LlamaFileType:
        if kind.name != "GUESSED":
            assert gate.limit(kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")) > 0


def test_a_model_in_parts(tmp_path, tiny_gguf):
    first = tiny_gguf(tmp_path / "m-F32.gguf", tensors=2, split_max_tensors=1)
    found = gate.check(first, proof(gguf_file.summary(first).path))
    assert set(found.files) == {"m-F32-00001-of-00002.gguf", "m-F32-00002-of-00002.gguf"} and rows(found)["proof"]
