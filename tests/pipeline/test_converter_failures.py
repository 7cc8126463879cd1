"""The converter stops: the real one, on tiny checkpoints, and what we say about it."""

import json

import numpy as np
import pytest
import tiny_checkpoints as tiny

from helpers.errors import ConversionError, ResourceError
from helpers.pipeline import convert
from helpers.pipeline.failures import explain_failure, last_exception


def own_tokenizer(folder):
    """Replace the tokenizer by a byte-level BPE that nobody has seen."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    (folder / "tokenizer.model").unlink()
    (folder / "tokenizer_config.json").unlink()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(["once upon a time"], trainers.BpeTrainer(vocab_size=270, initial_alphabet=alphabet))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def with_tensor(name, shape=(1, tiny.WIDTH)):
    return lambda folder: tiny.write(folder, tiny.llama_tensors() | {name: np.zeros(shape, np.float32)})


def with_config(**changes):
    return lambda folder: tiny.write(folder, **changes)


def larger_tokenizer(folder):
    tensors = tiny.llama_tensors()
    tensors |= {name: tensors[name][:200] for name in ("model.embed_tokens.weight", "lm_head.weight")}
    return own_tokenizer(tiny.write(folder, tensors, vocab_size=200))


def gemma_with_json_only(folder):
    tiny.write(folder, architectures=["Gemma2ForCausalLM"], model_type="gemma2", head_dim=8)
    return own_tokenizer(folder)


def unreadable_tokenizer(folder):
    own_tokenizer(tiny.write(folder))
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"BPE"', '"BetterThanBPE"'))
    return folder


# What the issue reports as diagnosed wrongly, then neighbours: builder, words of the message, words it must not hold.
CASES = {
    "own BPE": (lambda f: own_tokenizer(tiny.write(f)), "tokenizer of their own, which no version knows", "is older"),
    "value head": (
        with_tensor("v_head.summary.weight"),
        "v_head.summary.weight. It is the head of a reward",
        "quantiz",
    ),
    "larger tokenizer": (larger_tokenizer, "more tokens than the model has rows", "missing"),
    "no architectures": (with_config(architectures=...), "does not say which architecture", "transformers"),
    "gemma without tokenizer.model": (gemma_with_json_only, "a tokenizer.json does not replace it", "incomplete"),
    "architectures empty": (with_config(architectures=[]), "does not say which architecture", "transformers"),
    "unmerged adapter": (
        with_tensor("model.layers.0.self_attn.q_proj.lora_A.weight", (2, tiny.WIDTH)),
        "part of a LoRA adapter",
        "quantized",
    ),
    "quantized": (with_tensor("model.layers.0.mlp.up_proj.weight.absmax"), "is quantized already", "reward"),
    "key missing": (with_config(num_hidden_layers=..., model_type="odd"), "config.json lacks", "transformers 5"),
    "heads": (with_config(num_attention_heads=5), "not have the shape that config.json announces", "tested with"),
    "tokenizer of the future": (unreadable_tokenizer, "most likely its tokenizer, cannot be read", "exit code"),
}


@pytest.mark.parametrize("build, words, never", CASES.values(), ids=CASES)
def test_the_real_converter_stops(elsewhere, tmp_path, build, words, never):
    folder = build(tmp_path / "model")  # handed over unread: most of these are refused before, by checkpoint.read
    with pytest.raises(ConversionError, match=words) as caught:
        convert.to_gguf(tiny.unchecked(folder), "f16")
    ours = str(caught.value).split("(It said")[0]
    assert never not in ours
    assert str(elsewhere) not in str(caught.value), "a folder that is gone says nothing"


CHAIN = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    raise FileNotFoundError("File not found: tokenizer.model")
FileNotFoundError: File not found: tokenizer.model

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    assert max(tokenizer.vocab.values()) < vocab_size
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
AssertionError
"""


def test_only_the_last_exception_of_a_chain_counts():
    assert (
        last_exception(CHAIN.splitlines()) == "AssertionError [in: assert max(tokenizer.vocab.values()) < vocab_size]"
    )
    assert "more tokens" in str(explain_failure(1, CHAIN.splitlines()))
    turned = "\n".join(
        reversed(CHAIN.split("\nDuring handling of the above exception, another exception occurred:\n\n"))
    )
    assert "sentencepiece file" in str(explain_failure(1, turned.splitlines()))


@pytest.mark.parametrize(
    "text, error, words",
    [
        ("INFO:x: MemoryError was handled\nValueError: odd", ConversionError, "It said: ValueError: odd"),
        ("OSError: [Errno 28] No space left on device", ResourceError, "disk filled up"),
        ("", ConversionError, "It said: nothing"),
        ("WARNING:x: No module named 'gguf.old' tried first\nRuntimeError: odd", ConversionError, "RuntimeError: odd"),
    ],
)
def test_words_before_the_end_do_not_count(text, error, words):
    log = (
        ["Traceback (most recent call last):", "  File x", *text.splitlines()] if "Errno" in text else text.splitlines()
    )
    with pytest.raises(error, match=words):
        raise explain_failure(1, log)
