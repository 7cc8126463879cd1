"""The rehearsal Hub as a guest in somebody's process: exact cuts, silence, memory, and nothing left behind."""

import socket
import subprocess
import sys
import time

import pytest

from helpers import artifacts
from helpers.pipeline.rehearsal import RehearsalHub

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def hosted(server, tmp_path):
    """A server that offers a/b with one file of 1 MiB."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "m.gguf").write_bytes(CONTENT)
    server.host("a/b", tmp_path / "m")
    return server


def ask(hub: RehearsalHub, request: bytes, body: bytes = b"") -> bytes:
    """Send a request over a connection of its own; return all that comes back until it ends."""
    with socket.create_connection(("127.0.0.1", int(hub.endpoint.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall(request + b"\r\nHost: here\r\n\r\n")
        said = b""
        try:
            connection.sendall(body)
            while piece := connection.recv(2**16):
                said += piece
        except ConnectionError:
            pass
        return said


@pytest.mark.parametrize("after", [0, 1, 262_143, 262_144, 262_145, len(CONTENT) - 1])
def test_an_answer_is_cut_after_exactly_so_many_bytes(hosted, after):
    hosted.cut("GET", "resolve", after=after)
    head, _, body = ask(hosted, b"GET /a/b/resolve/main/m.gguf HTTP/1.1").partition(b"\r\n\r\n")
    assert b"200" in head.splitlines()[0] and b"content-length: 1048576" in head.lower()
    assert body == CONTENT[:after]


def test_a_range_is_cut_within_the_range(hosted):
    hosted.cut("GET", "resolve", after=1000)
    answer = ask(hosted, b"GET /a/b/resolve/main/m.gguf HTTP/1.1\r\nRange: bytes=5000-9000")
    assert b" 206 " in answer and answer.endswith(b"\r\n\r\n" + CONTENT[5000:6000])


@pytest.mark.parametrize("after", [0, 1000, 600_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_is_cut_without_an_answer(hosted, after, chunked):
    hosted.cut("PUT", "/lfs/", after=after)
    kind = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1048576"
    body = b"100000\r\n" + CONTENT + b"\r\n0\r\n\r\n" if chunked else CONTENT
    assert ask(hosted, b"PUT /lfs/" + b"0" * 64 + b" HTTP/1.1\r\n" + kind, body) == b""
    until = time.monotonic() + 5  # the client notices a moment before the server has tidied up
    while list(hosted.store.folder.glob("part-*")):
        assert time.monotonic() < until, "half an upload was kept"
        time.sleep(0.01)


def test_a_cut_hits_one_connection(hosted):
    """Another download that is under way at the same moment is not touched."""
    hosted.cut("GET", "resolve", after=10)
    ask(hosted, b"GET /a/b/resolve/main/m.gguf HTTP/1.1")
    assert ask(hosted, b"GET /a/b/resolve/main/m.gguf HTTP/1.1\r\nConnection: close").endswith(CONTENT)


def test_a_refused_upload_leaves_its_connection_usable(hosted):
    hosted.fail("PUT", "/lfs/", status=503)
    put = b"PUT /lfs/" + b"0" * 64 + b" HTTP/1.1\r\nHost: here\r\nContent-Length: 1048576\r\n\r\n" + CONTENT
    answers = ask(hosted, put + b"GET /api/whoami-v2 HTTP/1.1\r\nConnection: close")
    assert answers.startswith(b"HTTP/1.1 503") and b"HTTP/1.1 401" in answers


def run(code: str) -> subprocess.CompletedProcess:
    """Run a program in a process of its own where every warning is an error, those about open files included."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=artifacts.ROOT, capture_output=True, text=True, timeout=60)


GUEST = """
import asyncio, logging, signal, socket, threading, time, urllib.error, urllib.request, sys
from helpers.pipeline.rehearsal import RehearsalHub
assert not {"starlette", "uvicorn"} & set(sys.modules), "loaded before they are needed"

def use(hub):
    for path, status in (("/api/whoami-v2", 401), ("/nothing", 404), ("/x/y/resolve/main/f", 401)):
        try:
            urllib.request.urlopen(hub.endpoint + path)
        except urllib.error.HTTPError as error:
            assert error.code == status, (path, error.code)
            error.close()
    with socket.create_connection(("127.0.0.1", int(hub.endpoint.rpartition(":")[2]))) as rude:
        rude.sendall(b"this is not HTTP\\r\\n\\r\\n")
        rude.recv(100)

async def notebook():  # its cells run in a thread that has an event loop running
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], logging.root.handlers[:]
    with RehearsalHub() as hub:
        use(hub)
        await asyncio.to_thread(use, hub)
        waiting = socket.create_connection(("127.0.0.1", int(hub.endpoint.rpartition(":")[2])))
        waiting.sendall(b"PUT /lfs/" + b"0" * 64 + b" HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 9\\r\\n\\r\\n")
        time.sleep(0.2)  # an upload that never ends is under way
        begun = time.monotonic()
    assert time.monotonic() - begun < 2
    waiting.close()
    assert before == ([signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], logging.root.handlers)
    assert not hub.store.folder.exists()

asyncio.run(notebook())
time.sleep(0.1)
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
"""


def test_it_is_a_quiet_guest():
    """No output, no thread, no signal handler, no folder is left; a running event loop does not matter."""
    done = run(GUEST)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_process_may_end_without_stopping_it(tmp_path):
    code = f"""
import urllib.request
from helpers.pipeline.rehearsal import RehearsalHub
hub = RehearsalHub({str(tmp_path)!r}).start()
(hub.root / "m").mkdir()
(hub.root / "m" / "f.txt").write_bytes(b"f")
hub.host("a/b", hub.root / "m")
with urllib.request.urlopen(hub.endpoint + "/a/b/resolve/main/f.txt") as answer:
    print(answer.read())
"""
    begun = time.monotonic()
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "b'f'\n", "")
    assert time.monotonic() - begun < 10


def test_large_files_stream(tmp_path):
    """200 MB go up and down, and the server's process grows by less than 40 MB."""
    code = f"""
import hashlib, resource, urllib.request
from pathlib import Path
from helpers.pipeline.rehearsal import RehearsalHub
piece, times = bytes(2**20), 200
sha256 = hashlib.sha256()
for _ in range(times):
    sha256.update(piece)
with RehearsalHub({str(tmp_path)!r}) as hub:
    def put(n):
        digest = hashlib.sha256(piece * n).hexdigest() if n < 2 else sha256.hexdigest()
        request = urllib.request.Request(hub.endpoint + "/lfs/" + digest, (piece for _ in range(n)), method="PUT")
        request.add_header("Content-Length", n * 2**20)
        urllib.request.urlopen(request).close()
        return hub.store.content(digest)
    put(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder = hub.root / "m"
    folder.mkdir()
    put(times).rename(folder / "m.gguf")
    hub.host("a/b", folder)
    with urllib.request.urlopen(hub.endpoint + "/a/b/resolve/main/m.gguf") as answer:
        size = sum(map(len, iter(lambda: answer.read(2**18), b"")))
    print(size // 2**20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    size, grown = map(int, done.stdout.split())
    assert size == 200 and grown < 40
