"""A Hub to download from and publish to: the real one, or the rehearsal Hub on this machine.

here = hub.connect()                     # says in `here.reason` which Hub it is, and why
hub.publish(here, "my-model", files, card)
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import http.client
import json
import os
import re
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers import artifacts
from helpers.errors import HubError, InputError, ResourceError
from helpers.pipeline.rehearsal import REHEARSAL_TOKEN, RehearsalHub

REAL_ENDPOINT = "https://huggingface.co"
# Where huggingface_hub's network errors come from: requests before 1.0, httpx before 2.0, then httpx2.
CLIENTS = re.compile(r"(httpx|httpcore|requests)\d*(\.|$)")
TOKEN_PAGE = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Hub:
    """A Hub we are logged in to. The token never shows in its repr."""

    endpoint: str
    user: str
    rehearsal: bool
    reason: str
    token: str = field(repr=False)

    @property
    def api(self):
        """The `huggingface_hub.HfApi` of this Hub and token."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token)


@dataclass(frozen=True)
class Published:
    """Where something was published: `revision` is the commit to pin, `files` maps name to SHA-256."""

    repo: str
    url: str
    revision: str
    files: dict[str, str]


# Which Hub


def connect() -> Hub:
    """Log in to the real Hub if it answers and there is a token that may write, else to the rehearsal Hub.

    COURSE_HUB=real or =rehearsal decides instead. Points this process's `huggingface_hub` at the
    chosen Hub, so that calls which take no endpoint go there too. Raises HubError if the real Hub
    is asked for and cannot be used.
    """
    token = find_token() if real_hub_wanted() else None
    me = whoami(REAL_ENDPOINT, token) if token else {"role": None}
    if token is None or (me["role"] == "read" and _choice() == "auto"):
        if _choice() == "real":
            raise HubError(
                "COURSE_HUB=real, but no token was found. Publishing needs to know who you are. Make a token "
                f"with the right to write at {TOKEN_PAGE}, then run `hf auth login` or add it as the "
                "Colab secret HF_TOKEN."
            )
        server = rehearsal()
        _point_client_at(server.endpoint, server.token)
        reason = "your token may only read" if token else "no token was found, so nothing can be published"
        if not real_hub_wanted():
            reason = why_rehearsal()
        return Hub(server.endpoint, "rehearsal", True, reason, server.token)
    if me["role"] == "read":
        raise _read_only("nothing can be published")
    _point_client_at(REAL_ENDPOINT, token)
    return Hub(REAL_ENDPOINT, me["name"], False, "the Hub answers and there is a token", token)


@functools.cache
def rehearsal() -> RehearsalHub:
    """Return this process's rehearsal Hub, started on first use and deleted at exit."""
    import atexit

    artifacts.no_proxy_for_this_machine()
    if "huggingface_hub" in sys.modules:
        from huggingface_hub import close_session

        close_session()  # the next one sees the change
    server = RehearsalHub(artifacts.folder()).start()
    atexit.register(server.stop)
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    _disable_xet()
    return server


def real_hub_wanted() -> bool:
    """Tell whether to use the real Hub: COURSE_HUB decides, else whether it answers."""
    choice = _choice()
    if choice == "auto":
        return not os.environ.get("HF_HUB_OFFLINE") and answers()
    return choice == "real"


def why_rehearsal() -> str:
    """Say why the real Hub is not used."""
    if _choice() == "rehearsal":
        return "COURSE_HUB=rehearsal asks for it"
    return "the Hub is out of reach"


@functools.cache
def answers(endpoint: str = REAL_ENDPOINT, seconds: float = 2.5) -> bool:
    """Tell whether a Hub answers within a few seconds; asked once per process.

    A question in a thread of its own, because looking up a name can hang for minutes and has no
    time-out. A login page of a hotel's network is not taken for the Hub: the answer must be JSON.
    """
    said: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{endpoint}/api/whoami-v2", timeout=seconds) as answer:
                said.append("json" in answer.headers.get("Content-Type", ""))
        except urllib.error.HTTPError as refused:  # 401 is the expected answer without a token
            said.append("json" in refused.headers.get("Content-Type", "") or refused.code == 429)
        except (OSError, ValueError, http.client.HTTPException):
            said.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(said and said[0])


def _choice() -> str:
    choice = os.environ.get("COURSE_HUB") or "auto"
    if choice not in ("auto", "real", "rehearsal"):
        raise InputError(f"Unknown Hub {choice!r}. COURSE_HUB decides it. Choose auto, real or rehearsal.")
    return choice


def _point_client_at(endpoint: str, token: str) -> None:
    """Make `huggingface_hub` talk to `endpoint` with `token`, whether it is imported already or not.

    Both go into this process's environment, because some calls, such as `Llama.from_pretrained`, take
    neither. The helpers that start other programs leave the token out of theirs.
    """
    os.environ["HF_ENDPOINT"] = endpoint
    os.environ["HF_TOKEN"] = token
    if "huggingface_hub" in sys.modules:
        from huggingface_hub import constants, hf_api

        constants.ENDPOINT = endpoint
        constants.HUGGINGFACE_CO_URL_TEMPLATE = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        hf_api.api.endpoint = endpoint


def _disable_xet() -> None:
    """Use plain HTTP uploads: the rehearsal Hub does not speak Xet."""
    if "huggingface_hub" in sys.modules:
        from huggingface_hub import constants

        constants.HF_HUB_DISABLE_XET = True


# Tokens


def find_token() -> str | None:
    """Return the token of the environment, the `hf auth login` file or the Colab vault; None without one."""
    from huggingface_hub import get_token

    with _without_rehearsal_token():
        raw = os.environ.get("HF_TOKEN") or _colab_token() or get_token()
    return clean_token(raw) if raw else None


@contextlib.contextmanager
def _without_rehearsal_token() -> Iterator[None]:
    """Take a rehearsal's token out of the environment for a moment: it opens no other Hub."""
    rehearsed = os.environ.pop("HF_TOKEN") if _rehearses() else None
    try:
        yield
    finally:
        if rehearsed:
            os.environ["HF_TOKEN"] = rehearsed


def _rehearses() -> bool:
    return os.environ.get("HF_TOKEN", "").startswith(REHEARSAL_TOKEN)


def clean_token(raw: str) -> str:
    """Strip the blanks that copying adds; raise HubError for anything that cannot be a token."""
    token = raw.strip()
    if any(character.isspace() for character in token):
        raise HubError(
            "The token has a blank or a line break in its middle. It was probably copied in two pieces. "
            f"Copy it again from {TOKEN_PAGE}; a token is one word that starts with hf_."
        )
    if not token.startswith("hf_") or not token.isascii():
        raise HubError(
            "This is not a token: tokens start with hf_. Perhaps a password or a placeholder was "
            f"pasted. Copy the token from {TOKEN_PAGE}."
        )
    return token


def _colab_token() -> str | None:
    """Read the Colab secret HF_TOKEN once; None if there is none, access was refused, or not on Colab."""
    if "google.colab" not in sys.modules:
        return None
    from google.colab import userdata

    try:
        return userdata.get("HF_TOKEN") or None
    except Exception:  # Colab's own exceptions: missing, refused, timed out
        return None


def whoami(endpoint: str, token: str) -> dict:
    """Return `name` and `role` (read, write, fineGrained) of a token; raise HubError if it is not accepted."""
    from huggingface_hub import HfApi

    with explained("checking the token"):
        me = HfApi(endpoint=endpoint, token=token).whoami()
    return {"name": me["name"], "role": me.get("auth", {}).get("accessToken", {}).get("role", "unknown")}


# Downloading


def download(repo: str, revision: str | None, folder: Path, patterns: tuple[str, ...], endpoint: str) -> None:
    """Download a snapshot into `folder` and verify size and checksum of every file.

    Checks the free disk first. The client goes on where it stopped when a connection breaks, and gives up when the Hub
    no longer answers. Raises HubError or ResourceError with what to do.
    """
    import fnmatch

    from huggingface_hub import HfApi, snapshot_download

    token = download_token(endpoint)
    with explained(f"downloading {repo}"):
        api = HfApi(endpoint=endpoint, token=token)
        info = api.model_info(repo, revision=revision, files_metadata=True)
        wanted = [s for s in info.siblings if any(fnmatch.fnmatch(s.rfilename, p) for p in patterns)]
        artifacts.require_disk(sum(s.size or 0 for s in wanted), folder, repo)
        snapshot_download(
            repo,
            revision=info.sha,
            allow_patterns=list(patterns),
            local_dir=folder,
            endpoint=endpoint,
            token=token,
        )
    for sibling in wanted:
        verify_file(folder / sibling.rfilename, sibling)
    artifacts.remove(folder / ".cache")


def download_token(endpoint: str) -> bool | None:
    """Return what to pass as `token` when downloading: your token (None) to the real Hub only, else none (False)."""
    return None if endpoint == REAL_ENDPOINT and not _rehearses() else False


def verify_file(path: Path, sibling) -> None:
    """Raise HubError unless a file has the size and hash that the Hub lists (a `RepoSibling`)."""
    if not path.is_file() or path.stat().st_size != sibling.size:
        found = path.stat().st_size if path.is_file() else 0
        raise HubError(
            f"{path.name} is {found:,} bytes long, the Hub lists {sibling.size:,}. The download was cut. "
            "Run the cell again."
        )
    expected, found = _checksums(path, sibling)
    if found != expected:
        raise HubError(
            f"{path.name} has checksum {found[:12]}…, the Hub lists {expected[:12]}…. The file was damaged "
            "on the way. Run the cell again to download it anew."
        )


def _checksums(path: Path, listed) -> tuple[str, str]:
    """Return what the Hub lists and what the file has: SHA-256 for large files, git's SHA-1 for small ones."""
    if listed.lfs:
        return listed.lfs.sha256, artifacts.sha256(path)
    data = path.read_bytes()
    return listed.blob_id, hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


# Publishing


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
        raise _read_only(f"{repo} cannot be created")
    absent = [path.name for path in files if not path.is_file()]
    if absent:
        raise InputError(f"There is no {', '.join(absent)} to publish. Make it first (notebook 05).")
    operations = [CommitOperationAdd("README.md", card.encode())]
    operations += [CommitOperationAdd(path.name, str(path)) for path in files]
    with explained(f"publishing {repo}"):
        here.api.create_repo(repo, private=private, exist_ok=update)
        commit = here.api.create_commit(repo, operations, commit_message=f"Publish {len(files)} files")
    sums = {path.name: artifacts.sha256(path) for path in files}
    with explained(f"checking {repo}"):
        listed = {item.path: item for item in here.api.get_paths_info(repo, list(sums), revision=commit.oid)}
    for path in files:
        expected, found = _checksums(path, listed[path.name])
        if found != expected:
            raise HubError(f"The Hub lists another checksum for {path.name} than yours. Upload it again.")
    return Published(repo, f"{here.endpoint}/{repo}", commit.oid, sums)


def keep_receipt(published: Published, here: Hub) -> Path:
    """Note in artifacts/published.json where something was published, for the table of `make run`."""
    path = artifacts.folder() / "published.json"
    receipt = {"repo": published.repo, "revision": published.revision, "rehearsal": here.rehearsal}
    with artifacts.making(path) as temporary:
        temporary.write_text(json.dumps(receipt))
    return path


# Errors


def _read_only(consequence: str) -> HubError:
    return HubError(
        f"The token may read but not write: {consequence}. Nothing was sent. Make a token with the right to write "
        f"at {TOKEN_PAGE}."
    )


def unreachable(consequence: str) -> HubError:
    return HubError(
        f"The Hub does not answer: {consequence}. This machine has no network, a proxy is in the way, or "
        "the Hub is down. Try again later, or work without it: COURSE_MODEL=smollm2 COURSE_HUB=rehearsal."
    )


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn the client's exceptions into one of our errors, which says what happened, why, and what to do."""
    try:
        yield
    except Exception as error:
        translated = explain(error, doing)
        if translated is None:
            raise
        raise translated from error


def explain(error: BaseException, doing: str) -> HubError | ResourceError | None:
    """Return our error for an exception of `huggingface_hub`, or None if it is not one we know."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    text = str(error)
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"Access refused while {doing}: the model is gated. Its owner wants you to ask first. Open its "
            "page, accept the conditions, and try again with your token."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"Not found while {doing}. There is no such repository, or it is private and your token "
            "may not see it. Check the name; log in if it is private."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"Revision not found while {doing}. The commit was removed or mistyped. Check `revision`.")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return HubError(f"File not found while {doing}. The repository has no such file. Check its file list.")
    if status == 401 or "Invalid user token" in text:
        return HubError(
            f"The Hub does not know the token (401) while {doing}. It was mistyped, revoked or has expired. "
            f"Make a new one at {TOKEN_PAGE}."
        )
    if status == 403:
        return HubError(
            f"The token lacks a right (403) while {doing}. It is read-only, fine-grained without this "
            f"repository, or the name belongs to somebody else. Nothing was changed. Check it at {TOKEN_PAGE}."
        )
    if status == 409:
        return HubError(
            f"The name is taken (409) while {doing}. You already have a repository of that name. Choose "
            "another name, or pass update=True to add a commit to it."
        )
    if status == 429:
        return HubError(f"Too many requests (429) while {doing}. The Hub asks you to wait. Try again in some minutes.")
    if status and status >= 500:
        return HubError(
            f"The Hub failed ({status}) while {doing}. The fault is on its side. Nothing is damaged: run "
            "the cell again in a minute."
        )
    network = (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError, TimeoutError)
    if isinstance(error, network) or CLIENTS.match(type(error).__module__):
        return HubError(
            f"The connection broke while {doing}. The network is down or was cut. Nothing is damaged: run the cell "
            "again."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ResourceError(
            f"The disk filled up while {doing}. Nothing half-done was kept. Free some space, or set COURSE_ARTIFACTS "
            "to a folder on a larger disk."
        )
    if error.__cause__ is not None:  # the client wraps what happens inside an upload in a RuntimeError
        return explain(error.__cause__, doing)
    return None
