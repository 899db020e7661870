"""The blocking client against a small server on a real socket."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.wire import codes
from pycontainerd.wire.client import Client, Stream, shim_address, socket_path
from pycontainerd.wire.messages.events import SubscribeRequest
from pycontainerd.wire.messages.google import Any as AnyMessage
from pycontainerd.wire.messages.google import Empty
from pycontainerd.wire.messages.types import Envelope
from pycontainerd.wire.messages.version import VersionResponse
from pycontainerd.wire.server import Data, HalfClose, Request, ServerSession
from pycontainerd.wire.ttrpc import MAX_PAYLOAD

Handler = Callable[[ServerSession, Any], None]


class Server:
    """Serves each connection in a thread; what to do with an event is the test's."""

    def __init__(self, address: str, handler: Handler) -> None:
        self.handler = handler
        self.accepted = 0
        self.closed = threading.Semaphore(0)
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(address)
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        session = ServerSession()
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(65536):
                for event in session.receive(data):
                    self.handler(session, event)
                connection.sendall(session.outgoing())
        self.closed.release()

    def drop_connections(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(5)


def echo(session: ServerSession, event: Any) -> None:
    """Version answers what it was asked with; Subscribe counts; Stream gives everything back; Fail fails."""
    if isinstance(event, Request):
        if event.method == "Version":
            text = ",".join(f"{key}={value}" for key, value in event.metadata)
            session.respond(event.stream_id, VersionResponse(version=event.service, revision=text).encode())
        elif event.method == "Subscribe":
            for number in range(3):
                session.send(event.stream_id, Envelope(topic=f"/{number}").encode())
            session.finish(event.stream_id)
        elif event.method == "Fail":
            session.fail(event.stream_id, codes.NOT_FOUND, "no such thing")
        elif event.method == "Garbage":
            session.respond(event.stream_id, b"\xff")
        elif event.method == "Vanish":
            raise OSError
    elif isinstance(event, Data):
        session.send(event.stream_id, event.payload)
    elif isinstance(event, HalfClose):
        session.finish(event.stream_id)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(str(tmp_path / "s"), echo)
    yield started
    started.stop()


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Iterator[Client]:
    metadata = [("traceparent", "00-a-b-01")]
    with Client(str(tmp_path / "s"), namespace="ns", lease="l", metadata=metadata) as made:
        yield made


def test_a_call_carries_namespace_lease_and_metadata(client: Client) -> None:
    answer = client.call("x.Version", "Version", Empty(), VersionResponse)
    assert answer.version == "x.Version"
    assert answer.revision == "traceparent=00-a-b-01,containerd-namespace-ttrpc=ns,containerd-lease=l"


def test_calls_share_one_connection_and_streams_have_their_own(server: Server, client: Client) -> None:
    began = time.monotonic()
    for timeout in (None, 5, 5, None):
        client.call("v", "Version", Empty(), VersionResponse, timeout)
    assert server.accepted == 1
    assert time.monotonic() - began < 2
    assert [event.topic for event in client.stream("e", "Subscribe", SubscribeRequest(), Envelope)] == [
        "/0",
        "/1",
        "/2",
    ]
    assert server.accepted == 2


def test_both_sides_stream(client: Client) -> None:
    with client.open_stream("s", "Stream", AnyMessage) as stream:
        for number in range(3):
            stream.send(AnyMessage(type_url=str(number), value=bytes(100_000)))
            assert (stream.recv() or AnyMessage()).type_url == str(number)
        stream.close_send()
        assert stream.recv() is None
        assert stream.recv() is None
        with pytest.raises(codes.RpcError, match="the call is over"):
            stream.send(AnyMessage())


def test_the_servers_error_is_raised_with_its_code(client: Client) -> None:
    with pytest.raises(codes.RpcError) as caught:
        client.call("v", "Fail", Empty(), Empty)
    assert (caught.value.code, str(caught.value)) == (codes.NOT_FOUND, "no such thing")
    assert repr(caught.value) == "RpcError(NOT_FOUND, 'no such thing')"
    # the connection is as good as before
    assert client.call("v", "Version", Empty(), VersionResponse).version == "v"


def test_a_stream_that_fails_raises_and_stays_failed(client: Client) -> None:
    stream = client.stream("v", "Fail", Empty(), Empty)
    for _ in range(2):
        with pytest.raises(codes.RpcError, match="no such thing"):
            stream.recv()


def test_a_sender_learns_why_it_was_refused(client: Client) -> None:
    def send_on(stream: Stream[Empty]) -> None:
        for _ in range(1000):
            stream.send(AnyMessage(value=b"x" * 1000))
            time.sleep(0.001)

    with client.open_stream("v", "Fail", Empty) as stream, pytest.raises(codes.RpcError, match="no such thing"):
        send_on(stream)


def test_a_call_that_takes_too_long_is_given_up_and_its_connection_closed(server: Server, client: Client) -> None:
    began = time.monotonic()
    with pytest.raises(codes.RpcError) as caught:
        client.call("v", "Hang", Empty(), Empty, timeout=0.1)
    assert caught.value.code == codes.DEADLINE_EXCEEDED
    assert 0.09 < time.monotonic() - began < 5
    assert server.closed.acquire(timeout=5)
    assert client.call("v", "Version", Empty(), VersionResponse, timeout=5).version == "v"


def test_waiting_on_a_stream_can_be_limited_and_closing_it_is_the_cancel(server: Server, client: Client) -> None:
    stream = client.stream("v", "Hang", Empty(), Empty)
    with pytest.raises(codes.RpcError, match="in time"):
        stream.recv(timeout=0.05)
    assert server.closed.acquire(timeout=5)
    with client.stream("v", "Hang", Empty(), Empty):
        pass
    assert server.closed.acquire(timeout=5)


def test_a_connection_lost_before_the_answer(client: Client) -> None:
    with pytest.raises(codes.ConnectionLost) as caught:
        client.call("v", "Vanish", Empty(), Empty)
    assert caught.value.code == codes.UNAVAILABLE
    assert "closed the connection before it answered" in str(caught.value)


def test_a_server_that_was_restarted_between_calls_is_not_noticed(server: Server, client: Client) -> None:
    client.call("v", "Version", Empty(), VersionResponse)
    server.drop_connections()
    assert server.closed.acquire(timeout=5)
    assert client.call("v", "Version", Empty(), VersionResponse).version == "v"
    assert server.accepted == 2


def test_an_answer_that_cannot_be_read(client: Client) -> None:
    with pytest.raises(codes.RpcError, match="cannot be read") as caught:
        client.call("v", "Garbage", Empty(), VersionResponse)
    assert caught.value.code == codes.INTERNAL


def test_calling_a_stream_as_unary_is_an_error(client: Client) -> None:
    with pytest.raises(codes.RpcError, match="no unary method"):
        client.call("v", "Subscribe", Empty(), Empty)
    assert client.call("v", "Version", Empty(), VersionResponse).version == "v"


def test_a_request_too_large_is_refused_here(client: Client) -> None:
    with pytest.raises(codes.RpcError) as caught:
        client.call("v", "Version", AnyMessage(value=bytes(MAX_PAYLOAD)), Empty)
    assert caught.value.code == codes.RESOURCE_EXHAUSTED
    assert client.call("v", "Version", Empty(), VersionResponse).version == "v"


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(codes.ConnectError, match="No such file") as caught:
        Client(str(tmp_path / "none")).call("v", "Version", Empty(), Empty)
    assert caught.value.code == codes.UNAVAILABLE
    with pytest.raises(codes.ConnectError, match="too long"):
        Client("/" + "x" * 200).call("v", "Version", Empty(), Empty)


def test_an_abstract_address() -> None:
    name = f"pycontainerd-test-{os.getpid()}"
    server = Server("\0" + name, echo)
    try:
        for address in ("@" + name, "unix://@" + name, shim_address(name)):
            with Client(address) as client:
                assert client.call("v", "Version", Empty(), VersionResponse).version == "v"
    finally:
        server.stop()


def test_addresses() -> None:
    assert socket_path("unix:///run/x.sock") == "/run/x.sock"
    assert socket_path("ttrpc+unix:///run/x.sock") == "/run/x.sock"
    assert socket_path("/run/x.sock") == "/run/x.sock"
    assert shim_address("unix:///run/x.sock") == "unix:///run/x.sock"
    assert socket_path(shim_address("/containerd-shim/x.sock")) == "\0/containerd-shim/x.sock"
    for bad in ("", "/", "run/x.sock", "tcp://localhost:1", "unix://x"):
        with pytest.raises(ValueError, match="address"):
            socket_path(bad)
