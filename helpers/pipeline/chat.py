"""Asking a model: its chat template around the question, greedy tokens, text as it comes.

The template belongs to the file and may be anything: broken, in another program's language, made for other roles.
What goes wrong in it ends in an InputError that names the file, not before a question is asked.
"""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.errors import InputError, ResourceError
from helpers.pipeline import pieces

if TYPE_CHECKING:
    from llama_cpp import Llama

# What may be given to `ask`, and how llama-cpp-python's sampler calls it.
SAMPLING = {"temperature": "temp"} | {
    name: name
    for name in "top_k top_p min_p typical_p repeat_penalty frequency_penalty presence_penalty mirostat_mode "
    "mirostat_tau mirostat_eta".split()
}


def ask(llm: Llama, question: str | Iterable[dict], max_tokens: int = 64, **options) -> str:
    """Return one answer: by the chat template if the file has one, else a continuation of the text.

    `question` is a text, or messages ({"role", "content"}) for a model with a template. Greedy (temperature 0) unless
    `options` say otherwise (temperature, top_k, top_p, min_p, repeat_penalty, seed, stop), so that the same file on
    the same machine answers the same. Raises InputError for what cannot be asked, and for a template that fails.
    """
    return "".join(stream(llm, question, max_tokens, **options)).strip()


def stream(llm: Llama, question: str | Iterable[dict], max_tokens: int = 64, **options) -> Iterator[str]:
    """Return an iterator over the pieces of an answer as they are generated; see `ask`."""
    pieces.require_open(llm)
    prompt = prompt_tokens(llm, question)
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, numbers.Integral) or max_tokens < 0:
        raise InputError(
            f"max_tokens={max_tokens!r:.80} is impossible. It counts new tokens. Use a whole number, 0 up."
        )
    room = len(llm.input_ids)  # n_ctx() may be larger: llama.cpp rounds it up to a multiple of 256
    if len(prompt) + max_tokens > room:
        raise InputError(
            f"The question and {max_tokens} new tokens need {len(prompt) + max_tokens:,} tokens, the context has room "
            f"for {room:,}. Ask for fewer tokens, shorten the text, or load the model with a larger n_ctx."
        )
    stop = options.pop("stop", None) or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list | tuple) or not all(isinstance(text, str) for text in stops):
        raise InputError(f"stop={stop!r:.80} is impossible. An answer ends before such a text. Pass a str, or several.")
    seed = options.pop("seed", None)
    settings = _settings({"temperature": 0.0} | options)
    if seed is not None:
        llm.set_seed(_number("seed", seed, whole=True))
    written = pieces.decoded(_written(llm, prompt, int(max_tokens), settings))
    return _until(written, [text for text in stops if text])


def prompt_tokens(llm: Llama, question: str | Iterable[dict]) -> list[int]:
    """Return the ids the model will read: the question, with the words of the chat template around it.

    What the template says is what is read, as with transformers: no start token is added to it, and one that it
    writes twice is read once. A text without a template begins with the start token if the vocabulary wants one.
    """
    template = template_of(llm)
    if template is None:
        if not isinstance(question, str) and not isinstance(question, bytes):
            question = _only_text(_messages(question))
        ids = pieces.starts(llm) + pieces.encode(llm, question) if question else pieces.starts(llm)
    else:
        ids = pieces.encode(llm, render(llm, template, question))
    start = llm.token_bos()
    while len(ids) > 1 and ids[0] == ids[1] == start:
        ids = ids[1:]
    if not ids:
        raise InputError(
            "The question is empty, and this model's texts begin with no start token. There is nothing to continue. "
            "Ask something."
        )
    return ids


def template_of(llm: Llama) -> str | None:
    """Return the file's chat template, or None for a base model, which continues text."""
    import llama_cpp

    template = (llama_cpp.llama_model_chat_template(llm.model, None) or b"").decode(errors="replace")
    return template if template.strip() else None


def render(llm: Llama, template: str, question: str | Iterable[dict]) -> str:
    """Return the text that a template makes of a question. Raises InputError if it fails, or leaves the question out.

    Templates of models that see pictures want the content as a list of parts: both forms are tried.
    """
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    name = Path(llm.model_path).name
    alone = isinstance(question, str | bytes)
    messages = _messages([{"role": "user", "content": question}] if alone else question)
    typed = [message | {"content": [{"type": "text", "text": message["content"]}]} for message in messages]
    first, last = (
        pieces.piece(llm, token, special=True).decode(errors="replace") if token >= 0 else ""
        for token in (llm.token_bos(), llm.token_eos())
    )
    problem: Exception | str | None = None
    for form in (messages, typed):
        try:
            text = Jinja2ChatFormatter(template, bos_token=first, eos_token=last)(messages=form).prompt
        except Exception as error:  # foreign code: whatever it does is the file's fault, and said in our words
            problem = problem or error
        else:
            if messages[-1]["content"].strip() in text:
                return text
            problem = problem or "the words of the question are not in what it makes"
    raise _failed(name, problem)


@contextlib.contextmanager
def templates_may_be_broken() -> Iterator[None]:
    """Let llama-cpp-python open a file whose chat template cannot be compiled; the fault shows when it is used."""
    from llama_cpp import llama_chat_format

    original = llama_chat_format.Jinja2ChatFormatter

    class Waiting(original):
        problem: Exception | None = None

        def __init__(self, *arguments, **names):
            try:
                super().__init__(*arguments, **names)
            except Exception as error:  # as in `render`
                self.problem = error

        def __call__(self, **words):
            if self.problem:
                raise _failed("this file", self.problem)
            return super().__call__(**words)

    llama_chat_format.Jinja2ChatFormatter = Waiting
    try:
        yield
    finally:
        llama_chat_format.Jinja2ChatFormatter = original


def _failed(name: str, problem: Exception | str) -> InputError:
    if isinstance(problem, Exception):
        problem = f"{type(problem).__name__}: {problem!s:.200}"
    return InputError(
        f"The chat template of {name} fails: {problem}. It is broken, or written for another program or other roles. "
        "Convert again with a template that works, or continue plain text: llm.create_completion(text)."
    )


def _messages(question: Iterable[dict]) -> list[dict]:
    """Return messages whose contents are text; raise InputError for anything else."""
    wrong = "Pass a text, or messages such as {'role': 'user', 'content': 'Hello'}."
    try:
        messages = list(question)
    except TypeError:
        raise InputError(f"{question!r:.80} is no question. It is {type(question).__name__}. {wrong}") from None
    if not messages:
        raise InputError(f"There are no messages. A model answers to the last one. {wrong}")
    checked = []
    for message in messages:
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise InputError(f"{message!r:.80} is no message. It lacks a role or a content. {wrong}")
        content = message["content"]
        if isinstance(content, list | tuple):
            parts = [part.get("text") if isinstance(part, dict) else None for part in content]
            if not parts or not all(isinstance(part, str) for part in parts):
                raise InputError(f"{content!r:.80} has parts that are no text. Only text is read here. {wrong}")
            content = "".join(parts)
        pieces.utf8(content)
        checked.append(message | {"content": content})
    return checked


def _only_text(messages: list[dict]) -> str:
    if len(messages) > 1:
        raise InputError(
            f"This model has no chat template, and {len(messages)} messages need one. A base model continues one "
            "text. Pass a text."
        )
    return messages[0]["content"]


def _settings(options: dict) -> dict:
    """Return options as the sampler knows them; raise InputError for unknown ones and for what is no number."""
    if unknown := sorted(options.keys() - SAMPLING.keys()):
        raise InputError(
            f"There is no option {', '.join(unknown)}. An answer is shaped by {', '.join(SAMPLING)}, seed and stop. "
            "Use these, or llama-cpp-python's own llm.create_completion."
        )
    whole = ("top_k", "mirostat_mode")
    return {SAMPLING[name]: _number(name, value, whole=name in whole) for name, value in options.items()}


def _number(name: str, value, whole: bool) -> int | float:
    kind = numbers.Integral if whole else numbers.Real
    if not isinstance(value, kind) or value != value or abs(value) == float("inf"):
        raise InputError(f"{name}={value!r:.80} is impossible. It is a number. Give one, or leave it out.")
    return int(value) if whole else float(value)


def _written(llm: Llama, prompt: list[int], max_tokens: int, settings: dict) -> Iterator[bytes]:
    """Yield the bytes of each new token until the model ends its answer or `max_tokens` are written."""
    import llama_cpp

    if max_tokens == 0:
        return
    llm.reset()  # a prompt that was read in other pieces before gives other roundings
    try:
        for count, token in enumerate(llm.generate(prompt, **settings), start=1):
            if llama_cpp.llama_vocab_is_eog(llm._model.vocab, token):
                return
            yield pieces.piece(llm, token)
            if count == max_tokens:
                return
    except RuntimeError as error:
        raise ResourceError(
            f"llama.cpp stopped while {Path(llm.model_path).name} answered: {error}. Memory may be short. Load it with "
            "a smaller n_ctx, or close other programs."
        ) from error


def _until(texts: Iterator[str], stops: list[str]) -> Iterator[str]:
    """Yield texts up to the first stop text, holding back what may be the beginning of one."""
    held = ""
    for text in texts:
        held += text
        found = [held.index(stop) for stop in stops if stop in held]
        if found:
            yield held[: min(found)]
            return
        longest = max((n for stop in stops for n in range(1, len(stop)) if held.endswith(stop[:n])), default=0)
        if ready := held[: len(held) - longest]:
            yield ready
        held = held[len(held) - longest :]
    if held:
        yield held
