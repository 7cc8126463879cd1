"""The rehearsal Hub, driven by the unmodified huggingface_hub client through every endpoint it speaks."""

import hashlib
import os
import socket
import urllib.error
import urllib.request

import pytest
from huggingface_hub import HfApi, errors, hf_hub_download, snapshot_download

from helpers import artifacts

CARD = b"---\nlicense: mit\n---\n# A card\n"


@pytest.fixture
def api(server):
    return HfApi(endpoint=server.endpoint, token=server.token)


@pytest.fixture
def repo(api):
    api.create_repo("rehearsal/model")
    return "rehearsal/model"


def test_whoami_tells_name_and_role(server, api):
    assert api.whoami()["name"] == "rehearsal"
    assert HfApi(endpoint=server.endpoint, token=server.read_token).whoami()["auth"]["accessToken"]["role"] == "read"


def test_create_exists_delete(api):
    assert not api.repo_exists("rehearsal/model")
    assert api.create_repo("rehearsal/model", private=True).endswith("/rehearsal/model")
    assert api.repo_exists("rehearsal/model")
    assert api.model_info("rehearsal/model").private
    api.delete_repo("rehearsal/model")
    assert not api.repo_exists("rehearsal/model")


def test_a_name_is_taken_once(api, repo):
    with pytest.raises(errors.HfHubHTTPError) as caught:
        api.create_repo(repo)
    assert caught.value.response.status_code == 409
    api.create_repo(repo, exist_ok=True)


def test_small_file_goes_to_git_and_large_file_to_lfs(api, repo, server, tmp_path):
    api.upload_file(path_or_fileobj=b"hello", path_in_repo="notes.txt", repo_id=repo)
    large = os.urandom(11 * 2**20)  # above the Hub's 10 MB limit, below the multipart limit
    api.upload_file(path_or_fileobj=large, path_in_repo="large.dat", repo_id=repo)
    assert not any("/lfs/" in line for line in server.log if "notes" in line)
    small, big = (api.get_paths_info(repo, [name])[0] for name in ("notes.txt", "large.dat"))
    assert small.lfs is None and small.blob_id == hashlib.sha1(b"blob 5\0hello").hexdigest()
    assert big.lfs.sha256 == hashlib.sha256(large).hexdigest()
    path = hf_hub_download(repo, "large.dat", endpoint=server.endpoint, local_dir=tmp_path / "out")
    assert open(path, "rb").read() == large


def test_multipart_upload(api, repo, server, tmp_path):
    content = os.urandom(13 * 2**20 + 7)  # three parts of 5 MB, the last one shorter
    api.upload_file(path_or_fileobj=content, path_in_repo="m.gguf", repo_id=repo)
    parts = [line for line in server.log if line.startswith("PUT /lfs/")]
    assert len(parts) == 3 and any(line.endswith("/complete") for line in server.log)
    path = hf_hub_download(repo, "m.gguf", endpoint=server.endpoint, local_dir=tmp_path / "out")
    assert open(path, "rb").read() == content


def test_content_that_is_there_is_not_sent_again(api, repo, server):
    content = os.urandom(2**16)
    api.upload_file(path_or_fileobj=content, path_in_repo="a.gguf", repo_id=repo)
    before = sum(line.startswith("PUT") for line in server.log)
    api.upload_file(path_or_fileobj=content, path_in_repo="b.gguf", repo_id=repo)
    assert sum(line.startswith("PUT") for line in server.log) == before


def test_upload_with_a_wrong_checksum_is_refused(server):
    request = urllib.request.Request(f"{server.endpoint}/lfs/{'0' * 64}", data=b"not that", method="PUT")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 400
    assert not server.store.content("0" * 64).exists()


def test_folder_tree_and_deletions(api, repo, tmp_path):
    (tmp_path / "up" / "inner").mkdir(parents=True)
    (tmp_path / "up" / "top.txt").write_text("top")
    (tmp_path / "up" / "inner" / "deep.txt").write_text("deep")
    api.upload_folder(folder_path=tmp_path / "up", repo_id=repo)
    names = {item.path for item in api.list_repo_tree(repo)}
    assert {"top.txt", "inner"} <= names and "inner/deep.txt" not in names
    assert "inner/deep.txt" in {item.path for item in api.list_repo_tree(repo, recursive=True)}
    assert [item.path for item in api.list_repo_tree(repo, "inner")] == ["inner/deep.txt"]
    api.delete_file("top.txt", repo)
    api.delete_folder("inner", repo)
    assert api.list_repo_files(repo) == [".gitattributes"]
    assert not api.file_exists(repo, "top.txt")


def test_card_is_validated(api, repo):
    api.upload_file(path_or_fileobj=CARD, path_in_repo="README.md", repo_id=repo)
    with pytest.raises(ValueError, match="YAML"):
        api.upload_file(path_or_fileobj=b"no metadata", path_in_repo="README.md", repo_id=repo)


def test_revisions_pin_content(api, repo, server, tmp_path):
    old = api.upload_file(path_or_fileobj=b"one", path_in_repo="f.txt", repo_id=repo).oid
    api.upload_file(path_or_fileobj=b"two", path_in_repo="f.txt", repo_id=repo)
    for revision, content in ((old, "one"), ("main", "two")):
        folder = snapshot_download(
            repo, revision=revision, endpoint=server.endpoint, local_dir=tmp_path / revision, token=server.token
        )
        assert open(os.path.join(folder, "f.txt")).read() == content
    assert api.revision_exists(repo, old) and not api.revision_exists(repo, "f" * 40)
    assert [commit.commit_id for commit in api.list_repo_commits(repo)][1] == old
    assert api.list_repo_refs(repo).branches[0].name == "main"
    with pytest.raises(errors.RevisionNotFoundError):
        api.model_info(repo, revision="f" * 40)


def test_history_depends_on_content_only(server, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    first = server.host("a/b", tmp_path / "m")
    assert server.host("a/b", tmp_path / "m") == first
    (tmp_path / "m" / "config.json").write_text("{ }")
    assert server.host("a/b", tmp_path / "m") != first


def test_wrong_token(server):
    with pytest.raises(errors.HfHubHTTPError):
        HfApi(endpoint=server.endpoint, token="hf_wrong").whoami()


def test_read_only_token(server):
    with pytest.raises(errors.HfHubHTTPError) as caught:
        HfApi(endpoint=server.endpoint, token=server.read_token).create_repo("rehearsal/x")
    assert caught.value.response.status_code == 403


def test_somebody_elses_namespace(api):
    with pytest.raises(errors.HfHubHTTPError) as caught:
        api.create_repo("google/x")
    assert caught.value.response.status_code == 403


def test_missing_repository_and_file(api, repo, server, tmp_path):
    with pytest.raises(errors.RepositoryNotFoundError):
        api.model_info("rehearsal/none")
    with pytest.raises(errors.EntryNotFoundError):
        hf_hub_download(repo, "none.txt", endpoint=server.endpoint, local_dir=tmp_path)


def test_private_repository_is_hidden_without_a_token(api, server):
    api.create_repo("rehearsal/secret", private=True)
    with pytest.raises(errors.RepositoryNotFoundError):
        HfApi(endpoint=server.endpoint, token=False).model_info("rehearsal/secret")


def test_gated_repository(server, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    server.host("meta/gated", tmp_path / "m", gated=True)
    for token in (False, server.token):
        with pytest.raises(errors.GatedRepoError):
            HfApi(endpoint=server.endpoint, token=token).auth_check("meta/gated")
    with pytest.raises(errors.GatedRepoError):
        hf_hub_download("meta/gated", "config.json", endpoint=server.endpoint, local_dir=tmp_path / "o")


def test_range_requests(api, repo, server):
    api.upload_file(path_or_fileobj=b"0123456789", path_in_repo="d.txt", repo_id=repo)
    url = f"{server.endpoint}/{repo}/resolve/main/d.txt"
    request = urllib.request.Request(url, headers={"Range": "bytes=3-5"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 206 and answer.read() == b"345"
        assert answer.headers["Content-Range"] == "bytes 3-5/10"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=10-"}))
    assert caught.value.code == 416


@pytest.mark.parametrize("after", [0, 1_000_000, 10_600_000])
def test_download_cut_at_three_places_is_repaired(api, repo, server, tmp_path, after):
    content = os.urandom(11 * 2**20)
    api.upload_file(path_or_fileobj=content, path_in_repo="m.gguf", repo_id=repo)
    server.cut("GET", "resolve", after=after)
    path = hf_hub_download(repo, "m.gguf", endpoint=server.endpoint, local_dir=tmp_path / "out")
    assert open(path, "rb").read() == content
    assert sum("GET" in line and "m.gguf" in line for line in server.log) >= 2


@pytest.mark.parametrize("after", [0, 200_000, 900_000])
def test_upload_cut_at_three_places_is_repaired(api, repo, server, after):
    content = os.urandom(2**20)
    server.cut("PUT", "/lfs/", after=after)
    api.upload_file(path_or_fileobj=content, path_in_repo="m.gguf", repo_id=repo)
    assert api.get_paths_info(repo, ["m.gguf"])[0].lfs.sha256 == hashlib.sha256(content).hexdigest()
    assert not list(server.store.folder.glob("part-*")), "no half upload is kept"


def test_503_is_retried_by_the_client(api, repo, server):
    server.fail("PUT", "/lfs/", status=503)
    api.upload_file(path_or_fileobj=os.urandom(2**16), path_in_repo="m.gguf", repo_id=repo)
    assert sum(line.startswith("PUT") for line in server.log) == 2


def test_it_listens_on_this_machine_only(server):
    assert server.endpoint.startswith("http://127.0.0.1:")
    with pytest.raises(OSError):  # a second address of the same machine
        socket.create_connection(("127.0.0.2", int(server.endpoint.rpartition(":")[2])), timeout=1)


def test_unknown_endpoint_is_named(server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.endpoint}/api/datasets")
    assert caught.value.code == 404 and "does not speak" in caught.value.headers["X-Error-Message"]


def test_stopping_deletes_everything_and_killed_hubs_are_cleaned_up(tmp_path):
    from helpers.pipeline.rehearsal import RehearsalHub

    abandoned = tmp_path / "rehearsal-hub-999999999-abcd"  # no process has that number
    abandoned.mkdir()
    hub = RehearsalHub(tmp_path).start()
    folder = hub.store.folder
    hub.store.add(b"x", "x.txt")
    assert folder.exists() and not abandoned.exists()
    hub.stop()
    assert not folder.exists()


def test_model_info_tells_what_the_files_say(server, api):
    server.host("course/story", artifacts.ROOT / "data" / "story")
    told = api.model_info("course/story", files_metadata=True)
    assert told.config["architectures"] == ["LlamaForCausalLM"] and told.config["model_type"] == "llama"
    parsed = api.get_safetensors_metadata("course/story")
    assert dict(told.safetensors.parameters) == parsed.parameter_count and told.safetensors.total > 10**6
    assert all(sibling.size is not None for sibling in told.siblings)


def test_model_info_shows_the_card(api, repo):
    card = b"---\nlicense: mit\ntags: [gguf, story]\nlibrary_name: llama.cpp\npipeline_tag: text-generation\n---\n"
    api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo)
    told = api.model_info(repo)
    assert told.card_data["license"] == "mit" and told.pipeline_tag == "text-generation"
    assert {"gguf", "story", "llama.cpp", "license:mit"} <= set(told.tags)
    with pytest.raises(ValueError, match="broken"):
        api.upload_file(path_or_fileobj=b"---\na: [b\n---\n", path_in_repo="README.md", repo_id=repo)


def test_a_repository_may_have_a_single_name(server, api, tmp_path):
    (tmp_path / "m" / "inner").mkdir(parents=True)
    (tmp_path / "m" / "inner" / "a b.txt").write_text("found")
    server.host("gpt2", tmp_path / "m")
    assert api.model_info("gpt2").id == "gpt2" and api.list_repo_files("gpt2") == ["inner/a b.txt"]
    path = hf_hub_download("gpt2", "inner/a b.txt", endpoint=server.endpoint, local_dir=tmp_path / "o")
    assert open(path).read() == "found"


def test_a_revision_with_a_slash_is_one_revision(api, repo):
    with pytest.raises(errors.RevisionNotFoundError, match="refs/pr/1"):
        api.model_info(repo, revision="refs/pr/1")


def test_a_gated_repository_opens_to_a_token_that_was_let_in(server, api, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    server.host("meta/gated", tmp_path / "m", gated=True)
    server.repos["meta/gated"].let_in.add(server.token)
    api.auth_check("meta/gated")
    api.hf_hub_download("meta/gated", "config.json", local_dir=tmp_path / "o")
    with pytest.raises(errors.GatedRepoError):
        HfApi(endpoint=server.endpoint, token=server.read_token).auth_check("meta/gated")


def test_commits_at_the_same_time_lose_nothing(api, repo):
    from concurrent.futures import ThreadPoolExecutor

    def upload(number: int) -> None:
        api.upload_file(path_or_fileobj=b"x", path_in_repo=f"{number}.txt", repo_id=repo)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, range(24)))
    assert {f"{number}.txt" for number in range(24)} <= set(api.list_repo_files(repo))


@pytest.mark.parametrize("path", ["%D0%B6.txt", "a%0Ab.txt", "%F0%9F%A6%99"])
def test_a_name_that_no_header_can_hold_is_not_found(server, repo, path):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.endpoint}/{repo}/resolve/main/{path}")
    assert caught.value.code in (401, 404)
