"""llama-cpp-python's OpenAI-compatible server on this machine, started and ended by a notebook.

python helpers/pipeline/server.py …      the process that `serve` starts: the server, with whole texts of long tokens
"""

from __future__ import annotations

import contextlib
import numbers
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator

from helpers import artifacts, machine
from helpers.errors import InputError, ServerError
from helpers.pipeline import chat, gguf_file, guards, pieces
from helpers.pipeline.kv_cache import context_for
from helpers.setup import gpu

# Read by the server or by uvicorn beside the fields of the server's settings, whose names are variables as well.
MORE_VARIABLES = ("CONFIG_FILE", "HOST", "PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS")


@contextlib.contextmanager
def serve(gguf: str | os.PathLike, n_ctx: int | None = 512, seconds: float = 120) -> Iterator[str]:
    """Run llama-cpp-python's OpenAI-compatible server on 127.0.0.1 and yield its address.

    The server is a process of its own, ended when the block is left. Raises ServerError with the
    server's last words if it does not answer within `seconds`, and InputError for a file that `load` would refuse.
    """
    if not isinstance(seconds, numbers.Real) or not seconds > 0:
        raise InputError(f"seconds={seconds!r:.80} is impossible. So long the server may take to start. Use 1 or more.")
    file = gguf_file.summary(gguf)
    guards.require_a_build_that_works()
    guards.require_a_model(file)
    guards.require_a_served_model(file)
    n_ctx = context_for(file, n_ctx)
    machine.no_proxy_for_this_machine()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-P", __file__, "--model", str(file.path.absolute()), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--n_ctx", str(n_ctx)]
    command += [*(["--n_gpu_layers", "-1"] if gpu.in_use() else []), "--kv_overrides"]
    command += [f"{key}={type(value).__name__}:{value}" for key, value in guards.nothing_added(file).items()]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment())
        try:
            deadline = time.monotonic() + seconds
            while True:
                with contextlib.suppress(OSError):
                    with urllib.request.urlopen(f"{address}/v1/models", timeout=2):
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    last = ([line for line in log.read().splitlines() if line.strip()] or ["nothing"])[-1]
                    raise ServerError(
                        f"The server for {file.path.name} did not start. It said: {last}. "
                        "Check that the file opens with runtime.load, then try again."
                    )
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait()


def environment() -> dict[str, str]:
    """Return a child's environment without the variables that the server would take for settings of its own.

    A notebook's API_KEY or MODEL is meant for somebody else; here it would close the server to us, or stop it.
    """
    from llama_cpp.server.settings import ServerSettings, Settings

    settings = {name.upper() for name in (*Settings.model_fields, *ServerSettings.model_fields)} | {*MORE_VARIABLES}
    inherited = machine.child_environment()
    kept = {name: value for name, value in inherited.items() if name.upper() not in settings}
    paths = [str(artifacts.ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


def main() -> None:
    """Run the server's own main function, given its own arguments, with our repairs."""
    from llama_cpp.server.__main__ import main as server_main

    pieces.repair()
    with chat.templates_may_be_broken():
        server_main()


if __name__ == "__main__":
    main()
