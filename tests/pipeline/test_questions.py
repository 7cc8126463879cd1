"""The questions of the course are chosen by their margin: a near-tie would look like damage done by quantization."""

import ctypes

import numpy as np
import pytest

from helpers.pipeline import catalogue, chat, convert, runtime
from helpers.quality import importance

LEAST = 1.0  # nats between the first choice and the second


def answer_and_margin(llm, question: str, most: int = 40) -> tuple[str, float]:
    """Return a greedy answer and the smallest lead of its tokens in nats, the end of the answer included."""
    import llama_cpp

    from helpers.pipeline import pieces

    ids, answer, margins = chat.prompt_tokens(llm, question), b"", []
    llm.reset()
    llm.eval(ids)
    while len(margins) < most:
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llm.ctx, -1), (llm.n_vocab(),))
        second, first = np.argpartition(logits, -2)[-2:]
        margins.append(float(logits[first] - logits[second]))
        if llama_cpp.llama_vocab_is_eog(llm._model.vocab, int(first)):
            return answer.decode().strip(), min(margins)
        answer += pieces.piece(llm, int(first))
        llm.eval([int(first)])
    raise AssertionError(f"no end within {most} tokens")


@pytest.fixture(scope="module")
def files(smollm2, smollm2_f16):
    return {"F16": smollm2_f16, "Q8_0": convert.to_gguf(smollm2, "q8_0"), "Q4_K_M": importance.weighed(smollm2_f16)}


def test_smollm2_is_sure_of_every_token_of_its_answers(files):
    llm = runtime.load(files["F16"], n_ctx=256)
    found = {question: answer_and_margin(llm, question) for question in catalogue.CHAT_QUESTIONS}
    llm.close()
    assert all(margin >= LEAST for _, margin in found.values()), found
    for word, (answer, _) in zip(("mice", "O", "Paris"), found.values(), strict=True):
        assert answer.rstrip(".").endswith(word)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
@pytest.mark.parametrize("repacked", [True, False], ids=["repacked", "as stored"])
def test_smaller_files_answer_the_same_on_both_paths(files, kind, repacked, monkeypatch):
    """llama.cpp computes from weights as they are stored, or from a copy that is ordered for the processor."""
    import llama_cpp

    inner = llama_cpp.llama_cpp  # where `Llama` looks it up
    defaults = inner.llama_model_default_params

    def parameters():
        found = defaults()
        found.use_extra_bufts = repacked
        return found

    monkeypatch.setattr(inner, "llama_model_default_params", parameters)
    answers = {}
    for name in ("F16", kind):
        llm = runtime.load(files[name], n_ctx=256)
        assert bool(llm.model_params.use_extra_bufts) is repacked and isinstance(llm.model_params, ctypes.Structure)
        answers[name] = [runtime.ask(llm, question, max_tokens=40) for question in catalogue.CHAT_QUESTIONS]
        llm.close()
    assert answers[kind] == answers["F16"]


def test_the_question_that_was_dropped_is_a_near_tie(files):
    """Its first token decides between two languages by less than a tenth of a nat."""
    llm = runtime.load(files["F16"], n_ctx=256)
    (_, first), (_, second) = runtime.next_tokens(llm, "What is the capital of France?", 2)
    llm.close()
    assert np.log(first / second) < 0.2
