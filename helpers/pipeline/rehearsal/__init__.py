"""A Hub on your own machine: enough of the Hugging Face Hub's protocol for its real client.

A class has no accounts on day one and tests have no network, so publishing is rehearsed against
this server. It listens on 127.0.0.1 only, keeps its files in a temporary folder and forgets everything
when it stops. The calls, the errors and the checksums are those of `huggingface_hub`; what you
learn here works unchanged on the real Hub.

    with RehearsalHub() as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        api.create_repo("rehearsal/my-model")

`store` keeps repositories and contents and knows no HTTP, `access` says who may do what, `about` reads cards and
weights, `repos`, `branches` and `transfers` are the endpoints, `faults` plays failures in front of them, `app` puts it
on a port.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

from helpers.pipeline.rehearsal.faults import Fault
from helpers.pipeline.rehearsal.store import USER, Store

__all__ = ["REHEARSAL_TOKEN", "USER", "RehearsalHub"]

REHEARSAL_TOKEN = "hf_rehearsal"  # how the tokens of all rehearsal Hubs begin


class RehearsalHub:
    """The server. Use it as a context manager, or call `start()` and `stop()`.

    `token` may write, `read_token` may only read. `multipart_over` and `chunk` decide from which
    size on, and in pieces of how many bytes, an LFS upload is split, as the real Hub does at 5 GB.
    """

    def __init__(self, root: Path | None = None, multipart_over: int = 64 * 2**20, chunk: int = 16 * 2**20):
        self.root = Path(root or tempfile.gettempdir())
        self.multipart_over, self.chunk = multipart_over, chunk
        self.store = Store()
        self.repos, self.roles = self.store.repos, self.store.roles
        self.token = REHEARSAL_TOKEN + "write" + secrets.token_hex(8)
        self.read_token = REHEARSAL_TOKEN + "read" + secrets.token_hex(8)
        self.roles |= {self.token: "write", self.read_token: "read"}
        self.faults: list[Fault] = []
        self.log: list[str] = []  # "PUT /lfs/…": what the client asked for, without headers
        self._listener = None

    def start(self) -> RehearsalHub:
        """Listen on a free port of 127.0.0.1."""
        from helpers.pipeline.rehearsal.app import Listener, make_app  # loads the HTTP libraries

        self.store.open(self.root)
        self._listener = Listener(make_app(self.store, self.faults, self.log, self.multipart_over, self.chunk))
        return self

    def stop(self) -> None:
        """Stop listening and delete everything that was uploaded."""
        if self._listener:
            self._listener.close()
            self._listener = None
            self.store.close()

    __enter__ = start

    def __exit__(self, *exc) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        return self._listener.endpoint

    def host(
        self, repo_id: str, source: Path, gated: bool | str = False, ref: str = "main", hashed: bool = True
    ) -> str:
        """Offer the files of a folder as a public repository, without copying; return its commit hash.

        gated: "auto" or "manual" (True) closes the files to tokens that are not in `repos[repo_id].let_in`. ref: a
        branch, tag or pull request of a repository that is there, such as "refs/pr/1". With `hashed=False` files are
        not read, and their checksums are made up: for checkpoints of hundreds of gigabytes that hold holes.
        """
        return self.store.host(repo_id, source, gated, ref, hashed)

    def rename(self, old: str, new: str) -> None:
        """Give a repository another name; the old one leads to it from now on."""
        self.store.rename(old, new)

    def fail(self, method: str, pattern: str, status: int, times: int = 1) -> None:
        """Answer the next `times` requests whose path matches `pattern` with an error status."""
        self.faults.append(Fault(method, pattern, status=status, times=times))

    def cut(self, method: str, pattern: str, after: int, times: int = 1) -> None:
        """Cut the connection after `after` bytes of the request's (PUT) or answer's (GET) body."""
        self.faults.append(Fault(method, pattern, after=after, times=times))
