"""Open a GGUF with llama-cpp-python, ask it things, and time it.

llm = runtime.load(gguf)                      # a path as text or Path; of a model in parts, any part
runtime.ask(llm, "What is a bit?")            # `chat` says how, `pieces` how tokens become text
with runtime.serve(gguf) as address: ...      # `server`
"""

from __future__ import annotations

import contextlib
import ctypes
import numbers
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers import machine
from helpers.errors import InputError, ResourceError
from helpers.pipeline import chat, gguf_file, guards, pieces
from helpers.pipeline.chat import ask, stream
from helpers.pipeline.kv_cache import context_for, kv_cache_bytes, state_bytes, trained_context
from helpers.pipeline.server import serve
from helpers.setup import gpu

if TYPE_CHECKING:
    from llama_cpp import Llama

__all__ = [
    "Speed",
    "ask",
    "kv_cache_bytes",
    "load",
    "log_to",
    "next_tokens",
    "serve",
    "state_bytes",
    "stream",
    "tokens_per_second",
    "trained_context",
]


@dataclass(frozen=True)
class Speed:
    """Tokens per second: `prompt` while reading (many tokens at once), `generation` one at a time."""

    prompt: float
    generation: float


def load(gguf: str | os.PathLike, n_ctx: int | None = None, threads: int | None = None, **options) -> Llama:
    """Open a GGUF quietly and return llama-cpp-python's model.

    `n_ctx` is the room for prompt and answer together, in tokens; by default what the model was
    trained for, at most 2048. On a GPU, if the setup cell asked for one; a model that does not fit there is opened on
    the CPU, with a RuntimeWarning. Raises InputError for a damaged file, an impossible context or a model that does not
    continue text (encoder-decoders, embedding models), ResourceError if weights and cache would not fit into memory,
    and InstallError for a build of llama-cpp-python that would end the process. `options` go to `llama_cpp.Llama`.
    """
    file = gguf_file.summary(gguf)
    name = file.path.name
    guards.require_a_build_that_works()
    guards.require_a_model(file)
    n_ctx = context_for(file, n_ctx)
    threads = guards.thread_count(threads, machine.cores())
    guards.check_options(options)
    machine.require_memory(file.file_bytes + _cache_bytes(file, n_ctx) + 0.2e9, f"opening {name}")
    where = gpu.llama_options() if "n_gpu_layers" not in options else {}
    options = {"n_threads": threads, "n_threads_batch": threads, "verbose": False} | where | options
    options["kv_overrides"] = guards.nothing_added(file) | (options.get("kv_overrides") or {})
    pieces.repair()
    with log_to() as log, chat.templates_may_be_broken():
        try:
            llm = _opened(str(file.path), n_ctx=n_ctx, **options)
        except (ValueError, RuntimeError) as error:
            kv_cache_bytes(file, n_ctx)  # names the number that is missing, if that is the reason
            last = next((line.strip() for line in reversed(log) if "error" in line.lower()), str(error))
            raise InputError(
                f"llama.cpp could not open {name}. It said: {last}. Make or download the file again."
            ) from error
        except (TypeError, ctypes.ArgumentError) as error:
            raise InputError(
                f"{name} cannot be opened with these options: {error}. They are llama-cpp-python's, and one has a "
                "wrong type. Look them up in help(llama_cpp.Llama)."
            ) from error
        except MemoryError as error:
            raise ResourceError(f"Not enough memory to open {name}. Close other notebooks first.") from error
    try:
        guards.require_a_writer(llm.model, name)
        guards.require_memory_of_tokens(llm.ctx, name)
    except InputError:
        llm.close()
        raise
    return llm


def _opened(path: str, **options) -> Llama:
    """Open the file, on the CPU if it cannot be opened on the GPU."""
    import llama_cpp

    try:
        return llama_cpp.Llama(path, **options)
    except (ValueError, RuntimeError):
        if options.get("n_gpu_layers", 0) == 0:
            raise
        llm = llama_cpp.Llama(path, **options | gpu.CPU_ONLY)
    warnings.warn(
        f"{os.path.basename(path)} could not be opened on the GPU; its memory may be too small. It is on the CPU now. "
        "Close other models, or choose a smaller file.",
        RuntimeWarning,
        stacklevel=3,
    )
    return llm


def next_tokens(llm: Llama, question: str, most: int = 5) -> list[tuple[str, float]]:
    """Return the likeliest first tokens of an answer with their probabilities, the likeliest first.

    A model without chat template continues `question`. Raises InputError for a text that does not fit the context.
    """
    import llama_cpp
    import numpy as np

    ids, room = chat.prompt_tokens(llm, question), len(llm.input_ids)
    if not 0 < len(ids) <= room:
        raise InputError(
            f"A text of {len(ids):,} tokens cannot be continued here. The context has room for 1 to {room:,}. "
            "Pass another text, or load with a larger n_ctx."
        )
    llm.reset()
    llm.eval(ids)
    logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llm.ctx, -1), (llm.n_vocab(),)).astype(np.float64)
    llm.reset()
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    best = np.argsort(-shares, kind="stable")[:most]
    return [(pieces.piece(llm, int(i), special=True).decode(errors="replace"), float(shares[i])) for i in best]


def tokens_per_second(llm: Llama, prompt_tokens: int = 64, new_tokens: int = 32) -> Speed:
    """Time reading a prompt of ordinary tokens and then generating greedily, after a warm-up.

    Raises InputError for counts below 1, or more tokens than the context has room for.
    """
    import numpy as np

    pieces.require_open(llm)
    room = len(llm.input_ids)
    counts = (prompt_tokens, new_tokens)
    if not all(isinstance(n, numbers.Integral) and n >= 1 for n in counts) or sum(counts) > room:
        raise InputError(
            f"A prompt of {prompt_tokens!r:.40} and {new_tokens!r:.40} new tokens cannot be timed. Both are whole "
            f"numbers from 1, and the context has room for {room:,}. Ask for fewer, or load with a larger n_ctx."
        )
    vocabulary = llm.n_vocab()
    first = 10 if vocabulary > 20 else 0  # the first ids are control tokens in most vocabularies
    prompt = [int(i) for i in np.random.default_rng(0).integers(first, vocabulary, prompt_tokens)]
    llm.reset()
    llm.eval(prompt[:8])
    llm.reset()
    started = time.perf_counter()
    llm.eval(prompt)
    read = time.perf_counter()
    for _ in range(new_tokens):
        llm.eval([llm.sample(temp=0.0)])
    ended = time.perf_counter()
    llm.reset()
    return Speed(prompt_tokens / (read - started), new_tokens / (ended - read))


def _cache_bytes(file: gguf_file.Summary, n_ctx: int) -> int:
    """Return what the context takes, or 0 where the file does not say it: an estimate shall not refuse what fits."""
    with contextlib.suppress(InputError):
        return kv_cache_bytes(file, n_ctx) + state_bytes(file)
    return 0


@contextlib.contextmanager
def log_to(on_line: Callable[[str], None] | None = None) -> Iterator[list[str]]:
    """Collect what llama.cpp would print into a list, and hand every piece to `on_line`.

    llama.cpp writes to the process's error stream, past Python and past the notebook.
    """
    import llama_cpp
    from llama_cpp import _logger

    log: list[str] = []

    @llama_cpp.llama_log_callback
    def collect(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
        line = text.decode(errors="replace")
        log.append(line)
        if on_line:
            on_line(line)

    llama_cpp.llama_log_set(collect, ctypes.c_void_p(0))
    try:
        yield log
    finally:
        llama_cpp.llama_log_set(_logger.llama_log_callback, ctypes.c_void_p(0))
