"""Open a GGUF with llama-cpp-python, ask it things, and time it."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from helpers import install, machine
from helpers.errors import InputError, InstallError, ResourceError, ServerError
from helpers.pipeline import gguf_file

if TYPE_CHECKING:
    from llama_cpp import Llama


@dataclass(frozen=True)
class Speed:
    """Tokens per second: `prompt` while reading (many tokens at once), `generation` one at a time."""

    prompt: float
    generation: float


def load(gguf: Path, n_ctx: int | None = None, threads: int | None = None, **options) -> Llama:
    """Open a GGUF quietly and return llama-cpp-python's model.

    `n_ctx` is the room for prompt and answer together, in tokens; by default what the model was
    trained for, at most 2048. Raises InputError for a damaged file or an impossible context,
    ResourceError if weights and cache would not fit into memory, and InstallError for a build of
    llama-cpp-python that would end the process. `options` go to `llama_cpp.Llama`.
    """
    import llama_cpp

    file = gguf_file.summary(gguf)
    _require_a_build_that_works()
    trained = trained_context(file)
    if n_ctx is None:
        n_ctx = min(trained, 2048)
    if not 1 <= n_ctx <= trained:
        raise InputError(
            f"n_ctx={n_ctx:,} is impossible for {gguf.name}: it was trained for {trained:,} tokens and knows no "
            f"positions beyond them. Choose n_ctx between 1 and {trained:,}."
        )
    machine.require_memory(file.file_bytes + kv_cache_bytes(file, n_ctx) + 0.2e9, f"opening {gguf.name}")
    threads = threads or machine.cores()
    options = {"n_threads": threads, "n_threads_batch": threads, "verbose": False} | options
    with log_to() as log:
        try:
            return llama_cpp.Llama(str(gguf), n_ctx=n_ctx, **options)
        except (ValueError, RuntimeError) as error:
            last = next((line.strip() for line in reversed(log) if "error" in line.lower()), str(error))
            raise InputError(
                f"llama.cpp could not open {gguf.name}. It said: {last}. Make or download the file again."
            ) from error
        except MemoryError as error:
            raise ResourceError(f"Not enough memory to open {gguf.name}. Close other notebooks first.") from error


def ask(llm: Llama, question: str, max_tokens: int = 64, **options) -> str:
    """Return one answer: by the chat template if the file has one, else a continuation of the text.

    Greedy (temperature 0) unless `options` say otherwise, so that the same file on the same machine
    answers the same.
    """
    return "".join(stream(llm, question, max_tokens, **options)).strip()


def stream(llm: Llama, question: str, max_tokens: int = 64, **options) -> Iterator[str]:
    """Yield an answer piece by piece as it is generated; see `ask`."""
    needed = len(llm.tokenize(_prompt(llm, question).encode(), special=True)) + max_tokens
    room = len(llm.input_ids)  # n_ctx() may be larger: llama.cpp rounds it up to a multiple of 256
    if needed > room:
        raise InputError(
            f"The question and {max_tokens} new tokens need {needed:,} tokens, the context has room for "
            f"{room:,}. Ask for fewer tokens, shorten the text, or load the model with a larger n_ctx."
        )
    options = {"temperature": 0.0, "max_tokens": max_tokens, "stream": True} | options
    if "tokenizer.chat_template" in llm.metadata:
        messages = [{"role": "user", "content": question}]
        for piece in llm.create_chat_completion(messages, **options):
            yield piece["choices"][0]["delta"].get("content") or ""
    else:
        for piece in llm.create_completion(question, **options):
            yield piece["choices"][0]["text"]


def _prompt(llm: Llama, question: str) -> str:
    """Return what the model will read: the question, with the words of the chat template around it."""
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    template = llm.metadata.get("tokenizer.chat_template")
    if not template:
        return question
    first, last = (
        llm.detokenize([token], special=True).decode() if token >= 0 else ""
        for token in (llm.token_bos(), llm.token_eos())
    )
    render = Jinja2ChatFormatter(template, bos_token=first, eos_token=last)
    return render(messages=[{"role": "user", "content": question}]).prompt


def tokens_per_second(llm: Llama, prompt_tokens: int = 64, new_tokens: int = 32) -> Speed:
    """Time reading a prompt of ordinary tokens and then generating greedily, after a warm-up."""
    import numpy as np

    vocabulary = llm.n_vocab()
    prompt = [int(i) for i in np.random.default_rng(0).integers(10, vocabulary, prompt_tokens)]
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


def _require_a_build_that_works() -> None:
    """Raise InstallError for a llama-cpp-python that multiplies with AMX: it ends the process, notebook and all."""
    import llama_cpp

    if install.AMX in llama_cpp.llama_print_system_info().decode():
        raise InstallError(
            "This llama-cpp-python was built for processors with AMX. There llama.cpp ends the whole process at the "
            "first token, a known fault (its issue 20824). Install one without: `python -m helpers.install`, then "
            "restart the kernel."
        )


def trained_context(file: gguf_file.Summary) -> int:
    """Return the number of tokens the model was trained to look back over."""
    return _number(file, "context_length")


def kv_cache_bytes(file: gguf_file.Summary, n_ctx: int, bytes_per_value: int = 2) -> int:
    """Return the size of the key-value cache: 2 × layers × KV heads × head size × tokens × bytes."""
    heads = _number(file, "attention.head_count")
    kv_heads = _number(file, "attention.head_count_kv", heads)
    head_size = _number(file, "embedding_length") // heads
    return 2 * _number(file, "block_count") * kv_heads * head_size * n_ctx * bytes_per_value


def _number(file: gguf_file.Summary, key: str, default: int | None = None) -> int:
    """Return a number of the architecture's metadata; raise InputError if the file has none and there is no default."""
    architecture = file.metadata.get("general.architecture")
    value = file.metadata.get(f"{architecture}.{key}", default)
    if not isinstance(value, int) or value < 1:
        raise InputError(
            f"{file.path.name} does not say its {key} (it has {value!r}). It is a GGUF, but no complete language "
            "model. Make it with convert.to_gguf."
        )
    return value


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


@contextlib.contextmanager
def serve(gguf: Path, n_ctx: int = 512, seconds: float = 120) -> Iterator[str]:
    """Run llama-cpp-python's OpenAI-compatible server on 127.0.0.1 and yield its address.

    The server is a process of its own, ended when the block is left. Raises ServerError with the
    server's last words if it does not answer within `seconds`.
    """
    import socket
    import subprocess
    import sys
    import tempfile
    import urllib.request

    gguf_file.summary(gguf)
    _require_a_build_that_works()
    machine.no_proxy_for_this_machine()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(gguf), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--n_ctx", str(n_ctx)]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=machine.child_environment())
        try:
            deadline = time.monotonic() + seconds
            while True:
                with contextlib.suppress(OSError):
                    with urllib.request.urlopen(f"{address}/v1/models", timeout=2):
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    last = ([line for line in log.read().splitlines() if line.strip()] or ["nothing"])[-1]
                    raise ServerError(
                        f"The server for {gguf.name} did not start. It said: {last}. "
                        "Check that the file opens with runtime.load, then try again."
                    )
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait()
