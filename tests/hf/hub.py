"""A hub of models on this machine: as much of its HTTP interface as pushing and fetching need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Repositories as dictionaries from a path to its bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, body: bytes, kind: str = "application/json", code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, document: Any, code: int = 200) -> None:
        self.answer(json.dumps(document).encode(), code=code)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            self.server.repositories.setdefault(name, {})
            return self.json({"url": f"{self.server.url}/{name}", "name": name, "id": name})
        if found := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            files = json.loads(body)["files"]
            plain = {"uploadMode": "regular", "shouldIgnore": False}
            return self.json({"files": [{"path": file["path"], **plain} for file in files]})
        if found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.repositories[found[1]][line["value"]["path"]] = content
            return self.json(
                {"success": True, "commitOid": COMMIT, "commitUrl": f"{self.server.url}/{found[1]}/commit/{COMMIT}"}
            )
        if self.path == "/api/validate-yaml":  # of a model card
            return self.json({"errors": [], "warnings": []})
        return self.json({"error": f"no {self.path}"}, 404)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+)?", path):
            files = self.server.repositories.get(found[1])
            if files is None:
                return self.answer(b"{}", code=404, X_Error_Code="RepoNotFound")
            return self.json(
                {"id": found[1], "sha": COMMIT, "siblings": [{"rfilename": f} for f in files], "private": False}
            )
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            content = self.server.repositories.get(found[1], {}).get(found[2])
            if content is None:
                return self.answer(b"", code=404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            mark = hashlib.sha256(content).hexdigest()
            return self.answer(content, "application/octet-stream", X_Repo_Commit=COMMIT, ETag=f'"{mark}"')
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+.*", path):
            files = self.server.repositories.get(found[1], {})
            kind = {"type": "file", "oid": COMMIT}
            return self.json([{**kind, "path": name, "size": len(data)} for name, data in files.items()])
        return self.json({"error": f"no {self.path}"}, 404)

    do_HEAD = do_GET


@contextmanager
def local_hub() -> Iterator[Hub]:
    """Runs inside this block."""
    hub = Hub()
    thread = Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
