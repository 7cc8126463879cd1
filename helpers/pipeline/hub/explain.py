"""Every failure of `huggingface_hub` as one of our errors: what happened, why, what to do."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from helpers.errors import HubError, ResourceError

TOKEN_PAGE = "https://huggingface.co/settings/tokens"
# Where huggingface_hub's network errors come from: requests before 1.0, httpx before 2.0, then httpx2.
CLIENTS = re.compile(r"(httpx|httpcore|requests)\d*(\.|$)")
# Folders and files that may not be used, names that are too long, a file where a folder is due, and the reverse.
UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR)


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
    if status and 400 <= status < 500:
        words = " ".join((getattr(error, "server_message", None) or text).split())[:300]
        return HubError(
            f"The Hub refused ({status}) while {doing}. It says: {words} Nothing was changed by this step. Correct "
            "what it names, and run the cell again."
        )
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
    if isinstance(error, OSError) and "Consistency check failed" in text:  # the client's own, of no type of its own
        return HubError(
            f"A file has another size than the Hub lists (while {doing}). It was cut or changed on the way or at its "
            "source. Nothing half-done was kept: run the cell again."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ResourceError(
            f"The disk filled up while {doing}. Nothing half-done was kept. Free some space, or set COURSE_ARTIFACTS "
            "to a folder on a larger disk."
        )
    if isinstance(error, OSError) and error.errno in UNUSABLE:
        where = f" {Path(os.fsdecode(error.filename)).name[:60]}" if isinstance(error.filename, str | bytes) else ""
        return ResourceError(
            f"The disk refused{where} while {doing}: {error.strerror}. A folder is read-only or somebody else's, or a "
            "name is too long for it. Use another folder (COURSE_ARTIFACTS), or a shorter name."
        )
    if error.__cause__ is not None:  # the client wraps what happens inside an upload in a RuntimeError
        return explain(error.__cause__, doing)
    return None


def read_only(consequence: str) -> HubError:
    """Return the error for a token that may only read."""
    return HubError(
        f"The token may read but not write: {consequence}. Nothing was sent. Make a token with the right to write "
        f"at {TOKEN_PAGE}."
    )


def unreachable(consequence: str) -> HubError:
    """Return the error for a Hub that does not answer."""
    return HubError(
        f"The Hub does not answer: {consequence}. This machine has no network, a proxy is in the way, or "
        "the Hub is down. Try again later, or work without it: COURSE_MODEL=smollm2 COURSE_HUB=rehearsal."
    )
