"""The rehearsal Hub, driven by the unmodified huggingface_hub client through every endpoint it speaks."""

import hashlib
import json
import os
import socket
import urllib.error
import urllib.request

import numpy as np
import pytest
from huggingface_hub import HfApi, errors, hf_hub_download, snapshot_download
from safetensors.numpy import save_file

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


@pytest.mark.parametrize(
    "card, match",
    [
        (b"no metadata", "YAML"),
        (b"---\nlicense: Apache 2\n---\n", "none of the Hub's identifiers"),
        (b"---\nlanguage: no\n---\n", "language holds False"),
        (b"---\nlicense: mit\nlicense: mit\n---\n", "duplicated key"),
    ],
)
def test_card_is_validated(api, repo, card, match):
    api.upload_file(path_or_fileobj=CARD, path_in_repo="README.md", repo_id=repo)
    with pytest.raises(ValueError, match=match):
        api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo)


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


# What a model is, for a look before a download


def checkpoint_of(folder, tensors: dict, name: str = "model.safetensors") -> None:
    folder.mkdir(exist_ok=True)
    save_file({key: np.zeros(shape, np.float16) for key, shape in tensors.items()}, folder / name)


def test_model_info_tells_the_whole_card(api, repo):
    card = (
        b"---\nlicense: [mit, cc-by-4.0]\nbase_model: [a/b, c/d]\nbase_model_relation: merge\nlanguage: 'no'\n"
        b"pipeline_tag: text-generation\ndate: 2026-01-01\nextra: {deep: [1]}\n---\n"
    )
    api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo)
    told = api.model_info(repo)
    assert {"no", "license:mit", "license:cc-by-4.0", "base_model:a/b", "base_model:merge:c/d"} <= set(told.tags)
    assert told.card_data["extra"] == {"deep": [1]} and told.card_data["date"] == "2026-01-01"


def test_sizes_are_told_only_when_asked_for(api, repo):
    assert all(sibling.size is None and sibling.blob_id is None for sibling in api.model_info(repo).siblings)
    assert all(sibling.size is not None for sibling in api.model_info(repo, files_metadata=True).siblings)


def test_parameters_are_counted_where_the_hub_counts_them(api, server, tmp_path):
    """Of the one file if it is there, else of the index's shards; copies and stray files do not count."""
    folder = tmp_path / "m"
    checkpoint_of(folder, {"a": (2, 3)}, "model-00001-of-00002.safetensors")
    checkpoint_of(folder, {"b": (5,)}, "model-00002-of-00002.safetensors")
    checkpoint_of(folder, {"stray": (100,)}, "consolidated.safetensors")
    server.host("a/b", folder)
    assert api.model_info("a/b").safetensors is None
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    server.host("a/b", folder)
    assert api.model_info("a/b").safetensors.total == 11
    assert api.get_safetensors_metadata("a/b").parameter_count == {"F16": 11}
    checkpoint_of(folder, {"whole": (7,)})
    server.host("a/b", folder)
    assert api.model_info("a/b").safetensors.total == 7
    assert api.get_safetensors_metadata("a/b").parameter_count == {"F16": 7}


@pytest.mark.parametrize("index", ["", "[]", '{"weight_map": 7}', '{"weight_map": {"a": "gone.safetensors"}}'])
def test_a_damaged_index_or_configuration_is_told_of_without_a_failure(api, server, tmp_path, index):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors.index.json").write_text(index)
    (tmp_path / "m" / "config.json").write_text(index)
    server.host("a/b", tmp_path / "m")
    assert api.model_info("a/b").safetensors is None


def test_headers_of_a_checkpoint_of_140_gb_are_read_by_range(api, server, tmp_path):
    """Files with holes, offered unread: the look at a large model costs its headers."""
    folder = tmp_path / "m"
    folder.mkdir()
    for n in range(1, 31):
        tensors = {
            f"layer.{n}.{k}": {"dtype": "BF16", "shape": [8192, 28500], "data_offsets": [0, 0]} for k in range(10)
        }
        for k, entry in enumerate(tensors.values()):
            entry["data_offsets"] = [k * 8192 * 28500 * 2, (k + 1) * 8192 * 28500 * 2]
        header = json.dumps(tensors).encode()
        with open(folder / f"model-{n:05}-of-00030.safetensors", "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + 10 * 8192 * 28500 * 2)
    index = {f"layer.{n}.{k}": f"model-{n:05}-of-00030.safetensors" for n in range(1, 31) for k in range(10)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    server.host("a/huge", folder, hashed=False)
    told = api.model_info("a/huge", files_metadata=True)
    assert told.safetensors.total == 300 * 8192 * 28500 and sum(s.size for s in told.siblings) > 140e9
    assert len({sibling.lfs.sha256 for sibling in told.siblings if sibling.lfs}) == 30
    assert api.get_safetensors_metadata("a/huge").parameter_count == {"BF16": told.safetensors.total}


# Branches, tags, pull requests


def test_branches_and_tags(api, repo):
    first = api.upload_file(path_or_fileobj=b"one", path_in_repo="f.txt", repo_id=repo).oid
    api.create_branch(repo, branch="dev/new")
    api.create_tag(repo, tag="v1", revision=first)
    second = api.upload_file(path_or_fileobj=b"two", path_in_repo="f.txt", repo_id=repo, revision="dev/new").oid
    told = api.list_repo_refs(repo)
    assert {branch.name: branch.target_commit for branch in told.branches} == {"main": first, "dev/new": second}
    assert [(tag.name, tag.ref, tag.target_commit) for tag in told.tags] == [("v1", "refs/tags/v1", first)]
    for revision in ("dev/new", "refs/heads/dev/new", second, second[:7]):
        assert api.model_info(repo, revision=revision).sha == second
    assert api.model_info(repo).sha == api.model_info(repo, revision="v1").sha == first
    assert [commit.commit_id for commit in api.list_repo_commits(repo, revision="dev/new")][:2] == [second, first]
    api.delete_branch(repo, branch="dev/new")
    api.delete_tag(repo, tag="v1")
    for gone in ("dev/new", "v1"):
        with pytest.raises(errors.RevisionNotFoundError):
            api.model_info(repo, revision=gone)


def test_a_branch_can_start_at_a_commit_and_exists_once(api, repo):
    first = api.upload_file(path_or_fileobj=b"one", path_in_repo="f.txt", repo_id=repo).oid
    api.upload_file(path_or_fileobj=b"two", path_in_repo="f.txt", repo_id=repo)
    api.create_branch(repo, branch="old", revision=first)
    assert api.model_info(repo, revision="old").sha == first
    with pytest.raises(errors.HfHubHTTPError, match="409"):
        api.create_branch(repo, branch="old")
    api.create_branch(repo, branch="old", exist_ok=True)
    with pytest.raises(errors.RevisionNotFoundError):
        api.create_branch(repo, branch="none", revision="f" * 40)


def test_only_branches_take_commits(api, repo):
    first = api.upload_file(path_or_fileobj=b"one", path_in_repo="f.txt", repo_id=repo).oid
    api.create_tag(repo, tag="v1")
    for revision in ("v1", first):
        with pytest.raises(errors.HfHubHTTPError, match="no branch"):
            api.upload_file(path_or_fileobj=b"two", path_in_repo="f.txt", repo_id=repo, revision=revision)


def test_a_pull_request_is_a_revision(api, server, tmp_path):
    """Somebody else's repository takes proposals, and nothing else."""
    checkpoint_of(tmp_path / "m", {"a": (2, 3)})
    main = server.host("meta/model", tmp_path / "m")
    with pytest.raises(errors.HfHubHTTPError, match="403"):
        api.upload_file(path_or_fileobj=b"x" * 10, path_in_repo="f.txt", repo_id="meta/model")
    for number in (1, 2):
        made = api.upload_file(
            path_or_fileobj=os.urandom(1000), path_in_repo="more.safetensors", repo_id="meta/model", create_pr=True
        )
        assert made.pr_revision == f"refs/pr/{number}"
        told = api.model_info("meta/model", revision=f"refs/pr/{number}")
        assert told.sha == made.oid and "more.safetensors" in {sibling.rfilename for sibling in told.siblings}
    assert api.model_info("meta/model").sha == main
    assert api.list_repo_refs("meta/model").pull_requests is None
    listed = api.list_repo_refs("meta/model", include_pull_requests=True).pull_requests
    assert [request.ref for request in listed] == ["refs/pr/1", "refs/pr/2"]
    path = hf_hub_download(
        "meta/model", "more.safetensors", revision="refs/pr/2", endpoint=server.endpoint, local_dir=tmp_path / "o"
    )
    assert os.path.getsize(path) == 1000


def test_a_converted_copy_can_be_hosted_as_a_pull_request(api, server, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"pickle")
    server.host("a/b", tmp_path / "old")
    checkpoint_of(tmp_path / "new", {"a": (2, 3)})
    sha = server.host("a/b", tmp_path / "new", ref="refs/pr/1")
    assert api.model_info("a/b", revision="refs/pr/1").safetensors.total == 6
    assert api.list_repo_files("a/b") == ["pytorch_model.bin"] and api.model_info("a/b", revision=sha).sha == sha


# Names, gates, visibility


def test_a_renamed_repository_is_found_under_its_old_name(api, server, tmp_path):
    checkpoint_of(tmp_path / "m", {"a": (2, 3)})
    (tmp_path / "m" / "inner").mkdir()
    (tmp_path / "m" / "inner" / "a b.txt").write_text("found")
    sha = server.host("gpt2", tmp_path / "m")
    server.host("gpt2", tmp_path / "m", ref="refs/pr/1")
    server.rename("gpt2", "openai-community/gpt2")
    assert (
        api.model_info("gpt2").id == "openai-community/gpt2" and api.model_info("gpt2", files_metadata=True).sha == sha
    )
    assert api.model_info("gpt2", revision="refs/pr/1").safetensors.total == 6
    assert api.get_paths_info("gpt2", ["inner/a b.txt"])[0].size == 5
    assert api.get_safetensors_metadata("gpt2").parameter_count == {"F16": 6}
    path = hf_hub_download("gpt2", "inner/a b.txt", endpoint=server.endpoint, local_dir=tmp_path / "o")
    assert open(path).read() == "found"
    folder = snapshot_download("gpt2", endpoint=server.endpoint, local_dir=tmp_path / "s", token=False)
    assert os.path.exists(os.path.join(folder, "model.safetensors"))


def test_moving_your_own(api, repo, server):
    api.move_repo(repo, "rehearsal/new")
    api.move_repo("rehearsal/new", "rehearsal/newer")
    assert api.model_info(repo).id == "rehearsal/newer"
    api.upload_file(path_or_fileobj=b"x", path_in_repo="f.txt", repo_id=repo)
    assert "f.txt" in api.list_repo_files("rehearsal/newer")
    api.create_repo(repo)
    assert api.model_info(repo).id == repo, "a new repository takes the old name"
    for to in ("rehearsal/newer", "google/x", "rehearsal/a--b"):
        with pytest.raises(errors.HfHubHTTPError):
            api.move_repo(repo, to)


def test_names_that_the_client_lets_through_are_refused(api, server):
    with pytest.raises(errors.HfHubHTTPError, match="Invalid repository name"):
        api.create_repo("rehearsal/modèle")
    assert not server.repos


@pytest.mark.parametrize("gated, told", [("auto", "auto"), ("manual", "manual"), (True, "manual"), (False, False)])
def test_gates_are_told(api, server, tmp_path, gated, told):
    checkpoint_of(tmp_path / "m", {"a": (2, 3)})
    server.host("meta/gated", tmp_path / "m", gated=gated)
    assert api.model_info("meta/gated").gated == told
    if gated:
        for ask in (api.get_safetensors_metadata, api.auth_check):
            with pytest.raises(errors.GatedRepoError):
                ask("meta/gated")
    server.repos["meta/gated"].let_in.add(server.token)
    assert api.get_safetensors_metadata("meta/gated").parameter_count == {"F16": 6}


def test_visibility_and_gate_can_be_changed(api, server):
    api.create_repo("rehearsal/m", private=True)
    stranger = HfApi(endpoint=server.endpoint, token=False)
    with pytest.raises(errors.RepositoryNotFoundError):
        stranger.model_info("rehearsal/m")
    api.update_repo_settings("rehearsal/m", private=False)
    assert not stranger.model_info("rehearsal/m").private
    api.update_repo_settings("rehearsal/m", gated="auto")
    assert stranger.model_info("rehearsal/m").gated == "auto"
    api.update_repo_settings("rehearsal/m", private=True)
    with pytest.raises(errors.RepositoryNotFoundError):
        stranger.model_info("rehearsal/m")
    with pytest.raises(errors.HfHubHTTPError, match="403"):
        HfApi(endpoint=server.endpoint, token=server.read_token).update_repo_settings("rehearsal/m", private=False)


def test_what_belongs_to_others_cannot_be_changed(api, server, tmp_path):
    checkpoint_of(tmp_path / "m", {"a": (2, 3)})
    server.host("meta/model", tmp_path / "m")
    for change in (
        lambda: api.delete_repo("meta/model"),
        lambda: api.update_repo_settings("meta/model", private=True),
        lambda: api.create_branch("meta/model", branch="x"),
        lambda: api.create_tag("meta/model", tag="x"),
        lambda: api.delete_file("model.safetensors", "meta/model"),
        lambda: api.move_repo("meta/model", "rehearsal/mine"),
    ):
        with pytest.raises(errors.HfHubHTTPError, match="403"):
            change()
    assert "meta/model" in server.repos
