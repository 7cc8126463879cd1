"""What a Hub keeps: repositories, their commits, and contents under their checksums. Knows no HTTP.

<root>/rehearsal-hub-<process>-<random>/
    objects/<sha256>     contents
    part-<random>        uploads that are not finished
"""

import hashlib
import io
import json
import os
import secrets
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from helpers import artifacts

USER = "rehearsal"  # whose namespace the tokens may write to
LARGE = 10 * 2**20  # the Hub's own limit: larger files go through LFS
LFS_ENDINGS = (".gguf", ".safetensors", ".bin", ".model", ".parquet", ".zip")


@dataclass(frozen=True)
class StoredFile:
    """One file of one commit; `oid` is git's blob hash, `sha256` is also the name of its content."""

    size: int
    oid: str
    sha256: str
    lfs: bool

    @property
    def etag(self) -> str:
        """The one of the two by which the client compares."""
        return self.sha256 if self.lfs else self.oid


@dataclass
class Commit:
    """One state of a repository: every file it has, by name."""

    oid: str
    title: str
    files: dict[str, StoredFile]


@dataclass
class Repo:
    """A repository and its commits, the oldest first. A gated one opens to the tokens in `let_in`.

    `refs` holds the commits of everything but the main branch: refs/heads/x, refs/tags/x, refs/pr/1.
    """

    private: bool
    gated: bool | str = False  # auto, manual
    let_in: set[str] = field(default_factory=set)
    commits: list[Commit] = field(default_factory=list)
    refs: dict[str, list[Commit]] = field(default_factory=dict)

    def history(self, revision: str) -> list[Commit] | None:
        """Return the commits up to a branch, a tag, a pull request, or at least seven digits of a hash."""
        if revision in ("main", "HEAD", "refs/heads/main"):
            return self.commits
        for prefix in ("", "refs/heads/", "refs/tags/"):
            if found := self.refs.get(prefix + revision):
                return found
        for commits in (self.commits, *self.refs.values()):
            for n, commit in enumerate(commits, 1):
                if commit.oid.startswith(revision) and len(revision) >= 7:
                    return commits[:n]
        return None


class Store:
    """Repositories by name, tokens and their roles, and a folder of contents between `open` and `close`."""

    folder: Path

    def __init__(self):
        self.repos: dict[str, Repo] = {}
        self.roles: dict[str, str] = {}  # token → "write" or "read"
        self.renamed: dict[str, str] = {}  # an old name → the new one
        self.lock = threading.RLock()
        self._hosted: dict[str, Path] = {}  # contents that stay where they are on disk

    def open(self, root: Path) -> None:
        """Make a folder of its own in `root`, and delete those that killed processes left there."""
        self.folder = root / f"rehearsal-hub-{os.getpid()}-{secrets.token_hex(4)}"
        _remove_abandoned(root)
        (self.folder / "objects").mkdir(parents=True)

    def close(self) -> None:
        """Delete everything that was uploaded."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # Repositories

    def create(self, repo_id: str, private: bool) -> bool:
        """Make a repository with one commit; return False if the name is taken."""
        with self.lock:
            if repo_id in self.repos:
                return False
            self.repos[repo_id] = Repo(private)
            self.commit(repo_id, {".gitattributes": self.add(b"", ".gitattributes")}, "initial commit")
            return True

    def host(self, repo_id: str, source: Path, gated: bool | str, ref: str, hashed: bool) -> str:
        """Offer the files of a folder, see `RehearsalHub.host`."""
        files = {}
        for path in sorted(p for p in Path(source).rglob("*") if p.is_file()):
            name = path.relative_to(source).as_posix()
            files[name] = stored = describe(path, name, hashed)
            self._hosted[stored.sha256] = path
        with self.lock:
            if ref == "main":
                self.repos[repo_id] = Repo(private=False, gated=gated)
            return self.commit(repo_id, files, "hosted from this machine", ref).oid

    def rename(self, old: str, new: str) -> bool:
        """Give a repository another name; return False if that is taken."""
        with self.lock:
            if new in self.repos:
                return False
            self.repos[new] = self.repos.pop(old)
            self.renamed[old] = new
            return True

    def commit(self, repo_id: str, files: dict[str, StoredFile], title: str, ref: str = "main") -> Commit:
        """Append a commit to a branch. Its hash depends on content and history only, never on the clock."""
        repo = self.repos[repo_id]
        history = repo.commits if ref == "main" else repo.refs.setdefault(ref, list(repo.commits))
        parent = history[-1].oid if history else ""
        tree = json.dumps([repo_id, parent, title, sorted((name, f.sha256) for name, f in files.items())])
        made = Commit(hashlib.sha1(tree.encode()).hexdigest(), title, files)
        history.append(made)
        return made

    # Contents

    def content(self, sha256: str) -> Path:
        """Return where a content is, or would be if it were stored."""
        return self._hosted.get(sha256) or self.folder / "objects" / sha256

    def add(self, data: bytes, name: str) -> StoredFile:
        """Store a small file and describe it."""
        part = self.new_part()
        part.write_bytes(data)
        stored = describe(part, name)
        os.replace(part, self.folder / "objects" / stored.sha256)
        return stored

    def new_part(self) -> Path:
        """Return a path for something that is not finished."""
        return self.folder / f"part-{secrets.token_hex(8)}"

    def keep(self, part: Path, sha256: str) -> bool:
        """Move a finished upload to its place; False, and it is deleted, if its checksum is not as announced."""
        if artifacts.sha256(part) != sha256:
            part.unlink()
            return False
        os.replace(part, self.folder / "objects" / sha256)
        return True

    def join(self, parts: list[Path]) -> Path:
        """Put the parts of an upload into one file, in this order."""
        whole = self.new_part()
        with open(whole, "wb") as out:
            for part in parts:
                with open(part, "rb") as piece:
                    shutil.copyfileobj(piece, out)
                part.unlink()
        return whole


def describe(path: Path, name: str, hashed: bool = True) -> StoredFile:
    """Return size and hashes of a file under the name it will have; if not `hashed`, of its path instead of it."""
    size = path.stat().st_size
    blob, content = hashlib.sha1(b"blob %d\0" % size), hashlib.sha256()
    with open(path, "rb") if hashed else io.BytesIO(f"{path} {size}".encode()) as file:
        while piece := file.read(2**20):
            blob.update(piece)
            content.update(piece)
    return StoredFile(size, blob.hexdigest(), content.hexdigest(), is_lfs(name, size))


def is_lfs(name: str, size: int) -> bool:
    """Tell whether the Hub would keep this file in LFS rather than in git."""
    return size > LARGE or name.endswith(LFS_ENDINGS)


def _remove_abandoned(root: Path) -> None:
    """Delete the folders of rehearsal Hubs whose process was killed."""
    for folder in root.glob("rehearsal-hub-*-*"):
        try:
            os.kill(int(folder.name.split("-")[2]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):
            pass  # somebody else's, or not ours at all
