"""A stand-in for the hub: its HTTP answers, on 127.0.0.1, of files in a folder."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIECE = 4096  # bytes that are sent at once


class Hub:
    """What a test sees of the server: where it is, what it does, what it was asked.

    Attributes:
        repos: From a repository's name to the folder of its files.
        ranges: Whether it sends parts of files, or always the whole.
        fail: A status to answer everything with, or None.
        cards: What is said of a repository beside its files.
        commit: What every revision stands for.
        pause: Seconds between one piece of an answer and the next.
        cut: How many bytes of an answer are sent before the connection is closed, or
            None for all of them.
        requests: The method, the path and the range of each request.
        sent: How many bytes of files it has sent.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.repos: dict[str, Path] = {}
        self.cards: dict[str, dict[str, Any]] = {}
        self.commit = COMMIT
        self.pause = 0.0
        self.cut: int | None = None
        self.ranges = True
        self.fail: int | None = None
        self.requests: list[tuple[str, str, str | None]] = []
        self.sent = 0


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a stand-in while the block runs."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            hub.requests.append((self.command, self.path, self.headers.get("Range")))
            if hub.fail:
                self._answer(hub.fail, b"{}")
            elif self.path.startswith("/api/models/"):
                self._model_info()
            else:
                self._file()

        do_HEAD = do_GET  # noqa: N815

        def _model_info(self) -> None:
            name = re.sub(r"(/revision/[^/?]+)?(\?.*)?$", "", self.path[12:])
            if name not in hub.repos:
                self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                return
            siblings = [
                {
                    "rfilename": path.name,
                    "size": path.stat().st_size,
                    "lfs": {
                        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                        "size": path.stat().st_size,
                        "pointerSize": 134,
                    },
                }
                for path in sorted(hub.repos[name].iterdir())
            ]
            info = {"id": name, "sha": hub.commit, "siblings": siblings}
            body = json.dumps(info | hub.cards.get(name, {})).encode()
            self._answer(200, body, {"Content-Type": "application/json"})

        def _file(self) -> None:
            found = re.fullmatch(r"/(.+)/resolve/[^/]+/([^/?]+)", self.path)
            assert found is not None, self.path
            folder = hub.repos.get(found[1])
            if folder is None:
                self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
                return
            path = folder / found[2]
            if not path.is_file():
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            headers = {"X-Repo-Commit": hub.commit, "ETag": f'"{digest}"'}
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
            if not wanted or not hub.ranges:
                self._answer(200, content, headers)
                return
            first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self._answer(206, content[first : last + 1], headers)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self._send(body[: hub.cut])

        def _send(self, body: bytes) -> None:
            for start in range(0, len(body), PIECE):
                piece = body[start : start + PIECE]
                try:
                    self.wfile.write(piece)
                except (BrokenPipeError, ConnectionResetError):
                    return
                hub.sent += len(piece)
                time.sleep(hub.pause)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def point_the_hub_library_at(hub: Hub, monkeypatch: Any, cache: Path) -> None:
    """Let huggingface_hub, in this process, ask the stand-in and use a cache."""
    from huggingface_hub import constants, hf_api

    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(hf_api.api, "endpoint", hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
