"""What MODEL means is read from its text alone: a folder, a repository, or an error that says what to write."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import InputError
from helpers.pipeline import names
from helpers.pipeline.names import Repository

HUB = "https://huggingface.co"


@pytest.mark.parametrize(
    "text, repo, revision",
    [
        ("owner/name", "owner/name", None),
        ("  'owner/name'\n", "owner/name", None),
        ("owner/name@main", "owner/name", "main"),
        ("owner/name@refs/pr/7", "owner/name", "refs/pr/7"),
        ("owner/na.me_2-b@v1.0+cpu", "owner/na.me_2-b", "v1.0+cpu"),
        ("meta.llama/Llama-3.2", "meta.llama/Llama-3.2", None),
        ("gpt2", "gpt2", None),
        ("hf://owner/name@main", "owner/name", "main"),
        ("https://huggingface.co/owner/name", "owner/name", None),
        ("https://huggingface.co/owner/name/", "owner/name", None),
        ("huggingface.co/owner/name", "owner/name", None),
        ("http://hf.co/owner/name?library=transformers#files", "owner/name", None),
        ("https://www.HuggingFace.co/owner/name/tree/main/", "owner/name", "main"),
        ("https://huggingface.co/owner/name/tree/refs%2Fpr%2F7", "owner/name", "refs/pr/7"),
        ("https://huggingface.co/owner/name/tree/refs/pr/7", "owner/name", "refs/pr/7"),
        ("https://huggingface.co/owner/name/blob/abc1234/sub/config.json", "owner/name", "abc1234"),
        ("https://huggingface.co/owner/name/resolve/main/config.json?download=true", "owner/name", "main"),
        ("https://huggingface.co/owner/name/commit/abc1234", "owner/name", "abc1234"),
        ("https://huggingface.co/owner/name/discussions/3", "owner/name", None),
        ("https://huggingface.co/api/models/owner/name", "owner/name", None),
        ("https://huggingface.co/owner/name@main", "owner/name", "main"),
        ("https://huggingface.co/gpt2", "gpt2", None),
        ("https://huggingface.co/gpt2/tree/main", "gpt2", "main"),
    ],
)
def test_a_repository(text, repo, revision):
    assert names.read(text, HUB) == Repository(repo, revision)


@pytest.mark.parametrize("text", ["http://127.0.0.1:8123/owner/name/tree/v2", "127.0.0.1:8123/owner/name@v2"])
def test_a_page_of_the_hub_in_use(text):
    assert names.read(text, "http://127.0.0.1:8123") == Repository("owner/name", "v2")
    assert names.read("https://huggingface.co/a/b", "http://127.0.0.1:8123") == Repository("a/b")


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "text is empty"),
        (" \t\n", "text is empty"),
        ("''", "text is empty"),
        ("a/b/c", "more than one slash"),
        ("../x", "no folder '../x'"),
        ("./x", "no folder"),
        ("/nowhere/model", "no folder"),
        ("~/nowhere/model", "no folder"),
        ("~nobody_of_this_name/model", "no folder"),
        ("C:\\models\\x", "no folder"),
        ("owner/", "cannot be one"),
        ("/owner", "no folder"),
        ("owner/my model", "cannot be one"),
        ("owner/mod\nel", "cannot be printed"),
        ("owner/mod\x00el", "cannot be printed"),
        ("owner/mod\u200bel", "cannot be printed"),
        ("owner/modèle", "cannot be one"),
        ("owner/-name", "cannot be one"),
        ("owner/name.", "cannot be one"),
        ("owner/na..me", "cannot be one"),
        ("owner/na--me", "cannot be one"),
        ("owner/name.git", "cannot be one"),
        ("owner/" + "n" * 91, "96 characters"),
        ("owner/name@", "revision"),
        ("owner/name@../main", "revision"),
        ("owner/name@ma in", "revision"),
        ("owner/name@-f", "revision"),
        ("https://github.com/owner/name", "no page of the Hub"),
        ("ftp://huggingface.co/owner/name", "no page of the Hub"),
        ("https://huggingface.co.evil.org/owner/name", "no page of the Hub"),
        ("https://huggingface.co/", "owner and the name are missing"),
        ("https://huggingface.co/datasets/owner/name", "is a dataset"),
        ("https://huggingface.co/spaces/owner/name", "is a space"),
        ("datasets/owner/name", "is a dataset"),
        ("https://huggingface.co/owner/name/tree/main/checkpoint-500", "folder inside a repository"),
        (None, "not a text but NoneType"),
        (7, "not a text but int"),
        (["owner/name"], "not a text but list"),
    ],
)
def test_what_cannot_be_a_model(text, words):
    with pytest.raises(InputError, match=words):
        names.read(text, HUB)


def test_a_folder_comes_before_a_repository(tmp_path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = tmp_path / "owner" / "name"
    spellings = ["owner/name", "./owner/name", "~/owner/name", "owner/name/", str(wanted), wanted, f"file://{wanted}"]
    for given_ in spellings:
        assert names.read(given_, HUB) == wanted, given_
    (tmp_path / "mein Modell ü").mkdir()
    assert names.read("mein Modell ü", HUB) == tmp_path / "mein Modell ü"


def test_a_folder_is_found_from_the_courses_own_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names.read("data/story", HUB).name == "story"


def test_a_file_is_no_folder(tmp_path):
    for name, words in (("a.gguf", "converted already"), ("model.safetensors", "Name the folder")):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=words):
            names.read(tmp_path / name, HUB)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text("ab/.@:~-_ \\", max_size=12))
def test_any_text_is_a_model_or_our_error(text):
    try:
        found = names.read(text, HUB)
    except InputError as error:
        assert str(error).count(". ") >= 1
    else:
        assert isinstance(found, Path | Repository)
