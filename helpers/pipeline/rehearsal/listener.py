"""An app behind a free port of 127.0.0.1: uvicorn in a thread, silent, with connections that can be cut."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

DAY = 24 * 3600  # seconds


class _Connection(H11Protocol):
    """One connection. The app finds the way to break it in `scope["state"]["hang_up"]`."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.app_state = {"hang_up": transport.close}  # sends what was written, then breaks off

    def shutdown(self) -> None:
        """Break off at once when the server stops: a class does not wait for somebody's download."""
        self.transport.abort()


class Listener:
    """Listens from the moment it is made until `close()`; signals and event loops of other threads are left alone."""

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
