"""Who may do what, and how a refusal is answered: in the headers X-Error-Code and X-Error-Message."""

import string
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from helpers.pipeline.rehearsal.store import Commit, Repo, Store


def refused(status: int, message: str, code: str = "") -> HTTPException:
    """Return what to raise: an answer from whose status and headers the client makes an exception of its own."""
    headers = {"X-Error-Message": quote(message, safe=string.printable[:-5])} | ({"X-Error-Code": code} if code else {})
    return HTTPException(status, message, headers)


def refusal(raised: HTTPException) -> JSONResponse:
    """Answer as the Hub does, in JSON."""
    return JSONResponse({"error": raised.detail}, raised.status_code, raised.headers)


def store_of(request: Request) -> Store:
    return request.app.state.store


def token_of(request: Request) -> str | None:
    """Return the token that came with the request, None without one; refuse one that we never gave out."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        return None
    if token not in store_of(request).roles:
        raise refused(401, "Invalid credentials in Authorization header")
    return token


def require_role(request: Request) -> str:
    """Return "read" or "write"; refuse who sent no token."""
    token = token_of(request)
    if token is None:
        raise refused(401, "Invalid username or password.")
    return store_of(request).roles[token]


def require_write(request: Request) -> None:
    """Refuse a token that may only read, and no token."""
    if require_role(request) != "write":
        raise refused(403, "This token is read-only: it does not have the right to write.")


def repo_of(request: Request, repo_id: str | None = None) -> Repo:
    """Return the repository named in the path; one that is hidden looks like one that does not exist."""
    repo = store_of(request).repos.get(repo_id or request.path_params["repo"])
    token = token_of(request)
    if repo is None or (repo.private and token is None):
        raise refused(401 if token is None else 404, "Repository not found", "RepoNotFound")
    return repo


def commit_of(request: Request) -> Commit:
    """Return the commit that the path names by branch or by at least seven digits of its hash; else the last."""
    repo, revision = repo_of(request), request.path_params.get("rev", "main")
    if revision in ("main", "HEAD"):
        return repo.commits[-1]
    for commit in repo.commits:
        if commit.oid.startswith(revision) and len(revision) >= 7:
            return commit
    raise refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def require_let_in(request: Request) -> None:
    """Refuse who was not let into a gated repository."""
    repo, token = repo_of(request), token_of(request)
    if repo.gated and token not in repo.let_in:
        status = 401 if token is None else 403
        raise refused(status, "Access to this model is restricted: ask for it on its page.", "GatedRepo")
