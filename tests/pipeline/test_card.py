"""The model card of a GGUF repository, and what a GGUF says of itself, from all kinds of originals."""

import shutil
import types

import pytest

from helpers import artifacts
from helpers.pipeline import catalogue, convert, gguf_file, hub, hub_rules, llama_tools, origin
from helpers.pipeline.hub import card, preflight

PROOF = types.SimpleNamespace(markdown=lambda: "| compared | result |\n|---|---|\n| tokens | ✓ |\n\n**PASSED**\n")


def original(tmp_path, head: str, repo="ada/Mine-1B", revision="c" * 40, **named) -> card.Original:
    (tmp_path / "README.md").write_text(head)
    return card.read(tmp_path, repo, revision, **named)


def fields(tmp_path, head: str, **named) -> dict:
    """Return the new card's fields, which the Hub must take."""
    made = card.fields(original(tmp_path, f"---\n{head}\n---\n# Mine\n", **named))
    assert hub_rules.card_problems(made) == []
    return made


# What is inherited


def test_licence_language_tags_and_task_come_from_the_original(tmp_path):
    made = fields(
        tmp_path,
        "license: mit\nlanguage: [en, no, en]\ntags: [poetry, safetensors, 'license:mit', poetry]\n"
        "pipeline_tag: text2text-generation\nbase_model: meta/Base",
    )
    assert made == {
        "license": "mit",
        "base_model": "ada/Mine-1B",
        "base_model_relation": "quantized",
        "language": ["en", "no"],
        "tags": ["gguf", "llama.cpp", "quantized", "poetry"],
        "pipeline_tag": "text2text-generation",
    }


@pytest.mark.parametrize(
    "head, licence",
    [
        ("license: Apache 2.0", {"license": "apache-2.0"}),
        ("license: [MIT]", {"license": "mit"}),
        ("license: [mit, apache-2.0]", {"license": ["mit", "apache-2.0"]}),
        ("license: Qwen RESEARCH", {"license": "other", "license_name": "qwen-research"}),
        ("license: other\nlicense_name: Mine (v1)", {"license": "other", "license_name": "mine-v1"}),
        (
            "license: other\nlicense_link: https://a.example/b",
            {"license": "other", "license_link": "https://a.example/b"},
        ),
        (
            "license: llama3\nlicense_link: ./LICENSE",
            {"license": "llama3", "license_link": f"https://huggingface.co/ada/Mine-1B/blob/{'c' * 40}/LICENSE"},
        ),
        ("license: {a: b}", {}),
        ("license_name: lonely", {}),
    ],
)
def test_licences_of_every_form(tmp_path, head, licence):
    made = fields(tmp_path, head)
    assert {key: made[key] for key in made if key.startswith("license")} == licence


def test_the_catalogues_licence_counts_where_the_card_says_none(tmp_path):
    assert fields(tmp_path, "language: en", licence="apache-2.0")["license"] == "apache-2.0"
    assert fields(tmp_path, "license: mit", licence="apache-2.0")["license"] == "mit"


@pytest.mark.parametrize(
    "head, base, relation",
    [
        ("base_model: meta/Base", "meta/Base", "finetune"),
        ("base_model: [meta/A, meta/B]\nbase_model_relation: merge", ["meta/A", "meta/B"], "merge"),
        ("base_model: https://huggingface.co/meta/Base", "meta/Base", "finetune"),
        ("base_model: /home/ada/secret\nbase_model_relation: child", None, None),
    ],
)
def test_a_folder_that_is_in_no_repository(tmp_path, head, base, relation):
    """It is not on the Hub itself, so that the model it was made from is named, and no path of this machine."""
    made = fields(tmp_path, head, repo=None, revision=None)
    assert made.get("base_model") == base and made.get("base_model_relation") == relation


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# no head",
        "---\na: [b\n---\n",
        "---\n- list\n---\n",
        "---\nlicense: mit\n",
        "---\n? [a]\n: b\n---\n",
        "---\n\tlicense:\tmit\n---\n",
        "---\nlanguage: [[en], {a: b}, 'x y', English, ünï]\ntags: 7\npipeline_tag: [a]\nbase_model: [1, null]\n---\n",
        "---\nlicense: &a [*a]\n---\n",
    ],
)
def test_odd_cards_do_not_stop_anybody(tmp_path, text):
    source = original(tmp_path, text)
    assert hub_rules.card_problems(card.fields(source)) == []


def test_a_card_in_another_encoding_or_with_a_mark_in_front(tmp_path):
    (tmp_path / "README.md").write_bytes(b"\xef\xbb\xbf---\r\nlicense: mit\r\nauthor: M\xfcller\r\n---\r\n")
    assert card.fields(card.read(tmp_path))["license"] == "mit"
    (tmp_path / "README.md").unlink()
    assert "license" not in card.fields(card.read(tmp_path))
    (tmp_path / "README.md").mkdir()
    assert card.read(str(tmp_path)).head == {}


def test_languages_are_codes(tmp_path):
    assert fields(tmp_path, "language: [en-US, English, zh, code, DE]")["language"] == ["en", "zh", "code", "de"]
    assert "language" not in fields(tmp_path, "language: Klingon")


# The text


def test_a_card_for_every_model_of_the_catalogue_here(story_f16, here):
    model = catalogue.choose("story")
    text = card.build(card.original(model), [story_f16], "rehearsal/story-GGUF", PROOF, kl={story_f16.name: 0.00012})
    head = preflight.require_card(text, private=False)
    assert head["license"] == "apache-2.0" and "base_model" not in head, "story is in no repository"
    for words in (
        "# story 3M, quantized to GGUF",
        f"| `{story_f16.name}` | F16 | 5.8 MB | 16.01 | 0.0001 |",
        "## Is it the same model?\n\n| compared | result |",
        "**PASSED**",
        f"llama.cpp at commit `{llama_tools.COMMIT[:9]}` (llama-cpp-python 0.3.",
        "llama-cli -hf rehearsal/story-GGUF:F16",
        f'Llama.from_pretrained("rehearsal/story-GGUF", filename="{story_f16.name}")',
        "It has no chat template",
        "apache-2.0, applies to these files",
    ):
        assert words in text
    assert "not measured" not in text
    assert hub.publish(here, "story-GGUF", [story_f16], text).files
    told = here.api.model_info("rehearsal/story-GGUF")
    assert told.card_data["license"] == "apache-2.0" and {"gguf", "tiny", "license:apache-2.0"} <= set(told.tags)


def test_nothing_is_claimed_that_was_not_done(files):
    text = card.build(card.Original("Mine", "ada/mine", "c" * 40), files, "bob/mine-GGUF")
    assert "Quality was not measured" in text and "same model" not in text and "Licence" not in text
    assert f"[ada/mine](https://huggingface.co/ada/mine) at revision `{'c' * 40}`" in text
    assert "not measured |" in card.build(card.Original("Mine"), files, "b/m", kl={"m-Q8_0.gguf": 0.1})


def test_a_file_in_parts_is_one_row(tmp_path, tiny_gguf):
    first = tiny_gguf(tmp_path / "m.gguf", tensors=3, split_max_tensors=1)
    text = card.build(card.Original("Mine"), first, "ada/m-GGUF")
    assert "`m-00001-of-00003.gguf` and 2 more | F32 | 787 kB" in text and "m-00002" not in text


def test_titles_cannot_break_a_card(files):
    text = card.build(card.Original("a\n---\n| b <script>`"), files, "ada/m")
    assert "# a --- b script, quantized to GGUF" in text
    preflight.require_card(text, private=True)


def test_another_tree_of_llama_cpp_is_not_called_the_pinned_one(tmp_path, monkeypatch):
    for part in llama_tools.PARTS:
        (tmp_path / part).mkdir()
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    assert "not the tree that is pinned" in card.made_with()


# What a GGUF says of itself


def test_the_converters_file_says_what_its_card_says(elsewhere, checkpoint):
    folder = shutil.copytree(checkpoint, artifacts.folder("models") / "ada--Tales-3M--cccccccc")
    (folder / "README.md").write_text("---\nlicense: MIT\nlanguage: ['no', en]\n---\n")
    origin.remember(folder, "ada/Tales-3M", "c" * 40)
    file = gguf_file.summary(convert.to_gguf(folder, "q8_0"))
    assert file.metadata["general.name"] == "Tales 3M" and file.metadata["general.license"] == "mit"
    assert file.metadata["general.base_model.0.repo_url"] == "https://huggingface.co/ada/Tales-3M"
    assert file.metadata["general.languages"] == ["no", "en"]
    assert card.gaps(file, card.fields(card.read(folder, "ada/Tales-3M", "c" * 40))) == []
    assert file.file_type == "Q8_0"


def test_gaps_are_named(files):
    head = {"license": "mit", "base_model": "a/b"}
    (said,) = card.gaps(gguf_file.summary(files[0]), head)
    for key in ("general.name", "general.license", "general.base_model.0.name", "general.quantized_by"):
        assert key in said
    assert "general.license" not in card.gaps(gguf_file.summary(files[0]), {})[0]


def test_smollm2_names_its_repository(smollm2):
    made = card.fields(card.original(catalogue.choose("smollm2")))
    assert made["license"] == "apache-2.0" and made["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
