"""A stand-in for the hub, on 127.0.0.1: its HTTP answers to those who write."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import huggingface_hub
import pytest
from huggingface_hub import constants

REPO = "someone/a-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_" + "x" * 30


class Hub:
    """A hub with at most one repository, that a test can put in any state."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] | None = None  # None: no such repository
        self.branches: dict[str, dict[str, bytes]] = {}  # beside main
        self.sent_to = "main"
        self.private = False
        self.blobs: dict[str, bytes] = {}
        self.ignored: set[str] = set()
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        # What it answers instead, in turn: a status, or None to cut the connection.
        self.trouble: dict[str, list[int | None]] = {}


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        hub, path = self.hub, self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.asked.append(f"{self.command} {path}")
        hub.tokens.add(self.headers.get("Authorization"))
        for part, answers in hub.trouble.items():
            if part in path and answers:
                self.stumble(answers.pop(0))
                return
        if path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.say({"errors": [], "warnings": []})
        elif path == f"/api/models/{REPO}/preupload/{self.branch}":
            self.preupload(json.loads(body))
        elif path == f"/{REPO}.git/info/lfs/objects/batch":
            self.batch(json.loads(body))
        elif path.startswith("/blob/"):
            assert hashlib.sha256(body).hexdigest() == path[6:]
            hub.blobs[path[6:]] = body
            self.say({})
        elif hub.files is None:
            self.say({}, 404, {"X-Error-Code": "RepoNotFound"})
        elif path == f"/api/models/{REPO}/branch/{self.branch}":
            assert self.branch not in hub.branches
            hub.branches[self.branch] = {**hub.files}
            self.say({})
        elif self.there is None:
            self.say({}, 404, {"X-Error-Code": "RevisionNotFound"})
        elif path == f"/api/models/{REPO}/commit/{self.branch}":
            self.commit(body)
        elif path.startswith(f"/api/models/{REPO}/tree/"):
            kinds = {"type": "file", "oid": "1", "size": 1}
            self.say([kinds | {"path": name} for name in self.there])
        elif path.startswith(f"/api/models/{REPO}"):
            siblings = [{"rfilename": name} for name in self.there]
            info = {"id": REPO, "sha": COMMIT, "private": hub.private}
            self.say(info | {"siblings": siblings})
        elif path == f"/{REPO}/resolve/{self.branch}/README.md":
            found = "README.md" in self.there
            headers = {"X-Repo-Commit": COMMIT, "ETag": '"1"'}
            if found:
                self.give(self.there["README.md"], headers)
            else:
                self.say({}, 404, headers | {"X-Error-Code": "EntryNotFound"})
        else:
            raise AssertionError(path)

    do_GET = do_HEAD = do_PUT = do_POST  # noqa: N815

    @property
    def branch(self) -> str:
        """The branch that the path names, main if none, that of the only commit."""
        named = re.search(
            f"{REPO}/(?:preupload|commit|tree|revision|branch|resolve)/([^/?]+)",
            self.path,
        )
        name = "main" if named is None else unquote(named[1])
        return self.hub.sent_to if name == COMMIT else name

    @property
    def there(self) -> dict[str, bytes] | None:
        """The files of that branch, or None if there is no such branch."""
        if self.branch == "main":
            return self.hub.files
        return self.hub.branches.get(self.branch)

    def create(self, asked: dict[str, Any]) -> None:
        if self.hub.files is not None:
            error = {"error": "it exists", "url": f"https://huggingface.co/{REPO}"}
            self.say(error, 409)
            return
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.files, self.hub.private = {}, bool(private)
        self.say({"url": f"https://huggingface.co/{REPO}"})

    def preupload(self, asked: dict[str, Any]) -> None:
        modes = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if "safetensors" in each["path"] else "regular",
                "shouldIgnore": each["path"] in self.hub.ignored,
            }
            for each in asked["files"]
        ]
        self.say({"files": modes})

    def batch(self, asked: dict[str, Any]) -> None:
        here = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        objects = [
            each | {"actions": {"upload": {"href": f"{here}/blob/{each['oid']}"}}}
            for each in asked["objects"]
        ]
        self.say({"transfer": "basic", "objects": objects})

    def commit(self, body: bytes) -> None:
        there = self.there
        assert there is not None
        self.hub.sent_to = self.branch
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if value.get("path") in self.hub.ignored:
                continue
            if line["key"] == "file":
                there[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                there[value["path"]] = self.hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del there[value["path"]]
        url = f"https://huggingface.co/{REPO}/commit/{COMMIT}"
        self.say({"commitUrl": url, "commitOid": COMMIT})

    def stumble(self, status: int | None) -> None:
        if status is None:
            self.close_connection = True
            self.connection.close()
        else:
            self.say({"error": "no"}, status)

    def say(
        self, answer: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.give(json.dumps(answer).encode(), headers or {}, status)

    def give(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving_writers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Run a stand-in while the block runs; the hub's library asks it."""
    hub = Hub()
    handler = type("HandlerOfOne", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # A Rust library with a protocol of its own, else, that would not be stood in for.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: TOKEN)
    # What is waited for between attempts, here and in the hub's library.
    monkeypatch.setattr("time.sleep", lambda _: None)
    yield hub
    server.shutdown()
    server.server_close()
