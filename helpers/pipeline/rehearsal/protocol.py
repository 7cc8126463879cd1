"""The protocol of the rehearsal Hub: each request of the real client, and the answer it expects.

Read from the source of `huggingface_hub`. Errors travel in the headers X-Error-Code and
X-Error-Message; large files go through Git LFS, in one piece or in parts.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from helpers.pipeline.rehearsal import USER, Commit, RehearsalHub, Repo, StoredFile, is_lfs


class RefusedError(Exception):
    """An error answer, turned into status and headers by the handler."""

    def __init__(self, status: int, message: str, code: str = ""):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Server(ThreadingHTTPServer):
    """One thread for each connection; all share one RehearsalHub."""

    daemon_threads = True
    hub: RehearsalHub

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the rehearsal


# Method, path, name of the handler's method. `repo` is "owner/name"; `rev` is one path segment.
_REPO, _API = r"(?P<repo>[^/]+/[^/]+)", r"/api/models/(?P<repo>[^/]+/[^/]+)"
_ROUTES = [
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/repos/create", "create_repo"),
    ("DELETE", r"/api/repos/delete", "delete_repo"),
    ("POST", r"/api/validate-yaml", "validate_card"),
    ("GET", _API + r"(/revision/(?P<rev>[^/]+))?", "model_info"),
    ("GET", _API + r"/tree/(?P<rev>[^/]+)(/(?P<path>.+))?", "tree"),
    ("POST", _API + r"/paths-info/(?P<rev>[^/]+)", "paths_info"),
    ("POST", _API + r"/preupload/(?P<rev>[^/]+)", "preupload"),
    ("POST", _API + r"/commit/(?P<rev>[^/]+)", "make_commit"),
    ("GET", _API + r"/refs", "refs"),
    ("GET", _API + r"/commits/(?P<rev>[^/]+)", "commits"),
    ("GET", _API + r"/auth-check", "auth_check"),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", r"/lfs/(?P<sha>[0-9a-f]{64})(/(?P<part>\d+))?", "lfs_upload"),
    ("POST", r"/lfs/(?P<sha>[0-9a-f]{64})/complete", "lfs_complete"),
    ("POST", r"/lfs/verify", "lfs_verify"),
    ("GET", rf"/{_REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "resolve"),
    ("HEAD", rf"/{_REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "resolve"),
]


class Handler(BaseHTTPRequestHandler):
    """Answers one connection. Public methods are endpoints, named in _ROUTES."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self._dispatch()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    @property
    def hub(self) -> RehearsalHub:
        return self.server.hub

    def _dispatch(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        self.query = urllib.parse.parse_qs(url.query)
        self.hub.log.append(f"{self.command} {path}")
        self.body_read = False
        self.fault = self.hub.next_fault(self.command, path)
        try:
            if self.fault and self.fault.status:
                raise RefusedError(self.fault.status, f"injected failure {self.fault.status}")
            for method, pattern, name in _ROUTES:
                # Revisions may hold an escaped slash, so routes are matched before unescaping them.
                match = re.fullmatch(pattern, url.path)
                if method == self.command and match:
                    parts = {k: urllib.parse.unquote(v) for k, v in match.groupdict().items() if v}
                    return getattr(self, name)(**parts)
            raise RefusedError(404, f"The rehearsal Hub does not speak {self.command} {path}")
        except RefusedError as refused:
            self._drain()
            headers = {"X-Error-Message": refused.message}
            if refused.code:
                headers["X-Error-Code"] = refused.code
            self._answer({"error": refused.message}, refused.status, headers)
        except ConnectionError:
            self.close_connection = True

    # Reading requests and writing answers

    def _body(self) -> Iterator[bytes]:
        """Yield the request's body in pieces, whether it is sent chunked or with its length."""
        self.body_read = True
        received = 0
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while (size := int(self.rfile.readline().split(b";")[0] or b"0", 16)) > 0:
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0:
            piece = self.rfile.read(min(left, 2**18))
            if not piece:
                raise ConnectionError("the client went away")
            left -= len(piece)
            received += len(piece)
            if self.fault and self.fault.after is not None and received > self.fault.after:
                self._hang_up()
            yield piece

    def _drain(self) -> None:
        """Read what the client still sends, or a kept-alive connection would be out of step."""
        if not self.body_read:
            for _ in self._body():
                pass

    def _hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        raise ConnectionError("cut on purpose")

    def _json(self) -> dict:
        return json.loads(b"".join(self._body()) or b"{}")

    def _answer(self, data, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # Who may do what

    def _role(self) -> str | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if token not in self.hub.roles:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return self.hub.roles[token]

    def _require_write(self) -> None:
        role = self._role()
        if role is None:
            raise RefusedError(401, "Invalid username or password.")
        if role != "write":
            raise RefusedError(403, "This token is read-only: it does not have the right to write.")

    def _repo(self, repo_id: str) -> Repo:
        repo = self.hub.repos.get(repo_id)
        role = self._role()
        if repo is None or (repo.private and role is None):
            raise RefusedError(401 if role is None else 404, "Repository not found", "RepoNotFound")
        return repo

    def _commit(self, repo_id: str, revision: str = "main") -> Commit:
        repo = self._repo(repo_id)
        if revision in ("main", "HEAD"):
            return repo.commits[-1]
        for commit in repo.commits:
            if commit.oid.startswith(revision) and len(revision) >= 7:
                return commit
        raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    # Endpoints

    def whoami(self) -> None:
        role = self._role()
        if role is None:
            raise RefusedError(401, "Invalid username or password.")
        token = {"displayName": "rehearsal token", "role": role}
        self._answer({"type": "user", "name": USER, "orgs": [], "auth": {"accessToken": token}})

    def create_repo(self) -> None:
        wanted = self._json()
        self._require_write()
        owner = wanted.get("organization") or USER
        repo_id = f"{owner}/{wanted['name']}"
        if owner != USER:
            raise RefusedError(403, f"You don't have the rights to create a model under the namespace {owner!r}")
        with self.hub.lock:
            if repo_id in self.hub.repos:
                url = f"{self.hub.endpoint}/{repo_id}"
                return self._answer(
                    {"error": "You already created this model repo", "url": url},
                    409,
                    {"X-Error-Message": "You already created this model repo"},
                )
            private = wanted.get("private") or wanted.get("visibility") == "private"
            self.hub.repos[repo_id] = Repo(private=bool(private))
            readme = self.hub.store(b"", ".gitattributes")
            self.hub.commit(repo_id, {".gitattributes": readme}, "initial commit")
        self._answer({"url": f"{self.hub.endpoint}/{repo_id}", "name": repo_id})

    def delete_repo(self) -> None:
        wanted = self._json()
        self._require_write()
        repo_id = f"{wanted.get('organization') or USER}/{wanted['name']}"
        self._repo(repo_id)
        del self.hub.repos[repo_id]
        self._answer({})

    def validate_card(self) -> None:
        text = self._json().get("content", "")
        problems = []
        if not re.match(r"---\s*\n.*?\n---", text, re.S):
            problems.append({"message": "The card does not start with a block of YAML metadata"})
        self._answer({"errors": problems, "warnings": []}, 400 if problems else 200)

    def model_info(self, repo: str, rev: str = "main") -> None:
        commit = self._commit(repo, rev)
        entry = self.hub.repos[repo]
        siblings = []
        for name, stored in sorted(commit.files.items()):
            item: dict = {"rfilename": name, "size": stored.size, "blobId": stored.oid}
            if stored.lfs:
                item["lfs"] = {"sha256": stored.sha256, "size": stored.size, "pointerSize": 134}
            siblings.append(item)
        info = {"_id": repo, "id": repo, "modelId": repo, "sha": commit.oid, "private": entry.private}
        self._answer({**info, "gated": "manual" if entry.gated else False, "tags": [], "siblings": siblings})

    def tree(self, repo: str, rev: str, path: str = "") -> None:
        commit = self._commit(repo, rev)
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        prefix = path.rstrip("/") + "/" if path else ""
        items, folders = [], set()
        for name, stored in sorted(commit.files.items()):
            if not name.startswith(prefix):
                continue
            inner = name[len(prefix) :].split("/")
            if len(inner) > 1:
                folders.add(prefix + inner[0])
            if recursive or len(inner) == 1:
                items.append(_tree_item(name, stored))
        folder_items = [{"type": "directory", "path": f, "size": 0, "oid": "0" * 40} for f in sorted(folders)]
        self._answer(folder_items + items)

    def paths_info(self, repo: str, rev: str) -> None:
        raw = b"".join(self._body()).decode()
        if "json" in self.headers.get("Content-Type", ""):
            wanted = json.loads(raw)["paths"]
        else:
            wanted = urllib.parse.parse_qs(raw).get("paths", [])
        files = self._commit(repo, rev).files
        self._answer([_tree_item(name, files[name]) for name in wanted if name in files])

    def refs(self, repo: str) -> None:
        head = self._commit(repo)
        branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": head.oid}
        self._answer({"branches": [branch], "tags": [], "converts": []})

    def commits(self, repo: str, rev: str) -> None:
        self._commit(repo, rev)
        day = "2026-01-01T00:00:00.000Z"  # the rehearsal Hub has no clock: its history is reproducible
        listed = [
            {"id": c.oid, "title": c.title, "message": "", "authors": [{"user": USER}], "date": day}
            for c in reversed(self.hub.repos[repo].commits)
        ]
        self._answer(listed, headers={"X-Total-Count": str(len(listed))})

    def auth_check(self, repo: str) -> None:
        self._check_gate(self._repo(repo))
        self._answer({})

    def _check_gate(self, repo: Repo) -> None:
        if repo.gated:
            status = 401 if self._role() is None else 403
            raise RefusedError(status, "Access to this model is restricted: ask for it on its page.", "GatedRepo")

    def preupload(self, repo: str, rev: str) -> None:
        files = self._json()["files"]
        self._require_write()
        present = self._commit(repo, rev).files
        answers = []
        for file in files:
            mode = "lfs" if is_lfs(file["path"], file["size"]) else "regular"
            answer = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            if file["path"] in present:
                stored = present[file["path"]]  # the client compares: unchanged files make no second commit
                answer["oid"] = stored.sha256 if stored.lfs else stored.oid
            answers.append(answer)
        self._answer({"files": answers})

    def lfs_batch(self, repo: str) -> None:
        wanted = self._json()
        self._require_write()
        self._repo(repo)
        answers, multipart = [], False
        for item in wanted["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if not self.hub.content(item["oid"]).exists():
                url = f"{self.hub.endpoint}/lfs/{item['oid']}"
                upload: dict = {"href": url, "header": {"Authorization": self.headers["Authorization"]}}
                if item["size"] > self.hub.multipart_over and "multipart" in wanted.get("transfers", []):
                    multipart = True
                    parts = -(-item["size"] // self.hub.chunk)
                    urls = {str(n): f"{url}/{n}" for n in range(1, parts + 1)}
                    upload = {"href": f"{url}/complete", "header": {"chunk_size": str(self.hub.chunk), **urls}}
                answer["actions"] = {"upload": upload, "verify": {"href": f"{self.hub.endpoint}/lfs/verify"}}
            answers.append(answer)
        self._answer({"transfer": "multipart" if multipart else "basic", "objects": answers})

    def lfs_upload(self, sha: str, part: str = "") -> None:
        path = self.hub.new_part()
        try:
            with open(path, "wb") as file:
                for piece in self._body():
                    file.write(piece)
        except ConnectionError:
            path.unlink(missing_ok=True)
            raise
        if part:
            with self.hub.lock:
                self.hub.uploads.setdefault(sha, {})[int(part)] = path
        elif not self.hub.keep(path, sha, path.stat().st_size):
            raise RefusedError(400, "The content does not have the announced checksum")
        self._answer({}, headers={"ETag": f'"{path.name}"'})

    def lfs_complete(self, sha: str) -> None:
        """Join the parts in order; the client names every part with the ETag it was given."""
        named = self._json()["parts"]
        with self.hub.lock:
            parts = self.hub.uploads.pop(sha, {})
        if [p["etag"].strip('"') for p in named] != [parts[n].name for n in sorted(parts)]:
            raise RefusedError(400, "Parts are missing or in the wrong order")
        whole = self.hub.new_part()
        with open(whole, "wb") as out:
            for number in sorted(parts):
                with open(parts[number], "rb") as piece:
                    shutil.copyfileobj(piece, out)
                parts[number].unlink()
        if not self.hub.keep(whole, sha, whole.stat().st_size):
            raise RefusedError(400, "The content does not have the announced checksum")
        self._answer({})

    def lfs_verify(self) -> None:
        wanted = self._json()
        path = self.hub.content(wanted["oid"])
        if not path.exists() or path.stat().st_size != wanted["size"]:
            raise RefusedError(404, "Object not found")
        self._answer({})

    def make_commit(self, repo: str, rev: str) -> None:
        lines = [json.loads(line) for line in b"".join(self._body()).splitlines() if line.strip()]
        self._require_write()
        with self.hub.lock:
            files = dict(self._commit(repo, rev).files)
            title = "commit"
            for line in lines:
                value = line["value"]
                match line["key"]:
                    case "header":
                        title = value["summary"]
                    case "file":
                        data = value["content"]
                        data = base64.b64decode(data) if value.get("encoding") == "base64" else data.encode()
                        files[value["path"]] = self.hub.store(data, value["path"])
                    case "lfsFile":
                        path = self.hub.content(value["oid"])
                        if not path.exists():
                            raise RefusedError(400, f"LFS object {value['oid']} was never uploaded")
                        files[value["path"]] = self.hub.describe(path, value["path"])
                    case "deletedFile":
                        if files.pop(value["path"], None) is None:
                            raise RefusedError(404, f"No file {value['path']}", "EntryNotFound")
                    case "deletedFolder":
                        prefix = value["path"].rstrip("/") + "/"
                        files = {name: f for name, f in files.items() if not name.startswith(prefix)}
            commit = self.hub.commit(repo, files, title)
        url = f"{self.hub.endpoint}/{repo}/commit/{commit.oid}"
        self._answer({"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})

    def resolve(self, repo: str, rev: str, path: str) -> None:
        commit = self._commit(repo, rev)
        self._check_gate(self.hub.repos[repo])
        stored = commit.files.get(path)
        if stored is None:
            raise RefusedError(404, f"Entry not found: {path}", "EntryNotFound")
        first, last = 0, stored.size - 1
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), int(wanted[2] or last)
            if first >= stored.size:
                raise RefusedError(416, "Range not satisfiable")
            last = min(last, stored.size - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{stored.size}")
        self.send_header("X-Repo-Commit", commit.oid)
        self.send_header("ETag", f'"{stored.sha256 if stored.lfs else stored.oid}"')
        if stored.lfs:
            self.send_header("X-Linked-Etag", f'"{stored.sha256}"')
            self.send_header("X-Linked-Size", str(stored.size))
        self.end_headers()
        if self.command == "GET":
            self._send_file(self.hub.content(stored.sha256), first, last + 1)

    def _send_file(self, path: Path, start: int, end: int) -> None:
        cut_at = self.fault.after if self.fault else None
        sent = 0
        with open(path, "rb") as file:
            file.seek(start)
            while start + sent < end:
                piece = file.read(min(2**18, end - start - sent))
                if cut_at is not None and sent + len(piece) > cut_at:
                    self.wfile.write(piece[: max(0, cut_at - sent)])
                    self.wfile.flush()
                    self._hang_up()
                self.wfile.write(piece)
                sent += len(piece)


def _tree_item(name: str, stored: StoredFile) -> dict:
    item: dict = {"type": "file", "path": name, "size": stored.size, "oid": stored.oid}
    if stored.lfs:
        item["lfs"] = {"oid": stored.sha256, "size": stored.size, "pointerSize": 134}
    return item
