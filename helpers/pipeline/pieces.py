"""Text to tokens and back, for any vocabulary: nothing is lost and nothing is added.

llama-cpp-python reads the text of a token into 32 bytes and gets nothing for a longer one (SmolLM2 has 47 of them:
rows of blanks, rules of code comments). `repair` replaces that one method, so that everything built on it, its
server too, gives whole texts.
"""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from helpers.errors import InputError

if TYPE_CHECKING:
    from llama_cpp import Llama


def piece(llm: Llama, token: int, special: bool = False) -> bytes:
    """Return the bytes of one token; those of control tokens (start, end) only with `special`.

    Raises InputError for a number that is no token of this vocabulary.
    """
    require_open(llm)
    return _piece(llm._model.vocab, token, special)


def encode(llm: Llama, text: str, special: bool = True) -> list[int]:
    """Return the ids of a text, without a start or an end token of the vocabulary's own choice.

    With `special` the written form of a control token becomes that token, as in a rendered chat template.
    """
    require_open(llm)
    require_tokens(llm._model.vocab)
    return llm._model.tokenize(utf8(text), add_bos=False, special=special)


def starts(llm: Llama) -> list[int]:
    """Return the start token in a list, or an empty one if this vocabulary puts none before a text."""
    require_open(llm)
    start = llm.token_bos()
    return [start] if llm._model.add_bos_token() and start >= 0 else []


def decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield text as soon as its bytes are complete: a character may be spread over several tokens.

    Bytes that are no UTF-8 become �; a character that the last token leaves unfinished is left out.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for data in pieces:
        if text := decoder.decode(data):
            yield text


def utf8(text: str) -> bytes:
    """Return the bytes of a text; raise InputError for what is none."""
    if not isinstance(text, str):
        kind = type(text).__name__
        hint = "Decode it first: data.decode()" if isinstance(text, bytes) else "Pass a str"
        raise InputError(f"{text!r:.80} is {kind}, not text. A model reads text. {hint}.")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The text holds {text[error.start]!a} at position {error.start:,}, half of a character (a lone "
            'surrogate). It has no UTF-8 form. Clean it: text.encode("utf-8", "replace").decode().'
        ) from error


def require_open(llm: Llama) -> None:
    """Raise InputError unless `llm` is an open model: llama.cpp would end the process, notebook and all."""
    inner = getattr(llm, "_model", None)
    if inner is None or not hasattr(inner, "vocab"):
        raise InputError(f"{llm!r:.80} is no open model. Asking needs one. Pass what runtime.load returned.")
    if inner.model is None:
        raise InputError("This model was closed. Its memory is gone. Open it again with runtime.load.")


def require_tokens(vocab: ctypes.c_void_p) -> None:
    """Raise InputError for a file without tokens, whose text llama.cpp cannot read: it would end the process."""
    import llama_cpp

    if llama_cpp.llama_vocab_type(vocab) == llama_cpp.LLAMA_VOCAB_TYPE_NONE:
        raise InputError(
            "This file has no tokenizer. It can compute with ids, but neither read nor write text. Convert the "
            "checkpoint again, with its tokenizer's files beside the weights."
        )


def repair() -> None:
    """Let llama-cpp-python give the whole text of long tokens, everywhere in this process.

    And let it refuse what would end the process: ids that do not exist, and text for a file without a tokenizer.
    """
    from llama_cpp._internals import LlamaModel

    if LlamaModel.detokenize is _detokenize:
        return
    tokenize = LlamaModel.tokenize

    def tokenize_or_refuse(model, text: bytes, add_bos: bool, special: bool) -> list[int]:
        require_tokens(model.vocab)
        return tokenize(model, text, add_bos, special)

    LlamaModel.tokenize = tokenize_or_refuse
    LlamaModel.detokenize = _detokenize
    LlamaModel.token_to_piece = lambda model, token, special=False: _piece(model.vocab, token, special)


def _detokenize(model, tokens: list[int], special: bool = False) -> bytes:
    """As llama-cpp-python's method of this name: a blank that follows a start token is left out."""
    output = b"".join(_piece(model.vocab, token, special) for token in tokens)
    return output[1:] if len(tokens) and tokens[0] == model.token_bos() and output[:1] == b" " else output


def _piece(vocab: ctypes.c_void_p, token: int, special: bool) -> bytes:
    import llama_cpp

    require_tokens(vocab)
    count = llama_cpp.llama_vocab_n_tokens(vocab)
    if not 0 <= token < count:
        raise InputError(f"{token} is no token. This vocabulary has the ids 0 to {count - 1:,}. Choose one of them.")
    size = 32
    while True:
        buffer = ctypes.create_string_buffer(size)
        length = llama_cpp.llama_token_to_piece(vocab, int(token), buffer, size, 0, special)
        if length >= 0:
            return buffer.raw[:length]
        size = -length  # the text needs so many bytes
