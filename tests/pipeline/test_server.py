"""The server: answers like ours, whatever the environment and the folder hold."""

import json
import urllib.error
import urllib.request

import pytest
import tiny_gguf

from helpers.errors import InputError, ServerError
from helpers.pipeline import runtime, server

# What users have in their environments, and what it does to the server: settings of that name, uvicorn's own.
VARIABLES = {
    "API_KEY": "sk-of-somebody-else",
    "CONFIG_FILE": "/etc/app/config.json",
    "N_GPU_LAYERS": "all",
    "MODEL": "gpt-4",
    "HOST": "0.0.0.0",
    "PORT": "tcp://10.0.0.1:80",
    "N_CTX": "lots",
    "CHAT_FORMAT": "alpaca",
    "HF_MODEL_REPO_ID": "owner/name",
    "cache": "redis",
    "Seed": "today",
    "SSL_KEYFILE": "/etc/ssl/key.pem",
    "WEB_CONCURRENCY": "4",
}


def ask(address: str, path: str, **words) -> dict:
    request = urllib.request.Request(address + path, json.dumps(words).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_server_answers_on_this_machine_and_stops(story_f16):
    with runtime.serve(str(story_f16), n_ctx=128) as address:
        assert address.startswith("http://127.0.0.1:")
        assert ask(address, "/v1/completions", prompt="There once was a", max_tokens=5)["choices"][0]["text"]
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{address}/v1/models", timeout=2)


def test_the_users_environment_changes_nothing(tmp_path, monkeypatch):
    """Nor do files of the current folder that are named like the server's modules."""
    tiny_gguf.llama(tmp_path / "tiny.gguf")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    for name in ("uvicorn.py", "fastapi.py", "chat.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert not VARIABLES.keys() & server.environment().keys() and "PATH" in server.environment()
    with runtime.serve("tiny.gguf", n_ctx=64) as address:
        assert ask(address, "/v1/completions", prompt="ab", max_tokens=4)["usage"]["completion_tokens"]


@pytest.mark.parametrize("name", VARIABLES)
def test_each_variable_is_kept_away(monkeypatch, name):
    monkeypatch.setenv(name, VARIABLES[name])
    assert name not in server.environment()


def test_a_token_is_kept_away_and_a_path_is_kept(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    environment = server.environment()
    assert "HF_TOKEN" not in environment and environment["PYTHONPATH"].endswith("/somewhere")


def test_prompts_get_no_end_token_there_either(tmp_path):
    """A broken template does not stop the server; chat says what is wrong with it."""
    plain = tiny_gguf.llama(tmp_path / "plain.gguf")
    asks_for_end = tiny_gguf.llama(
        tmp_path / "end.gguf",
        tokenizer__ggml__add_eos_token=True,
        tokenizer__ggml__seperator_token_id=2,
        tokenizer__chat_template="{% for message in messages %}",
    )
    counts = []
    for path in (plain, asks_for_end):
        with runtime.serve(path, n_ctx=64) as address:
            reply = ask(address, "/v1/completions", prompt="ab", max_tokens=1)
            counts.append(reply["usage"]["prompt_tokens"])
            if path is asks_for_end:
                with pytest.raises(urllib.error.HTTPError) as caught:
                    ask(address, "/v1/chat/completions", messages=[{"role": "user", "content": "ab"}])
                assert b"chat template" in caught.value.read()
    assert counts[0] == counts[1]


def test_long_tokens_are_whole_there_too(tmp_path):
    """Every token of this model is long, so whatever it writes is."""
    vocabulary = [(text, kind) for text, kind in tiny_gguf.words()][:259]
    vocabulary = [
        (text if kind != tiny_gguf.BYTE else f"{text}{'=' * 40}", tiny_gguf.USER) for text, kind in vocabulary[3:]
    ]
    path = tiny_gguf.llama(tmp_path / "long.gguf", vocabulary=[*tiny_gguf.words()[:3], *vocabulary])
    with runtime.serve(path, n_ctx=64) as address:
        reply = ask(address, "/v1/completions", prompt="<0x41>" + "=" * 40, max_tokens=4, temperature=0)
    assert reply["choices"][0]["text"].count("=" * 40) == reply["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("n_ctx", [0, -1, 10**9, "512", None, 1.5])
def test_impossible_context(tmp_path, n_ctx):
    path = tiny_gguf.llama(tmp_path / "tiny.gguf")
    if n_ctx is None:
        with runtime.serve(path, n_ctx=None):
            return
    with pytest.raises(InputError, match="n_ctx="), runtime.serve(path, n_ctx=n_ctx):
        pass


@pytest.mark.parametrize("seconds", [0, -1, None, "10", float("nan")])
def test_impossible_patience(tmp_path, seconds):
    with pytest.raises(InputError, match="seconds="), runtime.serve(tmp_path / "tiny.gguf", seconds=seconds):
        pass


def test_server_that_cannot_start(story_f16, tmp_path):
    path = tmp_path / "odd.gguf"
    path.write_bytes(story_f16.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_X.weight"))
    with pytest.raises(ServerError, match="did not start"), runtime.serve(path):
        pass
