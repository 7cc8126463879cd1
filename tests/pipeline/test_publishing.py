"""Before, during and after a publication: what is refused before anything is made, and what a failure leaves."""

import errno
import os
import re
from dataclasses import replace

import pytest

from helpers import artifacts
from helpers.errors import HubError, InputError, ResourceError
from helpers.pipeline import hub, hub_rules
from helpers.pipeline.hub import publishing
from helpers.pipeline.hub.gate import Gate, Row

CARD = "---\nlicense: mit\n---\n# A card\n"


def refused(server, match, *given, **named):
    """Publish; it must be refused with our error, before the Hub was asked to make or keep anything."""
    with pytest.raises(InputError, match=match):
        hub.publish(*given, **named)
    assert not server.repos and not any(line.startswith(("PUT", "POST")) for line in server.log)


# Names


@pytest.mark.parametrize(
    "name", ["a b", "a--b", "a..b", "x.git", "x.ipynb", "é", "", "ada/m", "x" * 96, None, "-a", "a.", "a\n", 7]
)
def test_names_that_the_hub_refuses(here, files, server, name):
    refused(server, "Take for example", here, name, files, CARD)


@pytest.mark.parametrize(
    "text", ["Mein Modell (v2)", "a--b", "..x..git", "日本", "x" * 200, "a.-b", "-", "x.git.git", ""]
)
def test_a_valid_name_for_everything(text):
    assert hub_rules.name_problem(f"ada/{hub_rules.valid_name(text, 'ada')}") is None
    assert hub_rules.valid_name("smollm2-GGUF") == "smollm2-GGUF", "what is valid stays"


def test_the_rules_are_no_laxer_than_the_clients():
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    for name in [
        "a/b",
        "a--b",
        "a..b",
        "a.git",
        "-a",
        "a-",
        ".a",
        "a.",
        "a b",
        "",
        "a/b/c",
        "x" * 97,
        "a_b",
        "_a",
        "9.1",
    ]:
        try:
            validate_repo_id(name)
        except HFValidationError:
            assert hub_rules.name_problem(name), name
        else:
            assert hub_rules.name_problem(name) is None, name


# Files


def test_a_text_a_generator_and_a_single_path_are_files_too(here, files, server):
    assert set(hub.publish(here, "m", (str(path) for path in files), CARD).files) == {"m-Q8_0.gguf", "m-Q4_0.gguf"}
    assert set(hub.publish(here, "n", str(files[0]), CARD).files) == {"m-Q8_0.gguf"}


@pytest.mark.parametrize("files", [None, 7, [None], []])
def test_what_names_no_files(here, server, files):
    refused(server, "files", here, "m", files, CARD)


@pytest.mark.parametrize("other", ["m-Q8_0.gguf", "M-q8_0.GGUF"])
def test_two_files_of_one_name(here, files, server, tmp_path, tiny_gguf, other):
    (tmp_path / "other").mkdir()
    refused(server, "Two files are called", here, "m", [*files, tiny_gguf(tmp_path / "other" / other)], CARD)


def test_the_same_file_named_twice_is_sent_once(here, files):
    assert len(hub.publish(here, "m", [files[0], files[0]], CARD).files) == 1


@pytest.mark.parametrize("name", ["README.md", "readme.MD", ".gitattributes", "a\tb.txt", "a\u202eb.txt"])
def test_names_of_files_that_cannot_be(here, files, server, tmp_path, name):
    (tmp_path / name).write_text("mine")
    refused(server, "under this name", here, "m", [*files, tmp_path / name], CARD)


@pytest.mark.parametrize(
    "content, match",
    [
        (b"", "is empty"),
        (b"GGUF\x03", "cut short"),
        (b"<html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a GGUF"),
    ],
)
def test_ggufs_that_are_none(here, server, tmp_path, content, match):
    (tmp_path / "m.gguf").write_bytes(content)
    refused(server, match, here, "m", [tmp_path / "m.gguf"], CARD)


def test_a_cut_gguf_and_one_without_weights(here, files, server, tmp_path, tiny_gguf):
    os.truncate(files[0], 200_000)
    refused(server, "cut short", here, "m", files, CARD)
    refused(server, "no weights", here, "m", [tiny_gguf(tmp_path / "vocabulary.gguf", tensors=0)], CARD)


def test_a_file_that_is_too_large_for_the_hub(here, server, tmp_path):
    with open(tmp_path / "m.bin", "wb") as file:
        file.truncate(600 * 10**9)
    refused(server, "600.00 GB.*in parts", here, "m", [tmp_path / "m.bin"], CARD)


def test_a_gguf_in_parts_is_published_whole(here, tmp_path, tiny_gguf):
    first = tiny_gguf(tmp_path / "m.gguf", tensors=3, split_max_tensors=1)
    every = [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    for given in (first, tmp_path / every[1], [first, tmp_path / every[2]]):
        assert list(hub.publish(here, "m", given, CARD, update=True).files) == every


def test_parts_that_are_missing_or_of_another_model(here, server, tmp_path, tiny_gguf):
    first = tiny_gguf(tmp_path / "m.gguf", tensors=3, split_max_tensors=1)
    last = tmp_path / "m-00003-of-00003.gguf"
    kept = last.read_bytes()
    last.unlink()
    refused(server, "1 of 3 parts of m are missing: m-00003", here, "m", [first], CARD)
    last.write_bytes(kept[:-70_000])
    refused(server, "cut short", here, "m", [first], CARD)
    tiny_gguf(last)
    refused(server, "part", here, "m", [first], CARD)


def test_files_that_cannot_be_read(here, files, monkeypatch):
    def forbidden(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(artifacts, "sha256", forbidden)
    with pytest.raises(ResourceError, match="refused m-Q8_0.gguf while preparing rehearsal/m: Permission denied"):
        hub.publish(here, "m", files, CARD)


# Cards


@pytest.mark.parametrize(
    "card, match",
    [
        ("---\na: [b\n---\n", "YAML is broken"),
        ("---\nlicense: mit\nlicense: gpl\n---\n", "duplicated key: license"),
        ("---\n- mit\n---\n", "not fields"),
        ("---\nd: 2020-99-99\n---\n", "YAML is broken"),
        ("# Without", "does not start with a block"),
        ("---\nlicense: mit\n", "does not start with a block"),
        ("---\nlicense: Apache 2\n---\n", "license is 'Apache 2'"),
        ("---\nlanguage: no\n---\n", "language holds False .*in quotes"),
        ("---\ntags: [1.0]\n---\n", "tags holds 1.0"),
        ("---\ntags: {a: b}\n---\n", "tags holds"),
        ("---\nbase_model: /home/ada/model\n---\n", "base_model is '/home/ada/model'"),
        ("---\nbase_model_relation: child\n---\n", "base_model_relation is 'child'"),
        ("---\nlicense_name: 3\n---\n", "license_name is 3"),
        ("---\nlicense: mit\n---\n\udc80", "character 21"),
        (None, "NoneType, not text"),
        (b"---\n---\n", "bytes, not text"),
    ],
)
def test_cards_that_the_hub_would_refuse(here, files, server, card, match):
    refused(server, match, here, "m", files, card)


@pytest.mark.parametrize(
    "card", ["---\n---\n", "\ufeff---\r\nlicense: mit\r\n---\r\n# A", "---\nlanguage: ['no', de]\n---"]
)
def test_cards_that_are_fine(here, files, card):
    assert hub.publish(here, "m", files, card).private


def test_a_card_that_only_the_hub_refuses_leaves_nothing_behind(here, files, server):
    server.fail("POST", "validate-yaml", status=400)
    with pytest.raises(HubError, match="refuses the model card. It says: .*injected failure 400"):
        hub.publish(here, "m", files, CARD)
    assert not server.repos


def test_a_hub_that_does_not_check_cards(here, files, server, monkeypatch):
    monkeypatch.setattr(type(here.api), "_validate_yaml", lambda *given, **named: None)
    server.fail("POST", "validate-yaml", status=404)
    assert hub.publish(here, "m", files, CARD).files


# Failures on the way


@pytest.mark.parametrize("where", ["preupload", "objects/batch", "/commit/"])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_leaves_no_empty_repository_behind(here, files, server, where, status):
    server.fail("POST", where, status=status, times=9)
    with pytest.raises(HubError, match=rf"refused \({status}\).*It says: .*deleted again"):
        hub.publish(here, "m", files, CARD)
    assert not server.repos


def test_a_repository_that_was_there_before_is_not_deleted(here, files, server):
    here.api.create_repo("rehearsal/m", private=True)
    server.fail("POST", "/commit/", status=422, times=9)
    with pytest.raises(HubError, match="refused") as caught:
        hub.publish(here, "m", files, CARD, update=True)
    assert list(server.repos) == ["rehearsal/m"] and "deleted" not in str(caught.value)


def test_what_arrived_before_a_failure_is_kept_and_the_message_says_how_to_go_on(here, files, server, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.fail("POST", "/commit/", status=500, times=20)
    with pytest.raises(HubError, match="private and shows no files. Pass update=True"):
        hub.publish(here, "m", files, CARD)
    server.faults.clear()
    assert server.repos["rehearsal/m"].private and hub.publish(here, "m", files, CARD, update=True).files


def test_a_failure_after_which_nothing_answers(here, files, server, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.fail("POST", "/commit/", status=500, times=20)
    server.fail("GET", "/api/models/rehearsal/m", status=500, times=20)
    server.faults[1].times = 0

    def silent(*given, **named):
        raise ConnectionError("gone")

    monkeypatch.setattr(type(here.api), "list_repo_files", silent)
    with pytest.raises(HubError, match="whether files are in it is not known"):
        hub.publish(here, "m", files, CARD)


def test_a_file_that_the_hub_lost(here, files, monkeypatch):
    monkeypatch.setattr(type(here.api), "get_paths_info", lambda *given, **named: [])
    with pytest.raises(HubError, match=r"does not list m-Q8_0.gguf.*holds the files now and is private"):
        hub.publish(here, "m", files, CARD)


# Public or private


def test_the_licences_are_whole_identifiers():
    for licence in "bigscience-bloom-rail-1.0 bigcode-openrail-m cc-by-nc-nd-4.0 cc-by-nd-4.0 llama3.3 gemma".split():
        assert licence in hub_rules.LICENCES
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]*[a-z0-9+]", licence) for licence in hub_rules.LICENCES)


def passing(paths) -> Gate:
    return Gate("all", {path.name: artifacts.sha256(path) for path in paths}, (Row("proof", True, "passed"),))


@pytest.mark.parametrize(
    "licence, match",
    [
        ("", "no licence is named"),
        ("license: unknown\n", "licence is unknown"),
        ("license: other\nlicense_name: mine\n", "one of its own"),
        ("license: cc\n", "family"),
        ("license: cc-by-nd-4.0\n", "forbids"),
        ("license: [mit, cc-by-nc-nd-3.0]\n", "forbids"),
    ],
)
def test_licences_that_keep_it_private(here, files, server, licence, match):
    card = f"---\n{licence}---\n"
    refused(server, f"must not be made public: .*{match}", here, "m", files, card, private=False, gates=passing(files))
    assert hub.publish(here, "m", files, card).private


def test_public_after_the_gate(here, files, server):
    published = hub.publish(here, "m", files, CARD, private=False, gates=passing(files))
    assert not published.private and not here.api.model_info("rehearsal/m").private
    order = [line for line in server.log if line.startswith(("PUT", "POST"))]
    assert order[-1] == "PUT /api/models/rehearsal/m/settings", "it is opened when everything stands there"


def test_public_needs_a_gate(here, files, server):
    refused(server, "passed the gate", here, "m", files, CARD, private=False)


def test_what_did_not_pass_the_gate_stays_private_and_says_why(here, files, tiny_gguf):
    failed = replace(passing(files[1:]), file="m-Q4_0.gguf", rows=(Row("answers", False, "empty"),))
    published = hub.publish(here, "m", files, CARD, private=False, gates=[passing(files[:1]), failed])
    assert published.private and here.api.model_info("rehearsal/m").private
    assert published.notes[0] == "It stays private, as m-Q4_0.gguf stays private: answers failed."


def test_a_file_that_was_never_at_the_gate_or_changed_since(here, files, tiny_gguf):
    gates = [passing(files)]
    tiny_gguf(files[1])
    assert "m-Q4_0.gguf was changed since" in hub.publish(here, "m", files, CARD, private=False, gates=gates).notes[0]
    other = tiny_gguf(files[0].with_name("other-Q8_0.gguf"))
    published = hub.publish(here, "n", [files[0], other], CARD, private=False, gates=gates)
    assert "other-Q8_0.gguf was not at the gate" in published.notes[0] and published.private


def test_private_files_do_not_go_into_a_public_repository(here, files, server):
    here.api.create_repo("rehearsal/m")
    with pytest.raises(InputError, match="is public already"):
        hub.publish(here, "m", files, CARD, update=True)
    failed = replace(passing(files), rows=(Row("proof", None, "not compared"),))
    with pytest.raises(InputError, match="is public already"):
        hub.publish(here, "m", files, CARD, update=True, private=False, gates=failed)
    assert here.api.list_repo_files("rehearsal/m") == [".gitattributes"]
    assert not hub.publish(here, "m", files, CARD, update=True, private=False, gates=passing(files)).private


# What a file says of itself, sizes, receipts


def test_notes_on_what_a_gguf_does_not_say(here, files, tmp_path, tiny_gguf):
    notes = hub.publish(here, "m", files[:1], CARD).notes
    assert len(notes) == 1 and "does not say its name (general.name)" in notes[0] and "general.license" in notes[0]
    said = {"general__name": "M", "general__quantized_by": "us", "general__license": "gpl"}
    notes = hub.publish(here, "n", tiny_gguf(tmp_path / "n-F16.gguf", **said), CARD).notes
    assert notes == ("n-F16.gguf says that its licence is gpl, the card says mit. Correct one of them.",)


def test_more_than_a_free_account_may_keep(files, monkeypatch):
    monkeypatch.setattr(publishing, "FREE_PRIVATE", 1000)
    assert "a free account may keep 1 kB private" in publishing._notes(files, {})[-1]


def test_a_receipt_that_cannot_be_written(here, files, tmp_path, monkeypatch):
    published = hub.publish(here, "m", files, CARD)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_ARTIFACTS", str(tmp_path / "file" / "artifacts"))
    with pytest.raises(ResourceError, match=f"rehearsal/m is published at {published.revision}, only the note"):
        hub.keep_receipt(published, here)


@pytest.mark.parametrize("inside", ["file/artifacts", "x" * 300])
def test_a_rehearsal_in_a_folder_that_cannot_be(tmp_path, monkeypatch, inside):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_ARTIFACTS", str(tmp_path / inside))
    session = hub.Session()
    with pytest.raises(ResourceError, match="starting the rehearsal Hub.*COURSE_ARTIFACTS"):
        session.rehearsal()
    session.close()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.EPERM])
def test_folders_that_refuse(server, tmp_path, monkeypatch, number):
    def fails(*given, **named):
        raise OSError(number, os.strerror(number), b"/somewhere/" + b"x" * 400)

    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    server.host("a/b", tmp_path / "m")
    monkeypatch.setattr("huggingface_hub.file_download.http_get", fails)
    with pytest.raises(ResourceError, match=rf"refused x+ while downloading a/b: {os.strerror(number)}") as caught:
        hub.download("a/b", None, tmp_path / "in", ("*",), server.endpoint)
    assert len(str(caught.value)) < 400


def test_a_folder_that_can_never_be_made(server, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    server.host("a/b", tmp_path / "m")
    with pytest.raises(ResourceError, match="downloading a/b"):
        hub.download("a/b", None, tmp_path / ("x" * 300), ("*",), server.endpoint)
