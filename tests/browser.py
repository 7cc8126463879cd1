"""A headless Chromium that tests drive through its own protocol: open a page, ask it something, hear what it says."""

import json
import shutil
import subprocess
import time
from itertools import count
from pathlib import Path

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = """--headless --no-sandbox --disable-gpu --hide-scrollbars --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync --remote-debugging-port=0""".split()


class Browser:
    """One browser with one tab. Of the page that is open, `said` has errors and warnings, `requested` addresses."""

    def __init__(self, profile: Path):
        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 30
        while not (port.exists() and port.read_text().count("\n") == 1):
            assert time.monotonic() < deadline and self._process.poll() is None, "Chromium did not start"
            time.sleep(0.05)
        number, path = port.read_text().split("\n")
        address = f"ws://127.0.0.1:{number}{path}"
        self._socket = websocket.create_connection(address, timeout=30, suppress_origin=True, http_no_proxy=["*"])
        self._ids, self._session = count(1), None
        self.said, self.requested, self._loaded = [], [], False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._session = None
        self.call("Browser.close")
        self._socket.close()
        self._process.wait(30)

    def call(self, method: str, **parameters) -> dict:
        """Send one command of the protocol and return its result."""
        number = next(self._ids)
        session = {"sessionId": self._session} if self._session else {}
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters, **session}))
        while (message := self._hear()).get("id") != number:
            pass
        assert "error" not in message, f"{method}: {message}"
        return message["result"]

    def _hear(self) -> dict:
        message = json.loads(self._socket.recv())
        method, about = message.get("method"), message.get("params")
        if method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.said.append(" ".join(str(argument.get("value")) for argument in about["args"]))
        elif method == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.said.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded":
            self.said.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requested.append(about["request"]["url"])
        elif method == "Page.loadEventFired":
            self._loaded = True
        return message

    def show(self, width: int, theme: str) -> None:
        """Give the window a width in CSS pixels, and the reader's system a theme: light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        preference = [{"name": "prefers-color-scheme", "value": theme}]
        self.call("Emulation.setEmulatedMedia", features=preference)

    def open(self, url: str) -> None:
        """Go to a page and wait until it has loaded."""
        self.said, self.requested, self._loaded = [], [], False
        failed = self.call("Page.navigate", url=url).get("errorText")
        assert not failed, f"{url}: {failed}"
        while not self._loaded:
            self._hear()

    def ask(self, expression: str):
        """Return the value of a JavaScript expression in the page; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")
