"""What stands behind MODEL: a folder, or a repository of the Hub. Decided from the text alone, before any request.

names.read("owner/name@v1.0", "https://huggingface.co")     # Repository(repo='owner/name', revision='v1.0')
names.read("https://huggingface.co/owner/name/tree/v1.0", …)    # the same
names.read("~/models/mine", …)                              # PosixPath('/home/ada/models/mine')
"""

from __future__ import annotations

import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts
from helpers.errors import InputError

HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
# Repositories of the Hub's first years that are still called by a single name; all others have an owner.
SINGLE = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2")
PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
REVISION = r"[A-Za-z0-9_][A-Za-z0-9_./+-]{0,199}"
PAGES = ("tree", "blob", "resolve", "raw", "commit", "commits", "discussions", "edit", "blame")  # below a repository
OTHERS = {"datasets": "a dataset", "spaces": "a space (a program)", "collections": "a collection", "papers": "a paper"}
FORMS = "owner/name, owner/name@revision, a model page's address, or a folder that exists"


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub, and the branch, tag or commit that was asked for (None: its main branch)."""

    repo: str
    revision: str | None = None


def read(given: str | os.PathLike, endpoint: str) -> Path | Repository:
    """Return the folder or the repository that `given` means; a folder that exists comes first.

    endpoint: the address of the Hub in use, whose pages are understood, too. Raises InputError for anything else.
    """
    text = _text(given)
    if folder := _folder(text):
        return folder
    host = (urllib.parse.urlsplit(endpoint).netloc or endpoint).lower()
    if address := re.match(r"(?:([a-z][a-z0-9+.-]*)://)?([^/\s]+\.[^/\s]+|[^/\s]+:\d+)/(.*)", text, re.I | re.S):
        scheme, where, path = address.groups()
        if scheme or where.lower() in (*HOSTS, host):
            return _page(text, (scheme or "https").lower(), where.lower(), path, host)
    if text.startswith("hf://"):
        text = text.removeprefix("hf://").removeprefix("models/").strip("/")
    repo, at, revision = text.partition("@")
    return repository(repo, revision if at else None, text)


def repository(repo: str, revision: str | None, text: str) -> Repository:
    """Return a repository whose names are possible ones; `text` is what was given, for the message."""
    if re.match(r"[./~]|[A-Za-z]:[\\/]", text) or "\\" in text:
        raise InputError(
            f"There is no folder {text!r}. Looked for it from {Path.cwd()} and from the course's own folder. Check the "
            "path; a model of the Hub is written owner/name."
        )
    if repo.split("/")[0] in OTHERS:
        raise InputError(_other(text, repo.split("/")[0]))
    if repo.count("/") > 1:
        raise InputError(f"{text!r} is no model's name. It has more than one slash. Choose {FORMS}.")
    for part in repo.split("/"):
        if not re.fullmatch(PART, part) or ".." in part or "--" in part or part.endswith((".git", ".ipynb")):
            raise InputError(
                f"{text!r} is no model's name. Names on the Hub are made of letters, digits, '-', '_' and '.', and "
                f"{part!r} cannot be one. Choose {FORMS}."
            )
    if len(repo) > 96:
        raise InputError(f"{text[:40]!r}… is no model's name. Names on the Hub have 96 characters at most. Check it.")
    if revision is not None and (not re.fullmatch(REVISION, revision) or ".." in revision or revision.endswith("/")):
        raise InputError(
            f"{text!r} has a revision that cannot be one: {revision!r}. After @ comes a branch, a tag or a commit. "
            "Leave it out, with its @, for the newest state."
        )
    return Repository(repo, revision)


def _other(text: str, kind: str) -> str:
    return (
        f"{text!r} is {OTHERS[kind]}. Only models can be converted. Open the page of a model: its address is the "
        "Hub's, then owner/name."
    )


def _text(given: object) -> str:
    """Return what was given as one line without the blanks and quotes that pasting adds."""
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"{given!r} is no model. It is not a text but {type(given).__name__}. Choose {FORMS}.")
    text = os.fspath(given)
    text = text.strip().strip("'\"`").strip() if isinstance(text, str) else os.fsdecode(text)
    if not text:
        raise InputError(f"No model was named. The text is empty. Choose {FORMS}.")
    if not text.isprintable():
        raise InputError(
            f"{text!r} is no model's name. It holds characters that cannot be printed, such as a line break. "
            "Copy it again, as one line."
        )
    return text


def _folder(text: str) -> Path | None:
    """Return an existing folder, seen from here or from the course's: notebooks and `make` run in different ones."""
    try:
        given = Path(text.removeprefix("file://")).expanduser()
        for path in (given, artifacts.ROOT / given):
            if path.exists():
                break
        else:
            return None
    except (OSError, RuntimeError, ValueError):  # a name too long for this system, a home that nobody has
        return None
    if not path.is_dir():
        raise InputError(_file(path))
    return path.resolve()


def _file(path: Path) -> str:
    if path.suffix == ".gguf":
        return (
            f"{path.name} is a GGUF file. It is converted already, and only the original model can be converted. Open "
            "it with runtime.load(path), or name the model it was made from."
        )
    return f"{path.name} is a file. A model is a folder with several files. Name the folder that it lies in."


def _page(text: str, scheme: str, where: str, path: str, host: str) -> Repository:
    """Return the repository whose page was pasted."""
    if scheme not in ("http", "https") or where.rpartition("@")[2] not in (*HOSTS, host):
        raise InputError(
            f"{text!r} is no page of the Hub. Models come from there ({host}) or from a folder on this machine. "
            f"Choose {FORMS}."
        )
    parts = [urllib.parse.unquote(part) for part in re.split(r"[?#]", path)[0].split("/") if part]
    if parts[:2] == ["api", "models"]:
        parts = parts[2:]
    if parts and parts[0] in OTHERS:
        raise InputError(_other(text, parts[0]))
    size = 1 if len(parts) == 1 or (parts[1:2] and parts[1] in PAGES) else 2
    name, rest = "/".join(parts[:size]), parts[size:]
    if not name:
        raise InputError(f"{text!r} is no model's page. The owner and the name are missing. Choose {FORMS}.")
    name, at, revision = name.partition("@")
    if rest[:1] and rest[0] in ("tree", "blob", "resolve", "raw", "commit", "blame"):
        wide = 3 if rest[1:2] == ["refs"] else 1  # refs/pr/7
        revision, inside = "/".join(rest[1 : 1 + wide]), rest[1 + wide :]
        at = bool(revision)
        if rest[0] == "tree" and inside:
            raise InputError(
                f"{text!r} is a folder inside a repository. Weights are taken from its top level only, because copies "
                f"often lie below. Download {'/'.join(inside)!r} by hand and name the folder on this machine."
            )
    return repository(name, revision if at else None, text)
