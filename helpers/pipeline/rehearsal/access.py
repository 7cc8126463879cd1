"""Who may do what, and how a refusal is answered: in the headers X-Error-Code and X-Error-Message."""

import re
import string
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from helpers.pipeline.rehearsal.store import USER, Commit, Repo, Store


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


def require_write(request: Request, repo_id: str | None = None) -> None:
    """Refuse a token that may only read, no token, and a repository of somebody else."""
    if require_role(request) != "write":
        raise refused(403, "This token is read-only: it does not have the right to write.")
    if repo_id and not repo_id.startswith(f"{USER}/"):
        raise refused(403, f"Forbidden: pass `create_pr=1` to propose a change to {repo_id}, which is not yours.")


def repo_of(request: Request, repo_id: str | None = None) -> Repo:
    """Return the repository named in the path; one that is hidden looks like one that does not exist."""
    name = repo_id or request.path_params["repo"]
    repo, renamed = store_of(request).repos.get(name), store_of(request).renamed.get(name)
    token = token_of(request)
    if repo is None and renamed:
        path = re.sub(f"^(/api/models)?/{re.escape(name)}", rf"\1/{renamed}", request.scope["path"])
        query = f"?{request.url.query}" if request.url.query else ""
        raise HTTPException(307, f"Renamed to {renamed}", {"Location": path + query})  # relative: the client insists
    if repo is None or (repo.private and token is None):
        raise refused(401 if token is None else 404, "Repository not found", "RepoNotFound")
    return repo


def history_of(request: Request) -> list[Commit]:
    """Return the commits up to the one that the path names; without a revision all of the main branch."""
    revision = request.path_params.get("rev", "main")
    found = repo_of(request).history(revision)
    if not found:
        raise refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return found


def commit_of(request: Request) -> Commit:
    """Return the commit that the path names."""
    return history_of(request)[-1]


def require_let_in(request: Request) -> None:
    """Refuse who was not let into a gated repository."""
    repo, token = repo_of(request), token_of(request)
    if repo.gated and token not in repo.let_in:
        status = 401 if token is None else 403
        raise refused(status, "Access to this model is restricted: ask for it on its page.", "GatedRepo")
