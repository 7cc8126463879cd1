"""What ends the process inside llama.cpp: provoked once in a process of its own, refused before it in ours."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import tiny_gguf

from helpers.errors import InputError
from helpers.pipeline import guards, runtime

RAW = "import sys, llama_cpp\nllm = llama_cpp.Llama(sys.argv[1], n_ctx=64, verbose=False)\nllm.create_completion('a b')"


def dies(path) -> bool:
    """Tell whether llama-cpp-python alone fails with a file, by a signal or by a traceback."""
    return subprocess.run([sys.executable, "-c", RAW, path], capture_output=True).returncode != 0


def twice(path):
    return tiny_gguf.llama(path, vocabulary=tiny_gguf.words(["abc", "abc"]))


@pytest.mark.parametrize(
    "write, what",
    [
        (tiny_gguf.t5, "an encoder-decoder"),
        (tiny_gguf.bert, "an embedding model"),
        (tiny_gguf.llada, "a diffusion model"),
        (twice, "the token 'abc' twice"),
    ],
)
def test_models_that_end_the_process(tmp_path, write, what):
    path = write(tmp_path / "tiny.gguf")
    assert dies(path)
    with pytest.raises(InputError, match=what):
        runtime.load(path)
    with pytest.raises(InputError, match=what), runtime.serve(path):
        pass


@pytest.mark.parametrize(
    "pairs, what",
    [
        ({"general__type": "adapter"}, "a LoRA adapter"),
        ({"general__type": "imatrix"}, "an importance matrix"),
        ({"general__type": "mmproj"}, "sees pictures"),
        ({"general__architecture": "clip"}, "sees pictures"),
    ],
)
def test_files_that_are_no_model(tmp_path, pairs, what):
    with warnings.catch_warnings(action="ignore"):  # gguf-py tells that the architecture is written twice
        path = tiny_gguf.llama(tmp_path / "tiny.gguf", **pairs)
    with pytest.raises(InputError, match=f"tiny.gguf is no model of its own. It is .*{what}"):
        runtime.load(path)


def test_empty_tokens_are_none_twice(tmp_path):
    runtime.load(tiny_gguf.llama(tmp_path / "tiny.gguf", vocabulary=tiny_gguf.words(["", ""])), n_ctx=64).close()


def test_recurrent_models_write(tmp_path):
    """Mamba and LFM2 were refused: heads of 0, an array."""
    for write in (tiny_gguf.mamba, tiny_gguf.lfm2, tiny_gguf.openelm):
        path = write(tmp_path / "tiny.gguf")
        model = runtime.load(path, n_ctx=64)
        first, again = (list(runtime.stream(model, "ab", max_tokens=12)) for _ in range(2))
        assert first == again
        assert runtime.tokens_per_second(model, 8, 4).generation > 0
        model.close()
        with runtime.serve(path, n_ctx=64):
            pass


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True, 10**6])
def test_impossible_threads(threads):
    with pytest.raises(InputError, match="threads=.*1 to 512"):
        guards.thread_count(threads, 2)


def test_threads():
    assert guards.thread_count(None, 2) == 2 and guards.thread_count(np.int32(3), 2) == 3
    assert guards.thread_count(None, 1000) == 512


@pytest.mark.parametrize(
    "options",
    [{"n_batch": -1}, {"n_ubatch": 0}, {"n_batch": "x"}, {"type_k": 4}, {"type_v": 99}, {"lora_path": "none.gguf"}],
)
def test_options_that_end_the_process(tmp_path, options):
    (name,) = options
    with pytest.raises(InputError, match=name):
        runtime.load(tiny_gguf.llama(tmp_path / "tiny.gguf"), n_ctx=64, **options)


def test_options_of_a_wrong_type(tmp_path):
    with pytest.raises(InputError, match="cannot be opened with these options"):
        runtime.load(tiny_gguf.llama(tmp_path / "tiny.gguf"), n_ctx=64, rope_freq_base="x")
