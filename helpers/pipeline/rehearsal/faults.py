"""Failures to inject, for tests and for the lesson on interrupted uploads, and who plays them in front of the app.

A status is an answer in place of the endpoint's. A cut really breaks the TCP connection: of an
answer (GET) exactly `after` bytes of its body arrive before it; of a request (any other method) the
first piece that goes beyond `after` bytes is the last that is read, and the endpoint sees a client that went away.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Fault:
    """One failure: answer `status`, or cut the connection after `after` bytes of the body, `times` times."""

    method: str
    pattern: str
    status: int | None = None
    after: int | None = None
    times: int = 1


class Player:
    """The app with failures in front of it; the first that fits a request strikes it. `log` is what was asked for."""

    def __init__(self, app: Callable, faults: list[Fault], log: list[str]):
        self.app, self.faults, self.log = app, faults, log

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        from helpers.pipeline.rehearsal.access import refusal, refused  # loads Starlette

        method, path = scope["method"], scope["path"]
        self.log.append(f"{method} {path}")
        fault = next((f for f in self.faults if f.times and f.method == method and re.search(f.pattern, path)), None)
        if fault:
            fault.times -= 1
            hang_up = scope["state"]["hang_up"]
            if fault.status:
                answer = refusal(refused(fault.status, f"injected failure {fault.status}"))
                return await answer(scope, receive, send)
            if method == "GET":
                send = _cut_answer(fault.after, send, hang_up)
            else:
                receive = _cut_request(fault.after, receive, hang_up)
        # Routes are matched against the path as it was sent: revisions may hold an escaped slash.
        await self.app({**scope, "path": scope["raw_path"].decode()}, receive, send)


def _cut_answer(left: int, send: Callable, hang_up: Callable) -> Callable:
    """Wrap ASGI's `send`: pass on `left` bytes of the body, then hang up."""
    cut = False

    async def cutting(message: dict) -> None:
        nonlocal left, cut
        if cut:
            return  # the server stops a response as soon as it notices that the connection is gone
        body = message.get("body", b"")
        if len(body) > left:
            cut = True
            await send({**message, "body": body[:left], "more_body": True})
            return hang_up()
        left -= len(body)
        await send(message)

    return cutting


def _cut_request(left: int, receive: Callable, hang_up: Callable) -> Callable:
    """Wrap ASGI's `receive`: hang up as soon as more than `left` bytes of the body have come."""

    async def cutting() -> dict:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            hang_up()
            while message["type"] != "http.disconnect":
                message = await receive()
        return message

    return cutting
