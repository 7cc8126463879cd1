"""Plays the failures of faults.py in front of the app.

A status is an answer in place of the endpoint's. A cut really breaks the TCP connection: of an
answer (GET) exactly `after` bytes of its body arrive before it; of a request (any other method) the
first piece that goes beyond `after` bytes is the last that is read, and no endpoint sees it.
"""

from __future__ import annotations

from collections.abc import Callable

from helpers.pipeline.rehearsal.access import RefusedError, refusal
from helpers.pipeline.rehearsal.faults import Faults


class Player:
    """The app with failures in front of it; writes down in `log` what it was asked for.

    An endpoint knows nothing of this: when its connection was cut, it sees a client that went away.
    """

    def __init__(self, app: Callable, faults: Faults, log: list[str]):
        self.app, self.faults, self.log = app, faults, log

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        method, path = scope["method"], scope["path"]
        self.log.append(f"{method} {path}")
        fault = self.faults.next(method, path)
        if fault and fault.status:
            answer = refusal(RefusedError(fault.status, f"injected failure {fault.status}"))
            return await answer(scope, receive, send)
        if fault and method == "GET":
            send = _cut_answer(fault.after, send, scope["state"]["hang_up"])
        elif fault:
            receive = _cut_request(fault.after, receive, scope["state"]["hang_up"])
        await self.app(scope, receive, send)


def _cut_answer(after: int, send: Callable, hang_up: Callable) -> Callable:
    """Wrap ASGI's `send`: pass on `after` bytes of the body, then hang up."""
    left, cut = after, False

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


def _cut_request(after: int, receive: Callable, hang_up: Callable) -> Callable:
    """Wrap ASGI's `receive`: hang up as soon as more than `after` bytes of the body have come."""
    left = after

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
