"""pip: its last words, and what it is not told."""

import subprocess

import pytest

from helpers.errors import InstallError
from helpers.setup import pip


def test_a_failing_pip_says_its_last_words():
    with pytest.raises(InstallError, match=r"looking at nothing.*no-such-file"):
        pip.run(["install", "--no-index", "-r", "no-such-file.txt"], "looking at nothing")


def test_passwords_of_package_indexes_are_not_shown():
    assert pip._without_secrets(["see https://ada:pw@host/simple"]) == ["see https://host/simple"]


def test_pip_gets_no_token(monkeypatch):
    seen, original = [], subprocess.Popen
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("subprocess.Popen", lambda *args, env, **more: seen.append(env) or original(*args, **more))
    pip.run(["--version"], "asking pip")
    assert "HF_TOKEN" not in seen[0] and "PATH" in seen[0]
