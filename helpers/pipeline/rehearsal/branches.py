"""Endpoints for branches, tags and pull requests: names for commits beside the main branch."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from helpers.pipeline.rehearsal.access import commit_of, history_of, refused, repo_of, require_write, store_of


async def refs(request: Request) -> JSONResponse:
    """List them; pull requests only if they are asked for."""
    repo = repo_of(request)
    heads = {"refs/heads/main": repo.commits, **repo.refs}
    told: dict[str, list] = {"branches": [], "tags": [], "converts": []}
    kinds = {"refs/heads/": "branches", "refs/tags/": "tags"}
    if request.query_params.get("include_prs"):
        kinds["refs/pr/"] = "pullRequests"
        told["pullRequests"] = []
    for ref, commits in heads.items():
        for prefix, kind in kinds.items():
            if ref.startswith(prefix):
                name = ref if kind == "pullRequests" else ref.removeprefix(prefix)
                told[kind].append({"name": name, "ref": ref, "targetCommit": commits[-1].oid})
    return JSONResponse(told)


async def make_branch(request: Request) -> JSONResponse:
    """Start a branch at a revision, by default at the last commit of the main one."""
    start = (await request.json()).get("startingPoint", "main") if await request.body() else "main"
    return _keep(request, f"refs/heads/{request.path_params['rev']}", start)


async def make_tag(request: Request) -> JSONResponse:
    """Give a revision a name that stays with it."""
    return _keep(request, f"refs/tags/{(await request.json())['tag']}", request.path_params["rev"])


def _keep(request: Request, ref: str, start: str) -> JSONResponse:
    require_write(request, request.path_params["repo"])
    request.path_params["rev"] = start
    with store_of(request).lock:
        repo, commits = repo_of(request), history_of(request)
        if ref == "refs/heads/main" or ref in repo.refs:
            raise refused(409, f"Reference already exists: {ref}")
        repo.refs[ref] = list(commits)
    return JSONResponse({})


async def delete_branch(request: Request) -> JSONResponse:
    return _delete(request, f"refs/heads/{request.path_params['rev']}")


async def delete_tag(request: Request) -> JSONResponse:
    return _delete(request, f"refs/tags/{request.path_params['rev']}")


def _delete(request: Request, ref: str) -> JSONResponse:
    require_write(request, request.path_params["repo"])
    if repo_of(request).refs.pop(ref, None) is None:
        raise refused(404, f"Invalid rev id: {ref}", "RevisionNotFound")
    return JSONResponse({})


def branch_of(request: Request) -> str:
    """Return the name under which a commit to the revision in the path is kept: only branches take commits."""
    revision, repo = request.path_params["rev"], repo_of(request)
    commit_of(request)
    if revision in ("main", "HEAD", "refs/heads/main"):
        return "main"
    for ref in (revision, f"refs/heads/{revision}"):
        if ref in repo.refs and not ref.startswith("refs/tags/"):
            return ref
    raise refused(400, f"{revision} is no branch, so that no commit can be added to it")


def new_pull_request(request: Request) -> str:
    """Return the name of the next pull request."""
    numbers = [int(ref.removeprefix("refs/pr/")) for ref in repo_of(request).refs if ref.startswith("refs/pr/")]
    return f"refs/pr/{max(numbers, default=0) + 1}"
