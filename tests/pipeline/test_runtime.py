"""Opening, asking and timing a GGUF."""

import re
import types

import pytest
import tiny_gguf

from helpers.errors import InputError, InstallError, ResourceError
from helpers.pipeline import convert, runtime


@pytest.fixture(scope="module")
def llm(story_f16):
    llm = runtime.load(story_f16, n_ctx=128)
    yield llm
    llm.close()


@pytest.mark.parametrize("type_name", ["F16", "Q8_0", "Q4_K_M", "Q2_K"])
def test_every_size_opens_and_continues_a_story(story_f16, type_name):
    path = story_f16 if type_name == "F16" else convert.requantize(story_f16, type_name)
    model = runtime.load(path, n_ctx=128)
    assert len(runtime.ask(model, "There once was a", max_tokens=12)) > 5
    model.close()


def test_a_build_with_amx_is_refused_before_it_ends_the_process(story_f16, monkeypatch):
    monkeypatch.setattr("llama_cpp.llama_print_system_info", lambda: b"CPU : AVX2 = 1 | AMX_INT8 = 1 | ")
    with pytest.raises(InstallError, match="ends the whole process.*helpers.install"):
        runtime.load(story_f16, n_ctx=64)
    with pytest.raises(InstallError, match="ends the whole process"), runtime.serve(story_f16):
        pass


def test_loading_is_quiet(story_f16, capfd):
    runtime.load(story_f16, n_ctx=64).close()
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err == ""


def test_greedy_answers_repeat(llm):
    assert runtime.ask(llm, "There once was a") == runtime.ask(llm, "There once was a")


def test_streaming_gives_the_same_text_in_pieces(llm):
    pieces = list(runtime.stream(llm, "One rainy morning", max_tokens=20))
    assert len(pieces) > 3 and "".join(pieces).strip() == runtime.ask(llm, "One rainy morning", max_tokens=20)


def test_the_same_ids_as_sentencepiece_and_transformers(llm):
    import sentencepiece
    from transformers import AutoTokenizer

    from helpers import artifacts

    folder = artifacts.ROOT / "data" / "story"
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text in ["There once was a wolf", "two  spaces", " leading", "12 bells", "emoji 🦙", "line\nbreak"]:
        expected = [1, *pieces.encode(text)]
        if not text.startswith(" "):  # transformers does not add its blank to a text that has one
            assert tokenizer(text).input_ids == expected, text
        assert llm.tokenize(text.encode()) == expected, text


def test_chat_has_no_doubled_start_token(smollm2_f16):
    model = runtime.load(smollm2_f16, n_ctx=128)
    seen = []
    original = model.eval

    def eval_and_note(tokens):
        seen.extend(tokens)
        return original(tokens)

    model.eval = eval_and_note
    answer = runtime.ask(model, "What is the capital of France?", max_tokens=16)
    start = model.token_bos()
    assert seen[0] == start and seen[1] != start
    assert "Paris" in answer
    model.close()


def test_speed_is_measured(llm):
    speed = runtime.tokens_per_second(llm, prompt_tokens=32, new_tokens=8)
    assert speed.prompt > 0 and speed.generation > 0


def test_cache_size_is_what_llama_cpp_allocates(story_f16):
    import llama_cpp

    file = convert.summary(story_f16)
    with runtime.log_to() as log:
        llama_cpp.Llama(str(story_f16), n_ctx=512, verbose=True).close()
    said = re.search(r"size =\s+([\d.]+) MiB.*K \(f16\)", "".join(log))
    assert said, "".join(log)
    assert runtime.kv_cache_bytes(file, 512) == float(said[1]) * 2**20


# Bad input


def test_text_longer_than_the_context(llm):
    with pytest.raises(InputError, match=r"need \d+ tokens, the context has room for 128"):
        runtime.ask(llm, "word " * 200)


def test_the_words_of_the_chat_template_count(smollm2_f16):
    model = runtime.load(smollm2_f16, n_ctx=128)
    question = "word " * 80
    read = model.create_chat_completion([{"role": "user", "content": question}], max_tokens=1)["usage"]["prompt_tokens"]
    assert read > len(model.tokenize(question.encode())) + 20
    assert runtime.ask(model, question, max_tokens=128 - read)
    with pytest.raises(InputError, match="need 129 tokens, the context has room for 128"):
        runtime.ask(model, question, max_tokens=129 - read)
    model.close()


def test_threads_hold_for_reading_and_for_writing(story_f16):
    model = runtime.load(story_f16, n_ctx=128, threads=1)
    assert (model.n_threads, model.n_threads_batch) == (1, 1)
    model.close()


@pytest.mark.parametrize("n_ctx", [0, -5, 513, 10**9])
def test_impossible_context(story_f16, n_ctx):
    with pytest.raises(InputError, match="between 1 and 512"):
        runtime.load(story_f16, n_ctx=n_ctx)


def test_too_little_memory(story_f16, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(available=10_000_000))
    with pytest.raises(ResourceError, match="opening story-F16.gguf"):
        runtime.load(story_f16)


def test_memory_that_runs_out_while_opening(story_f16, monkeypatch):
    """Enough is free when we look, and no longer when llama-cpp-python asks for its buffers."""

    def full(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("llama_cpp.Llama", full)
    with pytest.raises(ResourceError, match="Not enough memory to open story-F16.gguf"):
        runtime.load(story_f16)


def test_file_that_llama_cpp_refuses(story_f16, tmp_path):
    """A GGUF that is well-formed but not a model: our message carries llama.cpp's reason."""
    data = story_f16.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_X.weight")
    path = tmp_path / "odd.gguf"
    path.write_bytes(data)
    with pytest.raises(InputError, match="could not open odd.gguf"):
        runtime.load(path)


def test_truncated_file(story_f16, tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(story_f16.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cut short"):
        runtime.load(path)


@pytest.mark.parametrize("n_ctx", ["128", 64.0, True, b"64", float("nan")])
def test_a_context_that_is_no_number(story_f16, n_ctx):
    with pytest.raises(InputError, match="n_ctx=.* counts tokens"):
        runtime.load(story_f16, n_ctx=n_ctx)


def test_text_is_a_path(story_f16):
    model = runtime.load(str(story_f16), n_ctx=64)
    assert runtime.ask(model, "There once was a", max_tokens=3)
    model.close()


def test_a_very_long_context(tmp_path):
    """A million tokens, as Mamba files announce: nothing is allocated for them before they are there."""
    model = runtime.load(tiny_gguf.mamba(tmp_path / "mamba.gguf", context=2**20), n_ctx=2**20)
    runtime.ask(model, "a", max_tokens=2)
    model.close()


@pytest.mark.parametrize("counts", [(0, 8), (8, 0), (-1, 8), (100, 100), (1.5, 8), ("8", 8), (None, 8)])
def test_speeds_that_cannot_be_measured(llm, counts):
    with pytest.raises(InputError, match="cannot be timed.*room for 128"):
        runtime.tokens_per_second(llm, *counts)


def test_next_tokens_are_the_likeliest_ones(llm):
    found = runtime.next_tokens(llm, "There once was a stoat named Pimfin, who lived in a", most=1000)
    shares = [share for _, share in found]
    assert shares == sorted(shares, reverse=True) and 0.99 < sum(shares) <= 1 + 1e-9
    assert runtime.ask(llm, "There once was a stoat named Pimfin, who lived in a", 1).strip() == found[0][0].strip()


def test_next_tokens_of_a_chat_model_begin_its_answer(smollm2_f16):
    llm = runtime.load(smollm2_f16, n_ctx=256)
    best, _ = runtime.next_tokens(llm, "What is the capital of France?")[0]
    assert runtime.ask(llm, "What is the capital of France?", 8).startswith(best)
    llm.close()


def test_next_tokens_of_a_text_that_is_too_long(story_f16):
    llm = runtime.load(story_f16, n_ctx=32)
    with pytest.raises(InputError, match="room for 1 to 32"):
        runtime.next_tokens(llm, "a stoat and " * 40)
    llm.close()
