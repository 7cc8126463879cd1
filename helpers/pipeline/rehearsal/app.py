"""The rehearsal Hub as a Starlette app, which path leads to which endpoint, and the port that the app listens on.

The protocol is read from the source of `huggingface_hub`. A repository is `owner/name` or `name`.
"""

import asyncio
import logging
import socket
import threading
import time
from urllib.parse import unquote

import uvicorn
from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from helpers.pipeline.rehearsal import branches, repos, transfers
from helpers.pipeline.rehearsal.access import refusal, refused
from helpers.pipeline.rehearsal.faults import Fault, Player
from helpers.pipeline.rehearsal.store import Store

DAY = 24 * 3600  # seconds


def make_app(store: Store, faults: list[Fault], log: list[str], multipart_over: int, chunk: int) -> Starlette:
    """Return the app. LFS uploads above `multipart_over` bytes come in pieces of `chunk` bytes."""
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Player, faults=faults, log=log)],
        exception_handlers={
            HTTPException: lambda request, raised: refusal(raised),
            ClientDisconnect: lambda request, gone: Response(),  # nobody is there to read it
        },
    )
    app.state.store, app.state.multipart_over, app.state.chunk = store, multipart_over, chunk
    return app


class _Part(StringConvertor):
    """A part of a path, unescaped."""

    def __init__(self, regex: str):
        self.regex = regex

    def convert(self, value: str) -> str:
        return unquote(value)


KINDS = {"repo": "[^/]+(?:/[^/]+)?", "rev": "[^/]+", "file": ".+", "sha256": "[0-9a-f]{64}"}
for kind, regex in KINDS.items():
    register_url_convertor(kind, _Part(regex))


async def unknown(request: Request) -> Response:
    raise refused(404, f"The rehearsal Hub does not speak {request.method} {unquote(request.url.path)}")


API = "/api/models/{repo:repo}"
ROUTES = [
    Route("/api/whoami-v2", repos.whoami),
    Route("/api/repos/create", repos.create, methods=["POST"]),
    Route("/api/repos/delete", repos.delete, methods=["DELETE"]),
    Route("/api/repos/move", repos.move, methods=["POST"]),
    Route("/api/validate-yaml", repos.validate_card, methods=["POST"]),
    Route(API + "/revision/{rev:rev}", repos.info),
    Route(API + "/tree/{rev:rev}", repos.tree),
    Route(API + "/tree/{rev:rev}/{path:file}", repos.tree),
    Route(API + "/paths-info/{rev:rev}", repos.paths_info, methods=["POST"]),
    Route(API + "/preupload/{rev:rev}", repos.preupload, methods=["POST"]),
    Route(API + "/commit/{rev:rev}", repos.make_commit, methods=["POST"]),
    Route(API + "/refs", branches.refs),
    Route(API + "/branch/{rev:rev}", branches.make_branch, methods=["POST"]),
    Route(API + "/branch/{rev:rev}", branches.delete_branch, methods=["DELETE"]),
    Route(API + "/tag/{rev:rev}", branches.make_tag, methods=["POST"]),
    Route(API + "/tag/{rev:rev}", branches.delete_tag, methods=["DELETE"]),
    Route(API + "/settings", repos.settings, methods=["PUT"]),
    Route(API + "/commits/{rev:rev}", repos.commits),
    Route(API + "/auth-check", repos.auth_check),
    Route(API, repos.info),  # last, because "name/refs" could be a repository, too
    Route("/{repo:repo}.git/info/lfs/objects/batch", transfers.batch, methods=["POST"]),
    Route("/lfs/{sha256:sha256}", transfers.upload, methods=["PUT"]),
    Route("/lfs/{sha256:sha256}/{part:int}", transfers.upload, methods=["PUT"]),
    Route("/lfs/{sha256:sha256}/complete", transfers.complete, methods=["POST"]),
    Route("/lfs/verify", transfers.verify, methods=["POST"]),
    Route("/{repo:repo}/resolve/{rev:rev}/{path:file}", transfers.resolve),
    Route("/{anything:path}", unknown, methods=["GET", "POST", "PUT", "DELETE"]),
]


class Listener:
    """The app behind a free port of 127.0.0.1, from the moment it is made until `close()`.

    It runs in a thread of its own, silent; signals and the event loops of other threads are left alone.
    """

    def __init__(self, app: Starlette):
        listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http=_Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level=logging.CRITICAL,  # a client that hangs up is part of the rehearsal
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=DAY,  # a client may come back to its connection after a long conversion
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="rehearsal Hub", daemon=True)
        self._thread.start()
        while self._thread.is_alive() and not self._server.started:
            time.sleep(0.002)

    def close(self) -> None:
        """Stop listening; returns when the thread has ended."""
        self._server.should_exit = True
        self._thread.join()


class _Connection(H11Protocol):
    """One connection. The app finds the way to break it in `scope["state"]["hang_up"]`."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.app_state = {"hang_up": transport.close}  # sends what was written, then breaks off

    def shutdown(self) -> None:
        """Break off at once when the server stops: a class does not wait for somebody's download."""
        self.transport.abort()
