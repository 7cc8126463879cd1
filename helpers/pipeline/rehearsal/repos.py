"""Endpoints for repositories: who I am, create and delete, what is in one, and commits to it."""

import base64
import json
import urllib.parse

import yaml
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from helpers.pipeline.rehearsal.about import about, metadata
from helpers.pipeline.rehearsal.access import (
    commit_of,
    refused,
    repo_of,
    require_let_in,
    require_role,
    require_write,
    store_of,
)
from helpers.pipeline.rehearsal.store import USER, Commit, Store, StoredFile, describe, is_lfs

POINTER_SIZE = 134  # of the text that git keeps in place of a file in LFS


async def whoami(request: Request) -> JSONResponse:
    token = {"displayName": "rehearsal token", "role": require_role(request)}
    return JSONResponse({"type": "user", "name": USER, "orgs": [], "auth": {"accessToken": token}})


async def create(request: Request) -> JSONResponse:
    wanted = await request.json()
    require_write(request)
    owner = wanted.get("organization") or USER
    if owner != USER:
        raise refused(403, f"You don't have the rights to create a model under the namespace {owner!r}")
    repo_id = f"{owner}/{wanted['name']}"
    url = f"{request.base_url}{repo_id}"
    private = wanted.get("private") or wanted.get("visibility") == "private"
    if await run_in_threadpool(store_of(request).create, repo_id, bool(private)):
        return JSONResponse({"url": url, "name": repo_id})
    taken = "You already created this model repo"
    return JSONResponse({"error": taken, "url": url}, 409, {"X-Error-Message": taken})


async def delete(request: Request) -> JSONResponse:
    wanted = await request.json()
    require_write(request)
    repo_id = f"{wanted.get('organization') or USER}/{wanted['name']}"
    repo_of(request, repo_id)
    del store_of(request).repos[repo_id]
    return JSONResponse({})


async def validate_card(request: Request) -> JSONResponse:
    """Refuse a card whose metadata is missing or broken; the client asks before it commits a README.md."""
    try:
        found = metadata((await request.json()).get("content", ""))
        problem = "The card does not start with a block of YAML metadata" if found is None else ""
    except yaml.YAMLError as error:
        problem = f"The card's YAML metadata is broken: {error}"
    errors = [{"message": problem}] if problem else []
    return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)


# What is in a repository


async def info(request: Request) -> JSONResponse:
    commit, repo, name = commit_of(request), repo_of(request), request.path_params["repo"]
    siblings = [
        {"rfilename": path, "size": stored.size, "blobId": stored.oid, **_lfs(stored)}
        for path, stored in sorted(commit.files.items())
    ]
    told = {"_id": name, "id": name, "modelId": name, "sha": commit.oid, "private": repo.private}
    told |= {"gated": "manual" if repo.gated else False, "siblings": siblings}
    return JSONResponse(told | await run_in_threadpool(about, store_of(request), commit))


async def tree(request: Request) -> JSONResponse:
    """List a folder, folders first; with ?recursive all files below it."""
    recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
    path = request.path_params.get("path", "")
    prefix = path.rstrip("/") + "/" if path else ""
    items, folders = [], set()
    for name, stored in sorted(commit_of(request).files.items()):
        if name.startswith(prefix):
            folder, inside, _ = name[len(prefix) :].partition("/")
            if inside:
                folders.add(prefix + folder)
            if recursive or not inside:
                items.append(_tree_item(name, stored))
    folder_items = [{"type": "directory", "path": f, "size": 0, "oid": "0" * 40} for f in sorted(folders)]
    return JSONResponse(folder_items + items)


async def paths_info(request: Request) -> JSONResponse:
    """Describe the files that are named, as JSON or, by older clients, as a form."""
    if "json" in request.headers.get("Content-Type", ""):
        wanted = (await request.json())["paths"]
    else:
        wanted = urllib.parse.parse_qs((await request.body()).decode()).get("paths", [])
    files = commit_of(request).files
    return JSONResponse([_tree_item(name, files[name]) for name in wanted if name in files])


def _tree_item(name: str, stored: StoredFile) -> dict:
    return {"type": "file", "path": name, "size": stored.size, "oid": stored.oid, **_lfs(stored)}


def _lfs(stored: StoredFile) -> dict:
    """Describe a content that git keeps by a pointer only; `model_info` and a tree name its checksum differently."""
    told = {"oid": stored.sha256, "sha256": stored.sha256, "size": stored.size, "pointerSize": POINTER_SIZE}
    return {"lfs": told} if stored.lfs else {}


async def refs(request: Request) -> JSONResponse:
    branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit_of(request).oid}
    return JSONResponse({"branches": [branch], "tags": [], "converts": []})


async def commits(request: Request) -> JSONResponse:
    commit_of(request)
    day = "2026-01-01T00:00:00.000Z"  # the rehearsal Hub has no clock: its history is reproducible
    listed = [
        {"id": c.oid, "title": c.title, "message": "", "authors": [{"user": USER}], "date": day}
        for c in reversed(repo_of(request).commits)
    ]
    return JSONResponse(listed, headers={"X-Total-Count": str(len(listed))})


async def auth_check(request: Request) -> JSONResponse:
    require_let_in(request)
    return JSONResponse({})


# Commits


async def preupload(request: Request) -> JSONResponse:
    """Say for each file whether it goes through LFS or into the commit itself."""
    files = (await request.json())["files"]
    require_write(request)
    present = commit_of(request).files
    answers = []
    for file in files:
        mode = "lfs" if is_lfs(file["path"], file["size"]) else "regular"
        answer = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
        if stored := present.get(file["path"]):
            # The client compares: unchanged files make no second commit.
            answer["oid"] = stored.etag
        answers.append(answer)
    return JSONResponse({"files": answers})


async def make_commit(request: Request) -> JSONResponse:
    """Add a commit from lines of JSON: a header, then what to add and what to delete."""
    lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
    require_write(request)
    name = request.path_params["repo"]
    made = await run_in_threadpool(_apply, store_of(request), request, lines)
    url = f"{request.base_url}{name}/commit/{made.oid}"
    return JSONResponse({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def _apply(store: Store, request: Request, lines: list[dict]) -> Commit:
    with store.lock:  # the parent, too: another commit may just be made
        files = dict(commit_of(request).files)
        title = "commit"
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    title = value["summary"]
                case "file":
                    data = value["content"]
                    data = base64.b64decode(data) if value.get("encoding") == "base64" else data.encode()
                    files[value["path"]] = store.add(data, value["path"])
                case "lfsFile":
                    path = store.content(value["oid"])
                    if not path.exists():
                        raise refused(400, f"LFS object {value['oid']} was never uploaded")
                    files[value["path"]] = describe(path, value["path"])
                case "deletedFile":
                    if files.pop(value["path"], None) is None:
                        raise refused(404, f"No file {value['path']}", "EntryNotFound")
                case "deletedFolder":
                    prefix = value["path"].rstrip("/") + "/"
                    files = {name: f for name, f in files.items() if not name.startswith(prefix)}
        return store.commit(request.path_params["repo"], files, title)
