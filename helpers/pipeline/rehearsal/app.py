"""The rehearsal Hub as a Starlette app: which path leads to which endpoint.

The protocol is read from the source of `huggingface_hub`. A repository is `owner/name` or `name`.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from helpers.pipeline.rehearsal import lfs, repos
from helpers.pipeline.rehearsal.access import RefusedError, refusal
from helpers.pipeline.rehearsal.faults import Faults
from helpers.pipeline.rehearsal.player import Player
from helpers.pipeline.rehearsal.resolve import resolve
from helpers.pipeline.rehearsal.store import Store


def make_app(store: Store, faults: Faults, log: list[str], multipart_over: int, chunk: int) -> Starlette:
    """Return the app. LFS uploads above `multipart_over` bytes come in pieces of `chunk` bytes."""
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Player, faults=faults, log=log), Middleware(AsSent)],
        exception_handlers={
            RefusedError: lambda request, refused: refusal(refused),
            ClientDisconnect: lambda request, gone: Response(),  # nobody is there to read it
            404: _unknown,
            405: _unknown,
        },
    )
    app.state.store, app.state.multipart_over, app.state.chunk = store, multipart_over, chunk
    return app


class AsSent:
    """Match routes against the path as it was sent: revisions may hold an escaped slash."""

    def __init__(self, app: Callable):
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        await self.app({**scope, "path": scope["raw_path"].decode()}, receive, send)


class _Segment(Convertor):
    """What stands between two slashes; the kinds below span some of them."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value)


class _Repo(_Segment):
    regex = "[^/]+(?:/[^/]+)?"


class _File(_Segment):
    regex = ".+"


class _Checksum(_Segment):
    regex = "[0-9a-f]{64}"


for kind, convertor in {"repo": _Repo, "rev": _Segment, "file": _File, "sha256": _Checksum}.items():
    register_url_convertor(kind, convertor())


async def _unknown(request: Request, error: Exception) -> Response:
    asked = f"{request.method} {unquote(request.url.path)}"
    return refusal(RefusedError(404, f"The rehearsal Hub does not speak {asked}"))


API = "/api/models/{repo:repo}"
ROUTES = [
    Route("/api/whoami-v2", repos.whoami),
    Route("/api/repos/create", repos.create, methods=["POST"]),
    Route("/api/repos/delete", repos.delete, methods=["DELETE"]),
    Route("/api/validate-yaml", repos.validate_card, methods=["POST"]),
    Route(API + "/revision/{rev:rev}", repos.info),
    Route(API + "/tree/{rev:rev}", repos.tree),
    Route(API + "/tree/{rev:rev}/{path:file}", repos.tree),
    Route(API + "/paths-info/{rev:rev}", repos.paths_info, methods=["POST"]),
    Route(API + "/preupload/{rev:rev}", repos.preupload, methods=["POST"]),
    Route(API + "/commit/{rev:rev}", repos.make_commit, methods=["POST"]),
    Route(API + "/refs", repos.refs),
    Route(API + "/commits/{rev:rev}", repos.commits),
    Route(API + "/auth-check", repos.auth_check),
    Route(API, repos.info),  # last, because "name/refs" could be a repository, too
    Route("/{repo:repo}.git/info/lfs/objects/batch", lfs.batch, methods=["POST"]),
    Route("/lfs/{sha256:sha256}", lfs.upload, methods=["PUT"]),
    Route("/lfs/{sha256:sha256}/{part:int}", lfs.upload, methods=["PUT"]),
    Route("/lfs/{sha256:sha256}/complete", lfs.complete, methods=["POST"]),
    Route("/lfs/verify", lfs.verify, methods=["POST"]),
    Route("/{repo:repo}/resolve/{rev:rev}/{path:file}", resolve),
]
