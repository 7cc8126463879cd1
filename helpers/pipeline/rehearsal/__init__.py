"""A Hub on your own machine: enough of the Hugging Face Hub's protocol for its real client.

A class has no accounts on day one and tests have no network, so publishing is rehearsed against
this server. It listens on 127.0.0.1 only, keeps its files in a temporary folder, forgets everything
when it stops, and needs nothing but the standard library. The calls, the errors and the checksums
are those of `huggingface_hub`; what you learn here works unchanged on the real Hub.

    with RehearsalHub() as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        api.create_repo("rehearsal/my-model")
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

USER = "rehearsal"
REHEARSAL_TOKEN = "hf_rehearsal"  # how the tokens of all rehearsal Hubs begin
LARGE = 10 * 2**20  # the Hub's own limit: larger files go through LFS
LFS_ENDINGS = (".gguf", ".safetensors", ".bin", ".model", ".parquet", ".zip")


@dataclass(frozen=True)
class StoredFile:
    """One file of one commit; `oid` is git's blob hash, `sha256` is also the name of its content."""

    size: int
    oid: str
    sha256: str
    lfs: bool


@dataclass
class Commit:
    """One state of a repository: every file it has, by name."""

    oid: str
    title: str
    files: dict[str, StoredFile]


@dataclass
class Repo:
    """A repository and its commits, the oldest first."""

    private: bool
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)


@dataclass
class Fault:
    """A failure to inject: answer `status`, or cut the connection after `after` bytes of the body."""

    method: str
    pattern: str
    status: int | None = None
    after: int | None = None
    times: int = 1


class RehearsalHub:
    """The server. Use it as a context manager, or call `start()` and `stop()`.

    `token` may write, `read_token` may only read. `multipart_over` and `chunk` decide from which
    size on, and in pieces of how many bytes, an LFS upload is split, as the real Hub does at 5 GB.
    """

    def __init__(self, root: Path | None = None, multipart_over: int = 64 * 2**20, chunk: int = 16 * 2**20):
        import tempfile

        self.root = Path(root) if root else Path(tempfile.gettempdir())
        self.multipart_over, self.chunk = multipart_over, chunk
        self.token = REHEARSAL_TOKEN + "write" + secrets.token_hex(8)
        self.read_token = REHEARSAL_TOKEN + "read" + secrets.token_hex(8)
        self.roles = {self.token: "write", self.read_token: "read"}
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.log: list[str] = []  # "PUT /lfs/…": what the client asked for, without headers
        self.lock = threading.RLock()
        self.uploads: dict[str, dict[int, Path]] = {}
        self._hosted: dict[str, Path] = {}  # contents that stay where they are on disk
        self._server = None

    # Starting and stopping

    def start(self) -> RehearsalHub:
        """Listen on a free port of 127.0.0.1."""
        from helpers.pipeline.rehearsal.protocol import Handler, Server

        self._folder = self.root / f"rehearsal-hub-{os.getpid()}-{secrets.token_hex(4)}"
        _remove_abandoned(self.root)
        (self._folder / "objects").mkdir(parents=True)
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.hub = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and delete everything that was uploaded."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            shutil.rmtree(self._folder, ignore_errors=True)

    __enter__ = start

    def __exit__(self, *exc) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # What is stored

    def host(self, repo_id: str, source: Path, gated: bool = False) -> str:
        """Offer the files of a folder as a public repository, without copying; return its commit hash."""
        files = {}
        for path in sorted(p for p in Path(source).rglob("*") if p.is_file()):
            name = path.relative_to(source).as_posix()
            stored = self.describe(path, name)
            self._hosted[stored.sha256] = path
            files[name] = stored
        with self.lock:
            self.repos[repo_id] = Repo(private=False, gated=gated)
            return self.commit(repo_id, files, "hosted from this machine").oid

    def commit(self, repo_id: str, files: dict[str, StoredFile], title: str) -> Commit:
        """Append a commit. Its hash depends on content and history only, never on the clock."""
        history = self.repos[repo_id].commits
        parent = history[-1].oid if history else ""
        tree = json.dumps([repo_id, parent, title, sorted((name, f.sha256) for name, f in files.items())])
        made = Commit(hashlib.sha1(tree.encode()).hexdigest(), title, files)
        history.append(made)
        return made

    def content(self, sha256: str) -> Path:
        """Return the path of a stored content."""
        return self._hosted.get(sha256) or self._folder / "objects" / sha256

    def store(self, data: bytes, name: str) -> StoredFile:
        """Store a small file and describe it."""
        part = self.new_part()
        part.write_bytes(data)
        stored = self.describe(part, name)
        os.replace(part, self._folder / "objects" / stored.sha256)
        return stored

    def keep(self, part: Path, sha256: str, size: int) -> bool:
        """Move a finished upload to its place if its checksum and size are as announced."""
        with open(part, "rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != sha256 or part.stat().st_size != size:
            part.unlink()
            return False
        os.replace(part, self._folder / "objects" / sha256)
        return True

    def new_part(self) -> Path:
        return self._folder / f"part-{secrets.token_hex(8)}"

    @staticmethod
    def describe(path: Path, name: str) -> StoredFile:
        """Return size and hashes of a file under the name it will have."""
        size = path.stat().st_size
        blob, content = hashlib.sha1(b"blob %d\0" % size), hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(2**20):
                blob.update(piece)
                content.update(piece)
        return StoredFile(size, blob.hexdigest(), content.hexdigest(), is_lfs(name, size))

    # Faults, for tests and for the lesson on interrupted uploads

    def fail(self, method: str, pattern: str, status: int, times: int = 1) -> None:
        """Answer the next `times` requests whose path matches `pattern` with an error status."""
        self.faults.append(Fault(method, pattern, status=status, times=times))

    def cut(self, method: str, pattern: str, after: int, times: int = 1) -> None:
        """Cut the connection after `after` bytes of the request's (PUT) or answer's (GET) body."""
        self.faults.append(Fault(method, pattern, after=after, times=times))

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and re.search(fault.pattern, path):
                    fault.times -= 1
                    return fault
        return None


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
