"""Choosing a Hub, tokens, downloads, publishing: every failure ends in a HubError that says what to do."""

import errno
import os
import socket
import subprocess
import sys
import threading
import time
import types
from dataclasses import replace

import pytest

from helpers import artifacts
from helpers.errors import CourseError, HubError, InputError, ResourceError
from helpers.pipeline import hub
from helpers.pipeline.hub import explain, tokens
from helpers.pipeline.hub import session as which

CARD = "---\nlicense: mit\n---\n# A card\n"


# Which Hub


@pytest.fixture
def session(monkeypatch):
    """A session whose real Hub seems to answer."""
    monkeypatch.setenv("COURSE_HUB", "auto")
    monkeypatch.setattr(which, "answers", lambda endpoint: True)
    made = hub.Session()
    yield made
    made.close()


def logged_in(monkeypatch, role: str) -> None:
    monkeypatch.setattr(which, "find_token", lambda endpoint: "hf_mine")
    monkeypatch.setattr(which, "whoami", lambda endpoint, token: {"name": "ada", "role": role})


def test_connect_rehearses_without_a_token(monkeypatch, session):
    monkeypatch.setattr(which, "find_token", lambda endpoint: None)
    here = session.connect()
    assert here.rehearsal and "no token" in here.reason


def test_connect_rehearses_without_a_network(monkeypatch, session):
    monkeypatch.setattr(which, "answers", lambda endpoint: False)
    assert "out of reach" in session.connect().reason


@pytest.mark.parametrize("role", ["write", "fineGrained"])
def test_connect_with_a_token_that_may_write(monkeypatch, session, role):
    from huggingface_hub import HfApi

    logged_in(monkeypatch, role)
    here = session.connect()
    assert (here.endpoint, here.user, here.rehearsal) == (which.HUGGING_FACE, "ada", False)
    assert HfApi().endpoint == which.HUGGING_FACE and os.environ["HF_TOKEN"] == "hf_mine"


def test_your_token_never_goes_to_the_rehearsal_hub(monkeypatch, session, server):
    monkeypatch.setenv("HF_TOKEN", "hf_yourown")
    assert session.download_token(session.endpoint) == "hf_yourown"
    assert session.download_token(server.endpoint) is False and session.download_token("https://elsewhere") is False


def test_a_mirror_is_used_and_gets_no_token_that_was_saved_for_hugging_face(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    mirrored = hub.Session()
    assert mirrored.endpoint == "https://mirror.example"
    (tmp_path / "token").write_text("hf_saved")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert mirrored.token() is None and hub.Session(which.HUGGING_FACE).token() == "hf_saved"
    monkeypatch.setenv("HF_TOKEN", "hf_formirror")
    assert mirrored.token() == "hf_formirror", "who sets both means it"


def test_a_token_that_we_put_into_the_environment_is_not_taken_for_yours(monkeypatch, session, tmp_path):
    """What was saved for huggingface.co goes to no mirror, also after `connect` has exported it."""
    from huggingface_hub import constants

    (tmp_path / "token").write_text("hf_saved")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(which, "whoami", lambda endpoint, token: {"name": "ada", "role": "write"})
    assert session.connect().token == "hf_saved" and os.environ["HF_TOKEN"] == "hf_saved"
    assert hub.Session("https://mirror.example").token() is None and session.token() == "hf_saved"
    session.close()
    assert "HF_TOKEN" not in os.environ and not tokens._exported


def test_your_token_is_found_again_after_a_rehearsal(monkeypatch, session):
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    monkeypatch.setattr(which, "whoami", lambda endpoint, token: {"name": "ada", "role": "read"})
    assert "may only read" in session.connect().reason and "may only read" in session.connect().reason
    assert session.download_token(session.endpoint) == "hf_mine" and os.environ["HF_TOKEN"] != "hf_mine"
    monkeypatch.setenv("COURSE_HUB", "real")
    monkeypatch.setattr(which, "whoami", lambda endpoint, token: {"name": "ada", "role": "write"})
    assert session.connect().token == "hf_mine"


def test_other_hubs_have_tokens_of_another_form(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", " eyJhbGciOiJIUzI1NiJ9.e30.c2ln\n")
    company = hub.Session("https://artifacts.company.example/api/huggingfaceml/all")
    assert company.token() == "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
    with pytest.raises(HubError, match="not a token"):
        hub.Session(which.HUGGING_FACE).token()


@pytest.mark.parametrize(("value", "offline"), [("0", False), ("", False), ("1", True), ("yes", True)])
def test_offline_mode_is_read_as_the_client_reads_it(monkeypatch, session, value, offline):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert session.wants_real() is not offline


def test_a_rehearsal_token_never_goes_to_the_real_hub(monkeypatch, server):
    monkeypatch.setenv("HF_TOKEN", server.token)
    assert hub.find_token() is None


def test_logging_in_after_a_rehearsal_is_noticed(monkeypatch, session, server, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", server.token)
    assert session.download_token(session.endpoint) is False, "a token that the Hub does not know would be refused"
    (tmp_path / "token").write_text("hf_saved\n")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert hub.find_token() == "hf_saved"
    assert os.environ["HF_TOKEN"] == server.token


def test_a_token_that_may_only_read_rehearses(monkeypatch, session):
    logged_in(monkeypatch, "read")
    here = session.connect()
    assert here.rehearsal and "may only read" in here.reason
    monkeypatch.setenv("COURSE_HUB", "real")
    with pytest.raises(HubError, match="may read but not write"):
        session.connect()


def test_the_hub_is_asked_once(monkeypatch, session):
    asked = []
    monkeypatch.setattr(which, "answers", lambda endpoint: bool(asked.append(endpoint)))
    assert not session.wants_real() and not session.wants_real() and asked == [which.HUGGING_FACE]
    session.close()
    assert not session.wants_real() and len(asked) == 2, "a closed session asks anew"


def test_offline_mode_asks_nobody(monkeypatch, session):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(which, "answers", lambda endpoint: pytest.fail("asked"))
    assert not session.wants_real()


def test_close_gives_everything_back(monkeypatch, session):
    from huggingface_hub import HfApi, constants, hf_hub_url

    monkeypatch.setenv("HF_TOKEN", "hf_before")
    monkeypatch.setattr(which, "find_token", lambda endpoint: None)
    before = (HfApi().endpoint, constants.HF_HUB_DISABLE_XET, os.environ.get("HF_ENDPOINT"))
    here = session.connect()
    assert HfApi().endpoint == here.endpoint and hf_hub_url("a/b", "c").startswith(here.endpoint)
    assert os.environ["HF_TOKEN"] == here.token and constants.HF_HUB_DISABLE_XET
    session.close()
    assert before == (HfApi().endpoint, constants.HF_HUB_DISABLE_XET, os.environ.get("HF_ENDPOINT"))
    assert os.environ["HF_TOKEN"] == "hf_before" and hf_hub_url("a/b", "c").startswith(which.HUGGING_FACE)


def test_close_leaves_what_you_changed_meanwhile(monkeypatch, session):
    monkeypatch.setattr(which, "find_token", lambda endpoint: None)
    session.connect()
    os.environ["HF_TOKEN"] = "hf_loggedin"
    session.close()
    assert os.environ["HF_TOKEN"] == "hf_loggedin"


def test_the_rehearsal_hub_is_reached_past_a_proxy():
    """In a process of its own: the proxy is set before anything is imported."""
    code = """
import huggingface_hub
from helpers.pipeline import hub
huggingface_hub.HfApi().endpoint  # the client's session may exist already
here = hub.connect()
print(hub.whoami(here.endpoint, here.token))"""
    surroundings = {k: v for k, v in os.environ.items() if k.lower() not in ("no_proxy", "hf_token", "hf_endpoint")}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=artifacts.ROOT, env=surroundings | proxies | {"COURSE_HUB": "rehearsal"}, capture_output=True
    )
    assert b"write" in done.stdout, done.stderr[-500:]


def test_a_rehearsal_beside_the_real_hub_is_reached_past_a_proxy(server):
    """Notebook 07, logged in to the real Hub through a company's proxy."""
    code = """
import sys
from helpers.pipeline import hub
from helpers.pipeline.hub import session
import huggingface_hub
huggingface_hub.get_session()  # the client's session exists already
session.answers = lambda endpoint: True
session.whoami = lambda endpoint, token: {"name": "ada", "role": "write"}
assert not hub.connect().rehearsal
print(hub.whoami(*sys.argv[1:]))"""
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
    ours = {"COURSE_HUB": "real", "HF_TOKEN": "hf_mine"}
    command = [sys.executable, "-c", code, server.endpoint, server.token]
    kept = {k: v for k, v in os.environ.items() if k.lower() != "no_proxy"}
    done = subprocess.run(command, cwd=artifacts.ROOT, env=kept | proxies | ours, capture_output=True)
    assert b"write" in done.stdout, done.stderr[-500:]


def test_the_session_of_a_process_ends_with_it(tmp_path):
    code = "from helpers.pipeline import hub; print(hub.connect().endpoint)"
    surroundings = os.environ | {"COURSE_HUB": "rehearsal", "COURSE_ARTIFACTS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=artifacts.ROOT, env=surroundings, capture_output=True)
    assert done.returncode == 0 and b"127.0.0.1" in done.stdout
    assert not list(tmp_path.glob("rehearsal-hub-*")), "nothing of the rehearsal stays behind"


def test_the_real_hub_needs_a_token(monkeypatch, session):
    monkeypatch.setenv("COURSE_HUB", "real")
    monkeypatch.setattr(which, "find_token", lambda endpoint: None)
    with pytest.raises(HubError, match="hf auth login"):
        session.connect()


def test_unknown_choice_of_hub(monkeypatch):
    monkeypatch.setenv("COURSE_HUB", "mars")
    with pytest.raises(InputError, match="auto, real or rehearsal"):
        hub.connect()


def test_a_hub_that_never_answers_is_given_up_in_time():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        assert not which.answers(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - started < 3


def test_a_name_lookup_that_hangs_is_given_up_in_time(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: release.wait(20) and [])
    started = time.monotonic()
    assert not which.answers("http://hub.invalid")
    assert time.monotonic() - started < 3
    release.set()


def test_a_login_page_is_not_taken_for_the_hub(tmp_path):
    import functools
    import http.server

    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "whoami-v2").mkdir()
    (tmp_path / "api" / "whoami-v2" / "index.html").write_text("<html>Welcome to the hotel</html>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.func.log_message = lambda *a: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as portal:
        threading.Thread(target=portal.serve_forever, daemon=True).start()
        assert not which.answers(f"http://127.0.0.1:{portal.server_address[1]}")
        portal.shutdown()


def test_the_rehearsal_hub_answers(server):
    assert which.answers(server.endpoint)


# Tokens


def test_tokens_are_stripped():
    assert tokens.clean_token("  hf_abc\n") == "hf_abc"


@pytest.mark.parametrize("raw", ["hf_abc\ndef", "hf_abc def", "letmein99", "hf_ä"])
def test_what_is_no_token_is_refused_without_showing_it(raw):
    with pytest.raises(HubError) as caught:
        tokens.clean_token(raw)
    assert raw not in str(caught.value) and "settings/tokens" in str(caught.value)


def test_token_of_the_environment(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_fromenvironment\n")
    assert hub.find_token() == "hf_fromenvironment"


@pytest.mark.parametrize("outcome", ["hf_fromvault", None, TimeoutError("vault")])
@pytest.mark.parametrize("place", ["Colab", "Kaggle"])
def test_token_of_the_vault(monkeypatch, place, outcome):
    asked = []

    def get(name):
        asked.append(name)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    colab = types.ModuleType("google.colab")
    colab.userdata = types.SimpleNamespace(get=get)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    if place == "Kaggle":  # its image has Colab's module, too
        colab.userdata.get = lambda name: pytest.fail("asked Colab")
        kaggle = types.ModuleType("kaggle_secrets")
        kaggle.UserSecretsClient = lambda: types.SimpleNamespace(get_secret=get)
        monkeypatch.setitem(sys.modules, "kaggle_secrets", kaggle)
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert tokens._vault_token() == (outcome if isinstance(outcome, str) else None)
    assert asked == ["HF_TOKEN"], "the vault is asked once"


def test_kaggle_without_its_module_for_secrets(monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setitem(sys.modules, "kaggle_secrets", None)
    assert tokens._vault_token() is None


def test_the_token_never_shows(here):
    assert here.token not in repr(here) and here.token not in str(here)


# Downloading


def offered(server, tmp_path, size=2**16):
    folder = tmp_path / "offered"
    folder.mkdir()
    (folder / "config.json").write_text('{"a": 1}')
    (folder / "model.safetensors").write_bytes(os.urandom(size))
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    server.host("a/model", folder)
    return folder


def test_download_takes_the_patterns_only(server, tmp_path):
    source = offered(server, tmp_path)
    hub.download("a/model", None, tmp_path / "in", ("*.json", "*.safetensors"), server.endpoint)
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == ["config.json", "model.safetensors"]
    assert (tmp_path / "in" / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_one_flipped_bit_is_found(server, tmp_path, name):
    source = offered(server, tmp_path)
    data = bytearray((source / name).read_bytes())
    data[3] ^= 1
    (source / name).write_bytes(data)  # hosted files are read from disk: the Hub now sends damaged content
    with pytest.raises(HubError, match="checksum"):
        hub.download("a/model", None, tmp_path / "in", ("*.json", "*.safetensors"), server.endpoint)


def test_too_little_disk_is_noticed_before_the_download(server, tmp_path, monkeypatch):
    offered(server, tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(ResourceError, match="COURSE_ARTIFACTS"):
        hub.download("a/model", None, tmp_path / "in", ("*",), server.endpoint)
    assert not any("resolve" in line for line in server.log)


@pytest.mark.parametrize(
    "status, words",
    [
        (400, "refused .400. .*It says: injected failure"),
        (401, "does not know the token"),
        (403, "lacks a right"),
        (413, "refused .413."),
        (422, "refused .422."),
        (429, "asks you to wait"),
        (500, "failed"),
    ],
)
def test_statuses_become_sentences(server, tmp_path, status, words):
    offered(server, tmp_path)
    server.fail("GET", "/api/models", status=status, times=9)
    with pytest.raises(HubError, match=words):
        hub.download("a/model", None, tmp_path / "in", ("*",), server.endpoint)


@pytest.mark.parametrize("size", [0, 1000, 2**16 + 1])
def test_a_file_that_is_not_as_long_as_the_hub_lists(server, tmp_path, size):
    """What lies there was cut, or grew, after the commit listed its size."""
    offered(server, tmp_path)
    path = tmp_path / "offered" / "model.safetensors"
    path.write_bytes(path.read_bytes().ljust(size, b"x")[:size])
    with pytest.raises(HubError, match="another size than the Hub lists"):
        hub.download("a/model", None, tmp_path / "in", ("*",), server.endpoint)


def test_missing_model_revision_and_gate(server, tmp_path):
    source = offered(server, tmp_path)
    with pytest.raises(HubError, match="no such repository"):
        hub.download("a/none", None, tmp_path / "in", ("*",), server.endpoint)
    with pytest.raises(HubError, match="[Rr]evision"):
        hub.download("a/model", "f" * 40, tmp_path / "in", ("*",), server.endpoint)
    server.host("a/gated", source, gated=True)
    with pytest.raises(HubError, match="gated"):
        hub.download("a/gated", None, tmp_path / "in", ("*",), server.endpoint)


def test_a_file_that_the_hub_does_not_have(server, tmp_path):
    from huggingface_hub import hf_hub_download

    offered(server, tmp_path)
    with pytest.raises(HubError, match="File not found while reading a card"), hub.explained("reading a card"):
        hf_hub_download("a/model", "none.md", endpoint=server.endpoint, local_dir=tmp_path / "in", token=False)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"{"), lambda path: path.unlink()])
def test_a_file_that_arrived_short_or_not_at_all(server, tmp_path, monkeypatch, damage):
    import huggingface_hub

    original = huggingface_hub.snapshot_download

    def lossy(*given, **named):
        original(*given, **named)
        damage(named["local_dir"] / "config.json")

    offered(server, tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lossy)
    with pytest.raises(HubError, match="config.json (has checksum|did not arrive)"):
        hub.download("a/model", None, tmp_path / "in", ("*.json",), server.endpoint)


def test_a_hub_that_lists_no_sizes(server, tmp_path, monkeypatch):
    """Mirrors may not; the checksums still decide."""
    from huggingface_hub import HfApi

    original = HfApi.model_info

    def without_sizes(*given, **named):
        info = original(*given, **named)
        for sibling in info.siblings:
            sibling.size = sibling.lfs = sibling.blob_id = None
        return info

    monkeypatch.setattr(HfApi, "model_info", without_sizes)
    source = offered(server, tmp_path)
    hub.download("a/model", None, tmp_path / "in", ("*.json", "*.safetensors"), server.endpoint)
    assert (tmp_path / "in" / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(bytes(2**16))
    with pytest.raises(HubError, match="model.safetensors has checksum"):
        hub.download("a/model", None, tmp_path / "again", ("*.json", "*.safetensors"), server.endpoint)


def test_a_hub_that_lists_no_checksums(server, tmp_path, monkeypatch):
    from huggingface_hub import HfApi

    offered(server, tmp_path)
    nothing_known = types.SimpleNamespace(
        missing_paths=[], mismatches=[{"path": "config.json", "expected": "none", "actual": "0" * 40}]
    )
    monkeypatch.setattr(HfApi, "verify_repo_checksums", lambda *given, **named: nothing_known)
    hub.download("a/model", None, tmp_path / "in", ("*.json",), server.endpoint)
    assert (tmp_path / "in" / "config.json").is_file()


def test_no_network(tmp_path):
    with pytest.raises(HubError, match="connection broke"):
        hub.download("a/model", None, tmp_path / "in", ("*",), "http://127.0.0.1:9")


@pytest.mark.parametrize("module", ["requests.exceptions", "httpx", "httpcore", "httpx2", "httpcore2"])
def test_network_errors_of_every_client_are_known(module):
    """huggingface_hub 0.x used requests, 1.x httpx, 2.x httpx2."""
    error = type("ConnectError", (Exception,), {"__module__": module})()
    assert "connection broke" in str(explain.explain(error, "asking"))
    assert explain.explain(type("Error", (Exception,), {"__module__": "httpxyz"})(), "asking") is None


def test_a_disk_that_fills_up_during_the_download(server, tmp_path, monkeypatch):
    offered(server, tmp_path)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(ResourceError, match="disk filled up while downloading a/model"):
        hub.download("a/model", None, tmp_path / "in", ("*",), server.endpoint)


# Publishing


def test_publish_and_compare(here, files):
    published = hub.publish(here, "m", files, CARD)
    assert published.repo == "rehearsal/m" and set(published.files) == {path.name for path in files}
    assert here.api.model_info("rehearsal/m").private
    assert {"README.md", "m-Q8_0.gguf", "m-Q4_0.gguf"} <= set(here.api.list_repo_files("rehearsal/m"))


@pytest.mark.parametrize("rehearsal", [True, False])
def test_a_hub_that_speaks_no_xet(here, files, server, monkeypatch, rehearsal):
    """A mirror, or a firewall before Xet's own servers; and a rehearsal Hub beside the real one, which is not asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    published = hub.publish(replace(here, rehearsal=rehearsal), "m", files, CARD)
    assert set(published.files) == {path.name for path in files}
    assert any("xet-write-token" in line for line in server.log) is not rehearsal


def test_small_files_are_published_and_compared_too(here, files, tmp_path):
    """The Hub keeps them in git, without a SHA-256."""
    small = tmp_path / "SHA256SUMS"
    small.write_text("abc\n")
    published = hub.publish(here, "m", [*files, small], CARD)
    assert published.files["SHA256SUMS"] == artifacts.sha256(small)


def test_publishing_twice_needs_update(here, files):
    first = hub.publish(here, "m", files, CARD)
    with pytest.raises(HubError, match="name is taken"):
        hub.publish(here, "m", files, CARD)
    again = hub.publish(here, "m", files, CARD, update=True)
    assert again.revision == first.revision, "what did not change makes no commit"


def test_a_hub_that_lists_other_checksums(here, files, monkeypatch):
    """As if something on the way had changed the upload, and the Hub had accepted it."""
    listed = [types.SimpleNamespace(path=path.name, lfs=types.SimpleNamespace(sha256="0" * 64)) for path in files]
    monkeypatch.setattr(type(here.api), "get_paths_info", lambda *a, **k: listed)
    with pytest.raises(HubError, match="lists another checksum for m-Q8_0.gguf"):
        hub.publish(here, "m", files, CARD)


def test_read_only_token_is_refused_before_the_first_byte(here, files, server):
    with pytest.raises(HubError, match="may read but not write"):
        hub.publish(replace(here, token=server.read_token), "m", files, CARD)
    assert not server.repos and not any(line.startswith(("PUT", "POST")) for line in server.log)


def test_wrong_token_and_foreign_name(here, files):
    with pytest.raises(HubError, match="does not know the token"):
        hub.publish(replace(here, token="hf_wrong"), "m", files, CARD)
    with pytest.raises(HubError, match="somebody else"):
        hub.publish(replace(here, user="google"), "m", files, CARD)


def test_missing_file(here, tmp_path):
    with pytest.raises(InputError, match="notebook 05"):
        hub.publish(here, "m", [tmp_path / "none.gguf"], CARD)


@pytest.mark.parametrize("status", [500, 503])
def test_failure_before_the_commit_loses_nothing(here, files, server, status, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client's pauses between its retries
    server.fail("POST", "/commit/", status=status, times=20)
    with pytest.raises(HubError, match="Nothing is damaged"):
        hub.publish(here, "m", files, CARD)
    assert here.api.list_repo_files("rehearsal/m") == [".gitattributes"], "all files appear, or none"
    server.faults.clear()
    sent = sum(line.startswith("PUT") for line in server.log)
    hub.publish(here, "m", files, CARD, update=True)
    assert sum(line.startswith("PUT") for line in server.log) == sent, "what arrived is not sent twice"


def test_interrupted_upload_then_rerun(here, files, server, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.cut("PUT", "/lfs/", after=1000, times=50)
    with pytest.raises(HubError, match="connection broke"):
        hub.publish(here, "m", files, CARD)
    server.faults.clear()
    assert hub.publish(here, "m", files, CARD, update=True).files


def test_hub_gone(here, files, server):
    server.stop()
    with pytest.raises(HubError, match="connection broke"):
        hub.publish(here, "m", files, CARD)


def test_no_message_contains_a_token(here, files, server):
    for token in ("hf_mistypedsecret", server.read_token):
        with pytest.raises(CourseError) as caught:
            hub.publish(replace(here, token=token), "m", files, CARD)
        assert token not in str(caught.value)
