"""Files to publish get the names that readers and programs look for."""

import os

import pytest

from helpers import artifacts
from helpers.errors import InputError, ResourceError
from helpers.pipeline import convert, hub_rules
from helpers.pipeline.hub import staging


@pytest.fixture
def eight_bits(elsewhere, story_f16):
    return convert.requantize(story_f16, "Q8_0")


def test_names_say_model_and_type(elsewhere, story_f16, eight_bits):
    staged = staging.stage([story_f16, eight_bits], "Mein Modell (v2)")
    assert [path.name for path in staged] == ["Mein-Modell-v2-F16.gguf", "Mein-Modell-v2-Q8_0.gguf"]
    assert artifacts.sha256(staged[1]) == artifacts.sha256(eight_bits)
    assert staging.stage([story_f16, eight_bits], "Mein Modell (v2)") == staged, "again, with everything there"


def test_a_newer_file_replaces_the_older_one(elsewhere, eight_bits):
    by_converter = convert.to_gguf(artifacts.ROOT / "data" / "story", "q8_0")
    (first,) = staging.stage([eight_bits], "mine")
    (second,) = staging.stage([by_converter], "mine")
    assert first == second and second.samefile(by_converter) and eight_bits.exists()


def test_parts_stay_parts(elsewhere):
    whole = convert.to_gguf(artifacts.ROOT / "data" / "story", "f16", split_bytes=2_000_000)
    staged = staging.stage([whole], "tales")
    assert len(staged) > 1 and staged[0].name == f"tales-F16-00001-of-{len(staged):05}.gguf"
    assert convert.summary(staged[0]).parameters == convert.summary(whole).parameters


def test_without_links_the_file_is_copied(elsewhere, eight_bits, monkeypatch):
    def no_links(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    (path,) = staging.stage([eight_bits], "copied")
    assert path.read_bytes() == eight_bits.read_bytes() and not path.samefile(eight_bits)


def test_a_folder_that_cannot_be_written_is_explained(elsewhere, eight_bits, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ResourceError, match="could not be copied to mine-Q8_0.gguf: Permission denied"):
        staging.stage([eight_bits], "mine")


def test_what_is_no_gguf_is_refused(elsewhere, tmp_path):
    (tmp_path / "x.gguf").write_text("no")
    with pytest.raises(InputError):
        staging.stage([tmp_path / "x.gguf"], "mine")


@pytest.mark.parametrize(
    "name, repo", [("SmolLM2-135M", "SmolLM2-135M-GGUF"), ("模型", "model-GGUF"), ("a b", "a-b-GGUF")]
)
def test_repositories_are_called_by_their_model(name, repo):
    assert staging.repository_name(name) == repo


@pytest.mark.parametrize("name", ["n" * 90, "a-" * 60, "x" * 95 + ".git"])
def test_a_long_name_fits_with_its_owner(name):
    made = staging.repository_name(name, "a-reader-with-a-long-name")
    assert made.endswith("-GGUF") and not hub_rules.name_problem(f"a-reader-with-a-long-name/{made}")
