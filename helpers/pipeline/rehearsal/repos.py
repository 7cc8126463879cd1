"""Endpoints for repositories: who I am, create and delete, what is in one, and commits to it."""

import base64
import json
import urllib.parse

import yaml
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from helpers.pipeline.hub_rules import card_problems, front_matter, name_problem
from helpers.pipeline.rehearsal.about import about
from helpers.pipeline.rehearsal.access import (
    commit_of,
    history_of,
    refused,
    repo_of,
    require_let_in,
    require_role,
    require_write,
    store_of,
)
from helpers.pipeline.rehearsal.branches import branch_of, new_pull_request
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
    if problem := name_problem(repo_id):
        raise refused(400, f"Invalid repository name {repo_id!r}: {problem}")
    url = f"{request.base_url}{repo_id}"
    private = wanted.get("private") or wanted.get("visibility") == "private"
    if await run_in_threadpool(store_of(request).create, repo_id, bool(private)):
        return JSONResponse({"url": url, "name": repo_id})
    taken = "You already created this model repo"
    return JSONResponse({"error": taken, "url": url}, 409, {"X-Error-Message": taken})


async def delete(request: Request) -> JSONResponse:
    wanted = await request.json()
    repo_id = f"{wanted.get('organization') or USER}/{wanted['name']}"
    require_write(request, repo_id)
    repo_of(request, repo_id)
    del store_of(request).repos[repo_id]
    return JSONResponse({})


async def move(request: Request) -> JSONResponse:
    """Rename a repository."""
    wanted = await request.json()
    old, new = wanted["fromRepo"], wanted["toRepo"]
    for name in (old, new):
        require_write(request, name)
    if problem := name_problem(new):
        raise refused(400, f"Invalid repository name {new!r}: {problem}")
    repo_of(request, old)
    if not store_of(request).rename(old, new):
        raise refused(409, "This name is taken")
    return JSONResponse({})


async def settings(request: Request) -> JSONResponse:
    """Change who sees a repository, and who gets its files."""
    wanted = await request.json()
    require_write(request, request.path_params["repo"])
    repo = repo_of(request)
    if "visibility" in wanted or "private" in wanted:  # the second from older clients
        repo.private = wanted["visibility"] == "private" if "visibility" in wanted else wanted["private"]
    repo.gated = wanted.get("gated", repo.gated)
    return JSONResponse({"private": repo.private, "gated": repo.gated})


async def validate_card(request: Request) -> JSONResponse:
    """Refuse a card whose metadata is missing or broken; the client asks before it commits a README.md."""
    try:
        found = front_matter((await request.json()).get("content", ""))
        missing = "The card does not start with a block of YAML metadata"
        problems = [missing] if found is None else card_problems(found)
    except yaml.YAMLError as error:
        problems = [f"The card's YAML metadata is broken: {error}"]
    errors = [{"message": problem} for problem in problems]
    return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)


# What is in a repository


async def info(request: Request) -> JSONResponse:
    commit, repo, name = commit_of(request), repo_of(request), request.path_params["repo"]
    sizes = request.query_params.get("blobs", "").lower() in ("true", "1")
    siblings = [
        {"rfilename": path} | ({"size": stored.size, "blobId": stored.oid, **_lfs(stored)} if sizes else {})
        for path, stored in sorted(commit.files.items())
    ]
    told = {"_id": name, "id": name, "modelId": name, "sha": commit.oid, "private": repo.private}
    told |= {"gated": "manual" if repo.gated is True else repo.gated, "siblings": siblings}
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


async def commits(request: Request) -> JSONResponse:
    day = "2026-01-01T00:00:00.000Z"  # the rehearsal Hub has no clock: its history is reproducible
    listed = [
        {"id": c.oid, "title": c.title, "message": "", "authors": [{"user": USER}], "date": day}
        for c in reversed(history_of(request))
    ]
    return JSONResponse(listed, headers={"X-Total-Count": str(len(listed))})


async def auth_check(request: Request) -> JSONResponse:
    require_let_in(request)
    return JSONResponse({})


# Commits


async def preupload(request: Request) -> JSONResponse:
    """Say for each file whether it goes through LFS or into the commit itself."""
    files = (await request.json())["files"]
    proposed = request.query_params.get("create_pr")
    require_write(request, None if proposed else request.path_params["repo"])
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
    """Add a commit from lines of JSON: a header, then what to add and what to delete. Anybody may propose one."""
    lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
    name, proposed = request.path_params["repo"], request.query_params.get("create_pr")
    require_write(request, None if proposed else name)
    made, ref = await run_in_threadpool(_apply, store_of(request), request, lines, bool(proposed))
    answer = {"success": True, "commitOid": made.oid, "commitUrl": f"{request.base_url}{name}/commit/{made.oid}"}
    if proposed:
        answer["pullRequestUrl"] = f"{request.base_url}{name}/discussions/{ref.rpartition('/')[2]}"
    return JSONResponse(answer | {"hookOutput": ""})


def _apply(store: Store, request: Request, lines: list[dict], proposed: bool) -> tuple[Commit, str]:
    with store.lock:  # the parent, too: another commit may just be made
        ref = new_pull_request(request) if proposed else branch_of(request)
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
        return store.commit(request.path_params["repo"], files, title, ref), ref
