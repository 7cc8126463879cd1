"""Publish files with a model card in one commit, and prove that what stands there is what was sent."""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts
from helpers.errors import CourseError, HubError, InputError, ResourceError
from helpers.pipeline import gguf_file
from helpers.pipeline.hub import preflight
from helpers.pipeline.hub.card import gaps
from helpers.pipeline.hub.explain import explained, read_only
from helpers.pipeline.hub.gate import Gate
from helpers.pipeline.hub.session import Hub, without_xet
from helpers.pipeline.hub.tokens import whoami

FREE_PRIVATE = 100e9  # bytes that a free account may keep privately; the Hub's documentation, "Storage limits"


@dataclass(frozen=True)
class Published:
    """Where something was published: `revision` is the commit to pin, `files` maps name to SHA-256.

    `notes` are sentences about what could be better, and why it stayed private if it was to be public.
    """

    repo: str
    url: str
    revision: str
    files: dict[str, str]
    private: bool = True
    notes: tuple[str, ...] = ()


def publish(
    here: Hub,
    name: str,
    files: Iterable[Path | str],
    card: str,
    private: bool = True,
    update: bool = False,
    gates: Iterable[Gate] | Gate | None = None,
) -> Published:
    """Create `user/name` and upload files and model card in one commit; return what stands there.

    Name, files, card and rights are checked before anything is made there. All files appear together or not at all;
    after an interruption run it again, files that arrived are not sent twice. An existing repository is an
    error unless `update` is true. The checksums that the Hub lists are compared with the files.

    `private=False` asks to make it public, which is the last step: the licence must allow it (else InputError), and
    every GGUF needs a `Gate` that it passed; otherwise everything stays private, and `notes` say why.
    """
    repo = preflight.require_name(here.user, name)
    sent = preflight.require_files(files)
    head = preflight.require_card(card, private)
    if not private and gates is None:
        raise InputError(
            f"{repo} would be public, and nothing says that its files work. Only files that passed the gate are made "
            "public. Pass gates=[gate.check(path, …)], or publish privately."
        )
    if whoami(here.endpoint, here.token)["role"] == "read":
        raise read_only(f"{repo} cannot be created")
    with explained(f"preparing {repo}"):
        sums = {path.name: artifacts.sha256(path) for path in sent}
        against = [] if private else closed(sent, sums, [gates] if isinstance(gates, Gate) else list(gates))
        preflight.ask_the_hub(here.endpoint, here.token, card)
    new = _require_room(here, repo, update, private or bool(against))
    try:
        revision = _send(here, repo, sent, card)
        if not private and not against:
            with explained(f"making {repo} public"):
                here.api.update_repo_settings(repo, private=False)
    except CourseError as error:
        if not new:
            raise
        raise type(error)(f"{error} {_left_behind(here, repo, error)}") from error
    stays = [f"It stays private, as {' '.join(against)}"] if against else []
    public = not private and not against
    return Published(repo, f"{here.endpoint}/{repo}", revision, sums, not public, (*stays, *_notes(sent, head)))


def closed(sent: list[Path], sums: dict[str, str], gates: list[Gate]) -> list[str]:
    """Return why files must not be public yet, a sentence for each GGUF that did not pass as it is now."""
    passed = {name: checksum for gate in gates if gate.passed for name, checksum in gate.files.items()}
    said = {name: gate.verdict for gate in gates if not gate.passed for name in gate.files}
    reasons = []
    for path in sent:
        if path.suffix.lower() == ".gguf" and passed.get(path.name) != sums[path.name]:
            unknown = "was changed since it passed the gate." if path.name in passed else "was not at the gate."
            reasons.append(said.get(path.name, f"{path.name} {unknown}"))
    return list(dict.fromkeys(reasons))


def _require_room(here: Hub, repo: str, update: bool, private: bool) -> bool:
    """Make the repository, private until its files were checked; return whether it is new."""
    with explained(f"publishing {repo}"):
        new = not here.api.repo_exists(repo)
        here.api.create_repo(repo, private=True, exist_ok=update)
        if private and not new and not here.api.model_info(repo).private:
            raise InputError(
                f"{repo} is public already, and these files are to be private or did not pass the gate. There "
                "everybody would see them at once. Choose another name, or make it private on its page first."
            )
    return new


def _send(here: Hub, repo: str, files: list[Path], card: str) -> str:
    """Upload everything in one commit, compare the checksums, and return the commit's hash."""
    from huggingface_hub import CommitOperationAdd

    with explained(f"publishing {repo}"):
        operations = [CommitOperationAdd("README.md", card.encode())]
        operations += [CommitOperationAdd(path.name, str(path)) for path in files]
        commit = _commit(here, repo, operations, f"Publish {len(files)} files")
    names = [path.name for path in files]
    with explained(f"checking {repo}"):
        listed = {item.path: item for item in here.api.get_paths_info(repo, names, revision=commit.oid)}
    for path in files:
        if path.name not in listed:
            raise HubError(f"The Hub does not list {path.name}, which was sent. It was lost there. Upload it again.")
        found, expected = checksums(path, listed[path.name])
        if found != expected:
            raise HubError(f"The Hub lists another checksum for {path.name} than yours. Upload it again.")
    return commit.oid


def _commit(here: Hub, repo: str, operations: list, message: str):
    """Upload and commit; by plain HTTP if the Hub does not speak Xet, or a firewall keeps us from Xet's own servers."""
    if not here.rehearsal:
        with contextlib.suppress(ConnectionError):  # as hf_xet calls it; plain HTTP has other names for its failures
            return here.api.create_commit(repo, operations, commit_message=message)
    with without_xet():
        return here.api.create_commit(repo, operations, commit_message=message)


def _left_behind(here: Hub, repo: str, error: CourseError) -> str:
    """Say what stands in a repository that this call made, and delete it if a refusal left it empty.

    After a broken connection it is kept: what arrived is there, and would have to be sent again.
    """
    try:
        with explained(f"looking at {repo}"):
            empty = set(here.api.list_repo_files(repo)) <= {".gitattributes"}
            if empty and _refused(error):
                here.api.delete_repo(repo)
                return f"The empty repository {repo}, which was made for it, was deleted again."
    except CourseError:
        return f"The repository {repo} was made and is private; whether files are in it is not known. See its page."
    if empty:
        return (
            f"{repo} was made; it is private and shows no files. Pass update=True now: what arrived is not sent again."
        )
    return f"{repo} holds the files now and is private. Pass update=True to publish into it again."


def _refused(error: BaseException | None) -> bool:
    """Tell whether the Hub said no, in contrast to one that failed or was not reached."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status or isinstance(error, ValueError):  # as which the client reports what it refuses by itself
            return not status or (400 <= status < 500 and status != 429)
        error = error.__cause__
    return False


def _notes(sent: list[Path], head: dict) -> list[str]:
    firsts = dict.fromkeys(preflight.parts(path)[0] for path in sent if path.suffix.lower() == ".gguf")
    notes = [note for path in firsts for note in gaps(gguf_file.summary(path), head)]
    total = sum(path.stat().st_size for path in sent)
    if total > FREE_PRIVATE:
        size, most = artifacts.size_text(total), artifacts.size_text(FREE_PRIVATE)
        notes.append(f"These are {size}; a free account may keep {most} private.")
    return notes


def keep_receipt(published: Published, here: Hub, proof=None) -> Path:
    """Note in artifacts/published.json where something was published, for the table of `make run`.

    proof: the `Proof` that stands on its card, whose verdict is noted, too.
    """
    receipt = {"repo": published.repo, "revision": published.revision, "rehearsal": here.rehearsal}
    receipt |= {"private": published.private, "proof": proof.verdict if proof else ""}
    try:
        path = artifacts.folder() / "published.json"
        with artifacts.making(path) as temporary:
            temporary.write_text(json.dumps(receipt))
    except OSError as error:
        raise ResourceError(
            f"{published.repo} is published at {published.revision}, only the note of it could not be written: "
            f"{error.strerror}. Set COURSE_ARTIFACTS to a folder that you may write to."
        ) from error
    return path


def checksums(path: Path, listed) -> tuple[str, str]:
    """Return what the Hub lists and what the file has: SHA-256 for large files, git's SHA-1 for small ones."""
    from huggingface_hub.utils.sha import git_hash

    if listed.lfs:
        return listed.lfs.sha256, artifacts.sha256(path)
    return listed.blob_id, git_hash(path.read_bytes())
