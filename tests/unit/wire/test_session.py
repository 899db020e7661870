"""The client's state machine, also against the server's."""

from __future__ import annotations

import pytest

from pycontainerd.wire import codes
from pycontainerd.wire.server import Data, HalfClose, Request, ServerSession
from pycontainerd.wire.session import CLIENT_STREAM, SERVER_STREAM, Answer, ClientSession, End, Item
from pycontainerd.wire.ttrpc import DATA, MAX_PAYLOAD, REMOTE_CLOSED, RESPONSE, header


def test_a_unary_call_carries_everything_to_the_server_and_back() -> None:
    client, server = ClientSession(), ServerSession()
    stream_id = client.open("s.S", "M", b"in", timeout_ns=9, metadata=[("k", "v"), ("k", "w")])
    (request,) = server.receive(client.outgoing())
    assert isinstance(request, Request)
    assert (request.service, request.method, request.payload, request.timeout_ns) == ("s.S", "M", b"in", 9)
    assert request.metadata == [("k", "v"), ("k", "w")]
    server.respond(request.stream_id, b"out")
    (answer,) = client.receive(server.outgoing())
    assert isinstance(answer, Answer)
    assert (answer.stream_id, answer.payload, answer.code) == (stream_id, b"out", codes.OK)
    assert client.active == ()


def test_ids_are_odd_and_grow() -> None:
    client = ClientSession()
    assert [client.open("s", "m") for _ in range(3)] == [1, 3, 5]


def test_ids_run_out() -> None:
    client = ClientSession()
    client._next_id = 0xFFFFFFFF
    assert client.open("s", "m") == 0xFFFFFFFF
    with pytest.raises(codes.RpcError, match="used up"):
        client.open("s", "m")


def test_both_sides_stream() -> None:
    client, server = ClientSession(), ServerSession()
    stream_id = client.open("s", "m", kind=CLIENT_STREAM)
    client.send(stream_id, b"1")
    client.close_send(stream_id)
    client.close_send(stream_id)
    request, data, close = server.receive(client.outgoing())
    assert isinstance(request, Request)
    assert request.open
    assert isinstance(data, Data)
    assert isinstance(close, HalfClose)
    with pytest.raises(ValueError, match="closed for sending"):
        client.send(stream_id, b"2")
    server.send(1, b"a")
    server.finish(1)
    item, end = client.receive(server.outgoing())
    assert isinstance(item, Item)
    assert item.payload == b"a"
    assert isinstance(end, End)
    client.close_send(stream_id)
    assert client.outgoing() == b""


def test_an_error_ends_a_stream() -> None:
    client, server = ClientSession(), ServerSession()
    client.open("s", "m", kind=SERVER_STREAM)
    server.receive(client.outgoing())
    server.send(1, b"a")
    server.fail(1, codes.ABORTED, "enough")
    item, answer = client.receive(server.outgoing())
    assert isinstance(item, Item)
    assert isinstance(answer, Answer)
    assert (answer.code, answer.message) == (codes.ABORTED, "enough")


def test_the_last_message_may_carry_the_end() -> None:
    client = ClientSession()
    client.open("s", "m", kind=SERVER_STREAM)
    item, end = client.receive(header(1, DATA, REMOTE_CLOSED, 1) + b"x")
    assert isinstance(item, Item)
    assert isinstance(end, End)


def test_what_is_given_up_is_dropped() -> None:
    client, server = ClientSession(), ServerSession()
    stream_id = client.open("s", "m")
    server.receive(client.outgoing())
    client.forget(stream_id)
    server.respond(stream_id, b"late")
    assert client.receive(server.outgoing()) == []


def test_too_large_to_send_is_refused_before_a_byte_is_queued() -> None:
    client = ClientSession()
    with pytest.raises(codes.RpcError) as caught:
        client.open("s", "m", bytes(MAX_PAYLOAD + 1))
    assert caught.value.code == codes.RESOURCE_EXHAUSTED
    assert client.outgoing() == b""
    assert client.active == ()


def test_an_answer_too_large_or_damaged_is_an_error_of_its_call() -> None:
    client = ClientSession()
    client.open("s", "m")
    client.open("s", "m")
    big, bad = client.receive(
        header(1, RESPONSE, 0, MAX_PAYLOAD + 1) + bytes(MAX_PAYLOAD + 1) + header(3, RESPONSE, 0, 1) + b"\x0a"
    )
    assert isinstance(big, Answer)
    assert isinstance(bad, Answer)
    assert (big.code, bad.code) == (codes.RESOURCE_EXHAUSTED, codes.INTERNAL)
