"""Contents on their way: uploads through Git LFS, in one piece or in parts, and downloads."""

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse

from helpers.pipeline.rehearsal.access import commit_of, refused, repo_of, require_let_in, require_write, store_of


async def batch(request: Request) -> JSONResponse:
    """Say where each content is to be sent; one that is there already needs no sending."""
    wanted = await request.json()
    require_write(request)
    repo_of(request)
    in_parts = "multipart" in wanted.get("transfers", [])
    answers, multipart = [], False
    for item in wanted["objects"]:
        answer = {"oid": item["oid"], "size": item["size"]}
        if not store_of(request).content(item["oid"]).exists():
            url, chunk = f"{request.base_url}lfs/{item['oid']}", request.app.state.chunk
            upload: dict = {"href": url, "header": {"Authorization": request.headers["Authorization"]}}
            if item["size"] > request.app.state.multipart_over and in_parts:
                multipart = True
                parts = -(-item["size"] // chunk)
                urls = {str(n): f"{url}/{n}" for n in range(1, parts + 1)}
                upload = {"href": f"{url}/complete", "header": {"chunk_size": str(chunk), **urls}}
            answer["actions"] = {"upload": upload, "verify": {"href": f"{request.base_url}lfs/verify"}}
        answers.append(answer)
    return JSONResponse({"transfer": "multipart" if multipart else "basic", "objects": answers})


async def upload(request: Request) -> JSONResponse:
    """Take a content, or one part of it, piece by piece to disk. The ETag of a part is its name there."""
    path = store_of(request).new_part()
    try:
        with open(path, "wb") as file:
            async for piece in request.stream():
                file.write(piece)
    except ClientDisconnect:
        path.unlink(missing_ok=True)
        raise
    if "part" not in request.path_params:
        await _keep(request, path)
    return JSONResponse({}, headers={"ETag": f'"{path.name}"'})


async def complete(request: Request) -> JSONResponse:
    """Join the parts in the order in which the client names them, by the ETags that it was given."""
    store = store_of(request)
    named = [part["etag"].strip('"') for part in (await request.json())["parts"]]
    parts = [store.folder / Path(name).name for name in named]
    if not all(part.is_file() for part in parts):
        raise refused(400, "Parts are missing")
    await _keep(request, await run_in_threadpool(store.join, parts))
    return JSONResponse({})


async def _keep(request: Request, path: Path) -> None:
    """Keep a whole content, or refuse it: its checksum is part of the address it was sent to."""
    if not await run_in_threadpool(store_of(request).keep, path, request.path_params["sha256"]):
        raise refused(400, "The content does not have the announced checksum")


async def verify(request: Request) -> JSONResponse:
    """Tell whether a content arrived with its size."""
    wanted = await request.json()
    path = store_of(request).content(wanted["oid"])
    if not path.exists() or path.stat().st_size != wanted["size"]:
        raise refused(404, "Object not found")
    return JSONResponse({})


class _Pieces(FileResponse):
    """Starlette's answer with a file, which knows HEAD and Range, read in fewer and larger pieces."""

    chunk_size = 2**18


async def resolve(request: Request) -> FileResponse:
    """Answer GET and HEAD; the headers carry the revision and the checksum, which the client compares."""
    commit, path = commit_of(request), request.path_params["path"]
    require_let_in(request)
    stored = commit.files.get(path)
    if stored is None:
        raise refused(404, f"Entry not found: {path}", "EntryNotFound")
    headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{stored.etag}"'}
    if stored.lfs:
        headers |= {"X-Linked-Etag": f'"{stored.etag}"', "X-Linked-Size": str(stored.size)}
    content = store_of(request).content(stored.sha256)
    return _Pieces(content, headers=headers, media_type="application/octet-stream")
