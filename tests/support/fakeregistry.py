"""A registry in a thread, whose every answer a test can bend: what a real one never does on command."""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.support.images import Built


@dataclass
class Request:
    """What a client asked; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Answer:
    """What it gets; ``cut`` bytes are announced but not sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


Hook = Callable[[Request], Answer | None]


@dataclass
class FakeRegistry:
    """Serves images added by ``add``; ``hooks`` are asked first, in order, and may answer instead."""

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    hooks: list[Hook] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def add(self, image: Built, repository: str, tag: str = "latest") -> str:
        """Offer an image; return its reference."""
        for digest, data in image.blobs.items():
            if data[:1] == b"{" and b'"schemaVersion"' in data[:40]:
                self.manifests[f"{repository}/{digest}"] = data
            self.blobs[digest] = data
        self.manifests[f"{repository}/{tag}"] = image.blobs[image.digest]
        return f"{self.host}/{repository}:{tag}"

    def answer(self, request: Request) -> Answer:
        """The answer to one request."""
        self.requests.append(request)
        for hook in list(self.hooks):
            found = hook(request)
            if found is not None:
                return found
        path = request.path.partition("?")[0].removeprefix("/v2/")
        repository, kind, name = path.rsplit("/", 2)
        if kind == "manifests":
            return self._manifest(self.manifests.get(f"{repository}/{name}"))
        data = self.blobs.get(name)
        if data is None:
            return Answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}')
        start = request.headers.get("range", "").removeprefix("bytes=").removesuffix("-")
        if start:
            content = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return Answer(206, data[int(start) :], content)
        return Answer(200, data)

    def _manifest(self, data: bytes | None) -> Answer:
        from tests.support.images import digest

        if data is None:
            return Answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        headers = {"Content-Type": json.loads(data)["mediaType"], "Docker-Content-Digest": digest(data)}
        return Answer(200, data, headers)


@contextlib.contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    """Run one on loopback."""
    fake = FakeRegistry()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self.rfile.read(length)
            headers = {key.lower(): value for key, value in self.headers.items()}
            answer = fake.answer(Request(self.command, self.path, headers))
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: len(answer.body) - answer.cut])
            if answer.cut:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = _serve  # noqa: N815 - the names http.server wants

        def log_message(self, *args: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        fake.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
