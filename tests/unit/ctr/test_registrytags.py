"""Listing tags: pages, and tokens that registries ask for."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from ctr.errors import Failure
from ctr.registrytags import tags
from pycontainerd.core.reference import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handler(BaseHTTPRequestHandler):
    """Two pages, behind a token that is had without a name; ``/broken`` says nonsense, ``/locked`` gives no token."""

    def do_GET(self) -> None:
        host = self.headers["Host"]
        if self.path.startswith("/token?service=reg&scope=repository%3Aa%2Fb%3Apull"):
            self._say(200, {"token": "secret"})
        elif "/broken/" in self.path:
            self._say(200, None)
        elif "/a/b/" not in self.path:
            self._say(404, {})
        elif self.headers.get("Authorization") != "Bearer secret":
            challenge = f'Bearer realm="http://{host}/token",service="reg",scope="repository:a/b:pull"'
            self._say(401, {}, ("WWW-Authenticate", challenge))
        elif "last=" in self.path:
            self._say(200, {"name": "a/b", "tags": ["3"]})
        else:
            self._say(200, {"tags": ["1", "2"]}, ("Link", '</v2/a/b/tags/list?last=2>; rel="next"'))

    def _say(self, code: int, document: object, *headers: tuple[str, str]) -> None:
        data = json.dumps(document).encode() if document is not None else b"<html>"
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_pages_behind_a_token() -> None:
    with served() as host:
        assert tags(normalize(f"{host}/a/b")) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("path", "words"), [("no/such", "404 Not Found"), ("broken/x", "does not answer as a registry does")]
)
def test_refusals(path: str, words: str) -> None:
    with served() as host, pytest.raises(Failure, match=words):
        tags(normalize(f"{host}/{path}"))


def test_nobody_there() -> None:
    with served() as host:
        pass
    with pytest.raises(Failure, match="cannot be reached"):
        tags(normalize(f"{host}/a/b"))
