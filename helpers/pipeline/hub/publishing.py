"""Publish files with a model card in one commit, and prove that what stands there is what was sent."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts
from helpers.errors import HubError, InputError
from helpers.pipeline.hub.explain import explained, read_only
from helpers.pipeline.hub.session import Hub, without_xet
from helpers.pipeline.hub.tokens import whoami


@dataclass(frozen=True)
class Published:
    """Where something was published: `revision` is the commit to pin, `files` maps name to SHA-256."""

    repo: str
    url: str
    revision: str
    files: dict[str, str]


def publish(
    here: Hub, name: str, files: list[Path], card: str, private: bool = True, update: bool = False
) -> Published:
    """Create `user/name` and upload files and model card in one commit; return what stands there.

    Rights are checked before the first byte is sent. All files appear together or not at all; after
    an interruption run it again, files that arrived are not sent twice. An existing repository is an
    error unless `update` is true. The checksums that the Hub lists are compared with the files.
    """
    from huggingface_hub import CommitOperationAdd

    repo = f"{here.user}/{name}"
    if whoami(here.endpoint, here.token)["role"] == "read":
        raise read_only(f"{repo} cannot be created")
    absent = [path.name for path in files if not path.is_file()]
    if absent:
        raise InputError(f"There is no {', '.join(absent)} to publish. Make it first (notebook 05).")
    operations = [CommitOperationAdd("README.md", card.encode())]
    operations += [CommitOperationAdd(path.name, str(path)) for path in files]
    with explained(f"publishing {repo}"):
        here.api.create_repo(repo, private=private, exist_ok=update)
        commit = _commit(here, repo, operations, f"Publish {len(files)} files")
    sums = {path.name: artifacts.sha256(path) for path in files}
    with explained(f"checking {repo}"):
        listed = {item.path: item for item in here.api.get_paths_info(repo, list(sums), revision=commit.oid)}
    for path in files:
        expected, found = checksums(path, listed[path.name])
        if found != expected:
            raise HubError(f"The Hub lists another checksum for {path.name} than yours. Upload it again.")
    return Published(repo, f"{here.endpoint}/{repo}", commit.oid, sums)


def _commit(here: Hub, repo: str, operations: list, message: str):
    """Upload and commit; by plain HTTP if the Hub does not speak Xet, or a firewall keeps us from Xet's own servers."""
    if not here.rehearsal:
        with contextlib.suppress(ConnectionError):  # as hf_xet calls it; plain HTTP has other names for its failures
            return here.api.create_commit(repo, operations, commit_message=message)
    with without_xet():
        return here.api.create_commit(repo, operations, commit_message=message)


def keep_receipt(published: Published, here: Hub) -> Path:
    """Note in artifacts/published.json where something was published, for the table of `make run`."""
    path = artifacts.folder() / "published.json"
    receipt = {"repo": published.repo, "revision": published.revision, "rehearsal": here.rehearsal}
    with artifacts.making(path) as temporary:
        temporary.write_text(json.dumps(receipt))
    return path


def checksums(path: Path, listed) -> tuple[str, str]:
    """Return what the Hub lists and what the file has: SHA-256 for large files, git's SHA-1 for small ones."""
    from huggingface_hub.utils.sha import git_hash

    if listed.lfs:
        return listed.lfs.sha256, artifacts.sha256(path)
    return listed.blob_id, git_hash(path.read_bytes())
