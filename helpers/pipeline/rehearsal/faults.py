"""Failures to inject, for tests and for the lesson on interrupted uploads; player.py plays them."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass


@dataclass
class Fault:
    """One failure: answer `status`, or cut the connection after `after` bytes of the body, `times` times."""

    method: str
    pattern: str
    status: int | None = None
    after: int | None = None
    times: int = 1


class Faults:
    """The failures still to come; the first that fits a request strikes it."""

    def __init__(self):
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def next(self, method: str, path: str) -> Fault | None:
        """Return the failure that strikes this request, used up by one."""
        with self._lock:
            for fault in self._waiting:
                if fault.times > 0 and fault.method == method and re.search(fault.pattern, path):
                    fault.times -= 1
                    return fault
        return None
