"""Read single files of a repository, or only their beginnings, before anything is downloaded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from helpers.errors import HubError
from helpers.pipeline.hub.explain import explained

PATIENCE = 20.0  # seconds without a byte
DISLIKED = (400, 405, 416, 501)  # how servers answer a request for a part, if they know none


class Repository:
    """One commit of a repository: its files by name and size, as the Hub lists them, and their contents on demand.

    `repo` is the name that it has today (a renamed repository answers under its old one, too), `commit` the hash that
    the branch or tag stood for when it was asked. `received` counts the bytes that came. A shelf for
    `checkpoint.examine`. Raises HubError.
    """

    def __init__(self, endpoint: str, repo: str, revision: str | None, token: str | bool = False):
        from huggingface_hub import HfApi

        self.endpoint, self._token = endpoint, token
        with explained(f"looking at {repo}"):
            api = HfApi(endpoint=endpoint, token=token)
            info = api.model_info(repo, revision=revision, files_metadata=True, timeout=PATIENCE)
        self.repo, self.commit = info.id or repo, info.sha or revision
        self.title = self.repo
        self.gated = bool(info.gated)
        self.tags = tuple(info.tags or ())
        self.pipeline = info.pipeline_tag
        self.files: dict[str, int | None] = {
            sibling.rfilename: sibling.size for sibling in info.siblings or () if not _is_hidden(sibling.rfilename)
        }
        counted = getattr(info.safetensors, "total", None)
        self.parameters: int | None = counted if isinstance(counted, int) else None
        self.received = 0
        self._kept: dict[str, bytes] = {}

    def data(self, name: str, most: int | None = None) -> bytes:
        """Return a file's content, or its first `most` bytes; whole ones are kept. Raises HubError.

        A Hub that does not know ranges sends the whole file: reading stops when there is enough.
        """
        if name not in self._kept:
            start = self._get(name, most)
            if most is not None and len(start) >= most:
                return start[:most]
            self._kept[name] = start
        return self._kept[name][:most]

    def place(self, name: str) -> Path:
        """Return the file's name: it has no path on this machine yet."""
        return Path(name)

    def _get(self, name: str, most: int | None) -> bytes:
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

        url = hf_hub_url(self.repo, name, revision=self.commit, endpoint=self.endpoint)
        plain = build_hf_headers(token=self._token) | {"Accept-Encoding": "identity"}  # sizes are those of the files
        attempts = [plain | {"Range": f"bytes=0-{most - 1}"}, plain] if most else [plain]
        for headers in attempts:
            with explained(f"reading {name} of {self.repo}"):
                with get_session().stream("GET", url, headers=headers, timeout=PATIENCE) as answer:
                    if answer.status_code in DISLIKED and headers is not plain:
                        continue  # once more without a range
                    if answer.status_code >= 400:
                        answer.read()
                    hf_raise_for_status(answer)
                    content = _first(answer.iter_bytes(), most)
            break
        self.received += len(content)
        size = self.files.get(name)
        if size is not None and len(content) < min(size, most or size):
            raise HubError(
                f"{name} of {self.repo} came with {len(content):,} bytes, the Hub lists {size:,}. The connection was "
                "cut, or the file is being replaced. Nothing is damaged: run the cell again."
            )
        return content


def _first(pieces: Iterable[bytes], most: int | None) -> bytes:
    """Join pieces until there are `most` bytes."""
    kept, size = [], 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        if most is not None and size >= most:
            break
    return b"".join(kept)


def _is_hidden(name: str) -> bool:
    return bool(re.search(r"(^|/)\.", name))
