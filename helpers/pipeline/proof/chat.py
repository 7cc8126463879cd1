"""Does the model read the same chat prompt from both: transformers' rendering, and that of the GGUF's template?

The file's template is rendered as llama-cpp-python does it, in jinja2. And where does a prompt begin and end? A
beginning that is written twice is read twice, and after an end nothing follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.pipeline.gguf_file import Summary
from helpers.pipeline.proof.rows import FAILED, OPEN, PASSED, Row, some
from helpers.pipeline.proof.tokens import same_piece_by_piece
from helpers.pipeline.proof.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUESTION = {"role": "user", "content": "Who lit the lamp?"}
ANSWER = {"role": "assistant", "content": "The keeper did."}
CONVERSATIONS = {
    "a question": [QUESTION],
    "a system message": [{"role": "system", "content": "Be brief."}, QUESTION],
    "three turns": [QUESTION, ANSWER, {"role": "user", "content": "  And who\n\npaid him?\n"}],
}
TEMPLATE = "tokenizer.chat_template"
NAME, ENDS = "chat prompt", "beginning and end"


def compare(tokenizer: PreTrainedTokenizerBase | str, file: Summary, vocabulary: Vocabulary) -> Row:
    """Return the row about the chat prompt. `tokenizer` is the checkpoint's, or a sentence why there is none."""
    template = file.metadata.get(TEMPLATE)
    if isinstance(tokenizer, str):
        return Row(NAME, OPEN, tokenizer)
    if not tokenizer.chat_template or not template:
        if bool(tokenizer.chat_template) == bool(template):
            return Row(NAME, PASSED, "neither side has a template: a model that continues text")
        where = "checkpoint" if template else "file"
        remedy = "Convert again from a folder that has chat_template.jinja, or its text in tokenizer_config.json."
        return Row(NAME, FAILED, f"the {where} has no chat template, the other side has one", remedy)
    different, tokenized, compared, blanks = [], [], 0, False
    for what, messages in CONVERSATIONS.items():
        ours, theirs = render_checkpoint(tokenizer, messages), render_gguf(template, messages, vocabulary)
        if ours is None and theirs is None:  # both refuse: many templates know no system message
            continue
        compared += 1
        if ours != theirs:
            different.append(f"{what} ({_first_difference(ours, theirs)})")
        elif tokenizer.encode(ours, add_special_tokens=False) != vocabulary.tokens(ours):
            if same_piece_by_piece(ours, tokenizer, vocabulary):
                blanks = True
            else:
                tokenized.append(what)
    if different:
        return Row(
            NAME,
            FAILED,
            f"{len(different)} of {len(CONVERSATIONS)} conversations render differently: {some(different, 1)}",
            "The file's template is not the checkpoint's, or its beginning and end tokens are others. Convert again.",
        )
    if not compared:
        return Row(NAME, OPEN, "both templates refuse every conversation tried")
    if tokenized:
        remedy = "The texts are equal, the tokens are not: see the row about tokens."
        return Row(NAME, FAILED, f"{some(tokenized)}: the same text becomes other tokens", remedy)
    note = ", but for a blank that llama.cpp puts after special tokens" if blanks else ""
    return Row(NAME, PASSED, f"{compared} conversations are equal as text and as tokens{note}")


def compare_ends(tokenizer: PreTrainedTokenizerBase | str, file: Summary, vocabulary: Vocabulary) -> Row:
    """Return the row about what a tokenizer adds in front of a prompt and after it."""
    text = "The keeper"
    theirs, bare = vocabulary.tokens(text, ends=True), vocabulary.tokens(text)
    end = vocabulary.text(vocabulary.end)
    if theirs[-1:] == [vocabulary.end] and bare[-1:] != [vocabulary.end]:
        return Row(
            ENDS,
            FAILED,
            f"every prompt ends in {end}: the model is asked to go on after its own end",
            "Set add_eos_token to false in tokenizer_config.json, a setting for training that was saved with the "
            "model, and convert again.",
        )
    template = file.metadata.get(TEMPLATE)
    prompt = render_gguf(template, CONVERSATIONS["a question"], vocabulary) if template else None
    if prompt and vocabulary.begin >= 0 and vocabulary.tokens(prompt)[:2] == [vocabulary.begin] * 2:
        begin = vocabulary.text(vocabulary.begin)
        remedy = "Take one of the two out of the chat template and convert again."
        return Row(ENDS, FAILED, f"the chat template begins with {begin} twice", remedy)
    if isinstance(tokenizer, str):
        return Row(ENDS, OPEN, tokenizer)
    ours = tokenizer.encode(text)
    if ours[-1:] == [tokenizer.eos_token_id] and theirs[-1:] != ours[-1:]:
        return Row(ENDS, PASSED, f"transformers adds {tokenizer.eos_token} after every text, the file rightly does not")
    plain = tokenizer.encode(text, add_special_tokens=False)
    added, expected = theirs[: len(theirs) - len(bare)], ours[: len(ours) - len(plain)]
    if added != expected:
        shown = [" ".join(tokenizer.convert_ids_to_tokens(ids)) or "nothing" for ids in (expected, added)]
        remedy = "Set add_bos_token in tokenizer_config.json as the model was trained, and convert again."
        return Row(ENDS, FAILED, f"a text begins with {shown[0]} in transformers, with {shown[1]} in the file", remedy)
    if not added:
        return Row(ENDS, PASSED, "neither side adds a beginning or an end to a text")
    begin = vocabulary.text(vocabulary.begin)
    return Row(ENDS, PASSED, f"on both sides a text begins with {begin}, and has no end added")


def render_checkpoint(tokenizer: PreTrainedTokenizerBase, messages: list[dict]) -> str | None:
    """Return the prompt that transformers renders, None if the template refuses."""
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception:  # a template is a program of somebody else's
        return None


def render_gguf(template: str, messages: list[dict], vocabulary: Vocabulary) -> str | None:
    """Return the prompt that llama-cpp-python renders from a file's template, None if it refuses."""
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    begin, end = vocabulary.text(vocabulary.begin), vocabulary.text(vocabulary.end)
    try:
        return Jinja2ChatFormatter(template, eos_token=end, bos_token=begin)(messages=messages).prompt
    except Exception:
        return None


def _first_difference(ours: str | None, theirs: str | None) -> str:
    if ours is None or theirs is None:
        return f"only {'the file' if ours is None else 'the checkpoint'} renders it"
    i = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    start = max(0, i - 8)
    return f"…{ours[start : i + 16]!r} became {theirs[start : i + 16]!r}"
