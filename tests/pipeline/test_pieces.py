"""Tokens and text: long tokens, characters over several tokens, start and end tokens, what is no text."""

import llama_cpp
import pytest
import tiny_gguf
from tiny_gguf import FLAG, LONG

from helpers.errors import InputError
from helpers.pipeline import pieces, runtime

WORDS = [text for text, _ in tiny_gguf.words()]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    llm = runtime.load(tiny_gguf.llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf"), n_ctx=128)
    yield llm
    llm.close()


def writes(monkeypatch, llm, *tokens: str) -> list[int]:
    """Let a model write these tokens, whatever it is asked; return their ids."""
    ids = [WORDS.index(token) for token in tokens]
    monkeypatch.setattr(llm, "generate", lambda prompt, **_: iter(ids))
    return ids


@pytest.mark.parametrize("word", [LONG, FLAG])
def test_long_tokens_are_whole(llm, monkeypatch, word):
    """More than 32 bytes: llama-cpp-python alone gives nothing for them."""
    ids = writes(monkeypatch, llm, "a", word, "b")
    expected = f"a{word}b"
    assert pieces.piece(llm, ids[1]).decode() == word
    assert llm.detokenize(ids).decode() == expected
    assert runtime.ask(llm, "x", max_tokens=3) == expected
    assert list(runtime.stream(llm, "x", max_tokens=3)) == ["a", word, "b"]
    reply = llm.create_completion("x", max_tokens=3, temperature=0)
    assert reply["choices"][0]["text"] == expected


def test_every_token_of_a_real_vocabulary(smollm2, smollm2_f16):
    """Byte by byte what transformers gives; 47 of SmolLM2's tokens are longer than 32 bytes."""
    from transformers import AutoTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    as_byte = {character: byte for byte, character in bytes_to_unicode().items()}
    tokenizer = AutoTokenizer.from_pretrained(smollm2, local_files_only=True)
    model = runtime.load(smollm2_f16, n_ctx=64)
    texts = tokenizer.convert_ids_to_tokens(range(model.n_vocab()))
    control = set(tokenizer.all_special_ids)
    ours = [pieces.piece(model, i) for i in range(model.n_vocab())]
    model.close()
    plain = [i for i in range(len(texts)) if i not in control and ours[i]]
    assert len(plain) > len(texts) - 40
    assert all(ours[i] == bytes(as_byte[c] for c in texts[i]) for i in plain)
    assert sum(len(piece) > 32 for piece in ours) == 47


def test_characters_over_several_tokens(llm, monkeypatch):
    """An emoji in four byte tokens comes as one piece; half of one at the end is left out; no byte is made up."""
    emoji = [f"<0x{byte:02X}>" for byte in "🦙".encode()]
    writes(monkeypatch, llm, "a", *emoji, "b", *emoji[:2])
    assert list(runtime.stream(llm, "x", max_tokens=20)) == ["a", "🦙", "b"]
    writes(monkeypatch, llm, emoji[1], "a", emoji[0], "b")
    assert runtime.ask(llm, "x", max_tokens=20) == "\ufffda\ufffdb"


def test_no_more_tokens_than_asked_for(llm, monkeypatch):
    """llama-cpp-python goes on while a character is unfinished."""
    monkeypatch.setattr(llm, "generate", lambda prompt, **_: iter([WORDS.index("<0xF0>")] * 1000))
    assert len(list(runtime.stream(llm, "x", max_tokens=5))) <= 5


@pytest.mark.parametrize("token", [-1, len(WORDS), 10**9])
def test_ids_outside_the_vocabulary(llm, token):
    """llama.cpp throws where nothing can catch it."""
    with pytest.raises(InputError, match=f"{token} is no token"):
        llm.detokenize([token])


def test_text_and_control_tokens(llm):
    assert pieces.encode(llm, "ab</s>", special=False) != pieces.encode(llm, "ab</s>")
    assert pieces.encode(llm, "ab</s>")[-1] == 2 and pieces.piece(llm, 2) == b""
    assert pieces.piece(llm, 2, special=True) == b"</s>"
    assert pieces.encode(llm, "") == [] and pieces.encode(llm, "a\0b")


@pytest.mark.parametrize("text, what", [(b"ab", "bytes, not text.*decode"), (None, "NoneType"), (7, "int, not text")])
def test_what_is_no_text(llm, text, what):
    with pytest.raises(InputError, match=what):
        pieces.encode(llm, text)


@pytest.mark.parametrize("text", ["ab\ud83d", "\udc80"])
def test_lone_surrogates(llm, text):
    with pytest.raises(InputError, match="half of a character"):
        pieces.encode(llm, text)
    assert pieces.encode(llm, text.encode("utf-8", "replace").decode()), "the remedy in the message"


# Start and end tokens


@pytest.mark.parametrize("wanted", [True, False, None])
@pytest.mark.parametrize("end", [True, False])
def test_no_end_token_before_the_answer(tmp_path, wanted, end):
    """Tokenizers made for training ask for one behind every text; the start token is the model's own affair."""
    pairs = {"tokenizer__ggml__add_eos_token": end}
    if wanted is not None:
        pairs["tokenizer__ggml__add_bos_token"] = wanted
    model = runtime.load(tiny_gguf.llama(tmp_path / "tiny.gguf", **pairs), n_ctx=64)
    start = [] if wanted is False else [1]
    read = model.tokenize(b"ab", add_bos=True)
    assert read[: len(start)] == start and read.count(1) == len(start) and 2 not in read
    seen = []
    evaluate = model.eval
    model.eval = lambda tokens: (seen.append(list(tokens)), evaluate(tokens))
    model.create_completion("ab", max_tokens=2, temperature=0)
    runtime.ask(model, "ab", max_tokens=2)
    assert seen[0] == read and read in seen[1:]
    model.close()


def test_a_separator_is_no_end_of_the_prompt(tmp_path):
    """llama-cpp-python puts an end token behind every prompt if the vocabulary has a separator."""
    path = tiny_gguf.llama(tmp_path / "tiny.gguf", tokenizer__ggml__seperator_token_id=2)
    plain = llama_cpp.Llama(str(path), n_ctx=64, verbose=False)
    with_end = plain.create_completion("ab", max_tokens=1)["usage"]["prompt_tokens"]
    plain.close()
    model = runtime.load(path, n_ctx=64)
    assert model.create_completion("ab", max_tokens=1)["usage"]["prompt_tokens"] == with_end - 1
    model.close()


# Models that cannot be used


def test_a_closed_model_is_refused(tmp_path):
    model = runtime.load(tiny_gguf.llama(tmp_path / "tiny.gguf"), n_ctx=64)
    model.close()
    for use in (
        lambda: runtime.ask(model, "a"),
        lambda: pieces.piece(model, 5),
        lambda: runtime.tokens_per_second(model),
    ):
        with pytest.raises(InputError, match="was closed"):
            use()


@pytest.mark.parametrize("llm", [None, "model.gguf", 7])
def test_what_is_no_model(llm):
    with pytest.raises(InputError, match="no open model"):
        runtime.ask(llm, "a")


def test_a_model_without_tokens_computes_but_does_not_speak(tmp_path):
    """llama.cpp ends the process when it is asked for the text of a token."""
    path = tiny_gguf.llama(tmp_path / "none.gguf", tokenizer__ggml__model="none", llama__vocab_size=len(WORDS))
    model = runtime.load(path, n_ctx=64)
    for use in (lambda: runtime.ask(model, "a"), lambda: model.detokenize([1]), lambda: model.tokenize(b"a")):
        with pytest.raises(InputError, match="has no tokenizer"):
            use()
    model.close()
