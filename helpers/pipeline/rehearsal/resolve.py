"""Downloads: one file of one revision, whole or a range of its bytes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse

from helpers.pipeline.rehearsal.access import RefusedError, commit_of, require_let_in, store_of


class _Pieces(FileResponse):
    """Starlette's answer with a file, which knows HEAD and Range, read in fewer and larger pieces."""

    chunk_size = 2**18


async def resolve(request: Request) -> FileResponse:
    """Answer GET and HEAD; the headers carry the revision and the checksum, which the client compares."""
    commit, path = commit_of(request), request.path_params["path"]
    require_let_in(request)
    stored = commit.files.get(path)
    if stored is None:
        raise RefusedError(404, f"Entry not found: {path}", "EntryNotFound")
    headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{stored.sha256 if stored.lfs else stored.oid}"'}
    if stored.lfs:
        headers |= {"X-Linked-Etag": f'"{stored.sha256}"', "X-Linked-Size": str(stored.size)}
    content = store_of(request).content(stored.sha256)
    return _Pieces(content, headers=headers, media_type="application/octet-stream")
