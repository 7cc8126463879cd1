"""llama.cpp's tokenizer, as a GGUF carries it. The weights are not loaded."""

from __future__ import annotations

import os
from collections import Counter

from helpers.errors import InputError
from helpers.pipeline import runtime
from helpers.pipeline.gguf_file import Summary


class Vocabulary:
    """The tokenizer of a GGUF, to be used in a `with` block.

    Raises InputError for a file whose vocabulary llama.cpp cannot read.
    """

    def __init__(self, file: Summary):
        import llama_cpp

        require_no_doubles(file)
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        llama_cpp.llama_backend_init()
        with runtime.log_to() as log:
            self._model = llama_cpp.llama_model_load_from_file(os.fsencode(file.path), parameters)
        if not self._model:
            said = next((line.strip() for line in reversed(log) if "error" in line.lower()), "nothing")
            raise InputError(
                f"llama.cpp could not read the tokenizer of {file.path.name}. It said: {said}. Convert the checkpoint "
                "again."
            )
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.begin = llama_cpp.llama_vocab_bos(self._vocab)  # −1 without one
        self.end = llama_cpp.llama_vocab_eos(self._vocab)
        self.adds_begin = llama_cpp.llama_vocab_get_add_bos(self._vocab)
        self.adds_end = llama_cpp.llama_vocab_get_add_eos(self._vocab)

    def __enter__(self) -> Vocabulary:
        return self

    def __exit__(self, *_) -> None:
        import llama_cpp

        llama_cpp.llama_model_free(self._model)

    def tokens(self, text: str, ends: bool = False) -> list[int]:
        """Return a text's token ids; `ends` adds a beginning and an end if the file says so.

        Special tokens written in the text become one id each, as in transformers.
        """
        import llama_cpp

        data = text.encode()
        room = len(data) + 8  # no tokenizer makes more tokens than bytes, a blank in front, beginning and end
        ids = (llama_cpp.llama_token * room)()
        n = llama_cpp.llama_tokenize(self._vocab, data, len(data), ids, room, ends, True)
        if n < 0:  # a room too small: a normaliser that makes text longer
            ids = (llama_cpp.llama_token * -n)()
            n = llama_cpp.llama_tokenize(self._vocab, data, len(data), ids, -n, ends, True)
        return list(ids[:n])

    def text(self, token: int) -> str:
        """Return a token as the file writes it, `""` for −1 or an id beyond the vocabulary."""
        import llama_cpp

        if not 0 <= token < self.size:
            return ""
        return llama_cpp.llama_vocab_get_text(self._vocab, token).decode(errors="replace")


def require_no_doubles(file: Summary) -> None:
    """Raise InputError for a vocabulary with a token twice: llama.cpp ends the process, kernel and notebook, at it."""
    tokens = Counter(map(str, file.metadata.get("tokenizer.ggml.tokens") or []))
    token, times = max(tokens.items(), key=lambda item: "\ufffd" not in item[0] and item[1], default=("", 0))
    if times > 1 and "\ufffd" not in token:  # what was no UTF-8 may look the same and differ
        raise InputError(
            f"{file.path.name} has the token {token!r} {times} times. llama.cpp cannot open such a vocabulary. Correct "
            "the added tokens of the checkpoint's tokenizer and convert again."
        )
