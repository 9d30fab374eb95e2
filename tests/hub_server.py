"""A small Hugging Face hub on this machine: repositories are folders, commits are made of their files' hashes."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Hub(ThreadingHTTPServer):
    """Serves `root`/owner/name/...; counts what it is asked."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.asked: list[str] = []
        self.cut = 0
        """Bytes that are missing at the end of each file."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repo: str) -> str:
        """The commit of a repository as it is now."""
        files = sorted(path for path in (self.root / repo).rglob("*") if path.is_file())
        return hashlib.sha1(b"".join(path.read_bytes() for path in files)).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers what `hf_hub_download`, `create_repo` and `upload_folder` ask."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._file(body=False)

    def do_GET(self) -> None:
        self._file(body=True)

    def _file(self, body: bool) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        parts = self.path.strip("/").split("/")
        if len(parts) < 5 or parts[2] != "resolve":
            self._answer(404, {"error": "no such page"})
            return
        repo, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        path, commit = self.server.root / repo / file, self.server.commit(repo)
        if not (self.server.root / repo).is_dir():
            self._answer(404, {"error": "no such repository"}, {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", "v1", commit):
            self._answer(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        elif not path.is_file():
            self._answer(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        else:
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content[: len(content) - self.server.cut])
                self.close_connection = bool(self.server.cut)

    def do_POST(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        content = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        parts = self.path.strip("/").split("/")
        if self.path.startswith("/api/repos/create"):
            wanted = json.loads(content)
            name = f"{wanted.get('organization') or 'owner'}/{wanted['name']}"
            (self.server.root / name).mkdir(parents=True, exist_ok=True)
            self._answer(200, {"url": f"{self.server.address}/{name}", "private": wanted.get("private")})
        elif self.path.startswith("/api/validate-yaml"):
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(content)["files"]]
            plan = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer(200, {"files": [{"path": path, **plan} for path in paths]})
        elif "/commit/" in self.path:
            repo = "/".join(parts[2:4])
            for line in map(json.loads, content.splitlines()):
                if line["key"] == "file":
                    path = self.server.root / repo / line["value"]["path"]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(base64.b64decode(line["value"]["content"]))
            commit = self.server.commit(repo)
            url = f"{self.server.address}/{repo}/commit/{commit}"
            self._answer(200, {"commitUrl": url, "commitOid": commit, "success": True})
        else:
            self._answer(404, {"error": "no such page"})

    def _answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        usual = {"Content-Length": str(len(text)), "Content-Type": "application/json"}
        for key, value in (usual | (headers or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def running(root: Path) -> Iterator[Hub]:
    """Serve a folder until the block ends."""
    hub = Hub(root)
    thread = threading.Thread(target=hub.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
