"""Uploads of large files through Git LFS, in one piece or in parts."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from helpers.pipeline.rehearsal.access import RefusedError, repo_of, require_write, store_of

WRONG_CHECKSUM = "The content does not have the announced checksum"


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
    """Take a content, or one part of it, piece by piece to disk."""
    store, sha256 = store_of(request), request.path_params["sha256"]
    path = store.new_part()
    try:
        with open(path, "wb") as file:
            async for piece in request.stream():
                file.write(piece)
    except ClientDisconnect:
        path.unlink(missing_ok=True)
        raise
    if "part" in request.path_params:
        store.keep_part(sha256, request.path_params["part"], path)
    elif not await run_in_threadpool(store.keep, path, sha256):
        raise RefusedError(400, WRONG_CHECKSUM)
    return JSONResponse({}, headers={"ETag": f'"{path.name}"'})


async def complete(request: Request) -> JSONResponse:
    """Join the parts in order; the client names every part with the ETag it was given."""
    store, sha256 = store_of(request), request.path_params["sha256"]
    named = [part["etag"].strip('"') for part in (await request.json())["parts"]]
    parts = store.take_parts(sha256)
    if named != [part.name for part in parts]:
        raise RefusedError(400, "Parts are missing or in the wrong order")
    if not await run_in_threadpool(store.join, parts, sha256):
        raise RefusedError(400, WRONG_CHECKSUM)
    return JSONResponse({})


async def verify(request: Request) -> JSONResponse:
    """Tell whether a content arrived with its size."""
    wanted = await request.json()
    path = store_of(request).content(wanted["oid"])
    if not path.exists() or path.stat().st_size != wanted["size"]:
        raise RefusedError(404, "Object not found")
    return JSONResponse({})
