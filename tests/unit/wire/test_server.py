"""The server's state machine: what a client may send, and what it is told when it sends something else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.wire import codes
from pycontainerd.wire.messages.ttrpc import KeyValue, Response
from pycontainerd.wire.messages.ttrpc import Request as WireRequest
from pycontainerd.wire.server import Abort, Data, HalfClose, Request, ServerSession
from pycontainerd.wire.ttrpc import (
    DATA,
    MAX_PAYLOAD,
    NO_DATA,
    REMOTE_CLOSED,
    REMOTE_OPEN,
    REQUEST,
    RESPONSE,
    Frame,
    FrameReader,
    header,
)


def frame(stream_id: int, kind: int, flags: int, payload: bytes = b"") -> bytes:
    return header(stream_id, kind, flags, len(payload)) + payload


def request(stream_id: int, flags: int = 0, **fields: object) -> bytes:
    return frame(stream_id, REQUEST, flags, WireRequest(service="s.S", method="M", **fields).encode())  # type: ignore[arg-type]


def sent(session: ServerSession) -> list[Frame]:
    size = session.pending
    data = session.outgoing()
    assert len(data) == size
    assert session.pending == 0
    return FrameReader().feed(data)


def status(answer: Frame) -> tuple[int, str]:
    assert answer.kind == RESPONSE
    assert answer.flags == 0
    found = Response.decode(answer.payload or b"").status
    return (found.code, found.message) if found else (0, "")


def test_a_unary_call() -> None:
    session = ServerSession()
    pairs = [KeyValue(key="a", value="1"), KeyValue(key="a", value="2")]
    (event,) = session.receive(request(1, payload=b"in", timeout_nano=5, metadata=pairs))
    assert isinstance(event, Request)
    assert (event.service, event.method, event.payload, event.timeout_ns) == ("s.S", "M", b"in", 5)
    assert event.metadata == [("a", "1"), ("a", "2")]
    assert (event.first("a"), event.first("b")) == ("1", "")
    assert not event.open
    assert session.active == 1
    assert session.respond(1, b"out")
    (answer,) = sent(session)
    assert Response.decode(answer.payload or b"").payload == b"out"
    assert session.active == 0
    assert not session.respond(1, b"again")
    assert not session.fail(1, codes.UNKNOWN, "late")
    assert sent(session) == []


def test_an_empty_answer_is_a_frame_of_length_zero() -> None:
    session = ServerSession()
    session.receive(request(1))
    session.respond(1, b"")
    assert session.outgoing() == header(1, RESPONSE, 0, 0)


def test_a_failed_call() -> None:
    session = ServerSession()
    session.receive(request(1))
    assert session.fail(1, codes.NOT_FOUND, "no such thing")
    (answer,) = sent(session)
    assert status(answer) == (codes.NOT_FOUND, "no such thing")


def test_an_error_text_may_hold_anything() -> None:
    session = ServerSession()
    session.receive(request(1))
    session.fail(1, codes.UNKNOWN, "name \udcff" + "x" * 5_000_000)
    (answer,) = sent(session)
    assert answer.payload is not None
    assert status(answer)[1].startswith("name \\udcff")


def test_a_server_that_streams() -> None:
    session = ServerSession()
    (event,) = session.receive(request(1, REMOTE_CLOSED, payload=b"q"))
    assert isinstance(event, Request)
    assert session.send(1, b"a")
    assert session.send(1, b"")
    assert session.finish(1)
    assert [(f.kind, f.flags, f.payload) for f in sent(session)] == [
        (DATA, 0, b"a"),
        (DATA, 0, b""),
        (DATA, REMOTE_CLOSED | NO_DATA, b""),
    ]
    assert not session.send(1, b"late")
    assert not session.finish(1)


def test_a_client_that_streams() -> None:
    session = ServerSession()
    (event,) = session.receive(request(1, REMOTE_OPEN))
    assert isinstance(event, Request)
    assert event.open
    data, empty, close = session.receive(
        frame(1, DATA, 0, b"a") + frame(1, DATA, 0) + frame(1, DATA, REMOTE_CLOSED | NO_DATA)
    )
    assert isinstance(data, Data)
    assert isinstance(empty, Data)
    assert (data.payload, empty.payload) == (b"a", b"")
    assert isinstance(close, HalfClose)
    assert session.respond(1, b"sum")


def test_ids_must_be_odd_and_grow_and_the_connection_stays_up() -> None:
    session = ServerSession()
    assert session.receive(request(2)) == []
    assert status(sent(session)[0])[0] == codes.INVALID_ARGUMENT
    assert len(session.receive(request(5))) == 1
    for stale in (5, 3):
        assert session.receive(request(stale)) == []
        (answer,) = sent(session)
        assert answer.stream_id == stale
        assert status(answer) == (codes.INVALID_ARGUMENT, "StreamID cannot be reused and must increment")
    assert session.respond(5, b"still answered")
    assert len(session.receive(request(7))) == 1


def test_what_is_no_request_is_refused() -> None:
    session = ServerSession()
    assert session.receive(frame(1, REQUEST, 0, b"\xff\xff")) == []
    code, text = status(sent(session)[0])
    assert (code, text.startswith("unmarshal request error")) == (codes.INVALID_ARGUMENT, True)
    assert session.active == 0


def test_oversized_frames_are_refused_and_end_their_stream() -> None:
    session = ServerSession()
    big = MAX_PAYLOAD + 1
    assert session.receive(header(1, REQUEST, 0, big) + bytes(big)) == []
    assert status(sent(session)[0])[0] == codes.RESOURCE_EXHAUSTED
    session.receive(request(3, REMOTE_OPEN))
    (event,) = session.receive(header(3, DATA, 0, big) + bytes(big))
    assert isinstance(event, Abort)
    assert status(sent(session)[0])[0] == codes.RESOURCE_EXHAUSTED
    assert len(session.receive(request(5))) == 1


def test_oversized_answers_become_errors() -> None:
    session = ServerSession()
    session.receive(request(1) + request(3, REMOTE_CLOSED))
    assert session.respond(1, bytes(MAX_PAYLOAD))
    assert not session.send(3, bytes(MAX_PAYLOAD + 1))
    one, three = sent(session)
    assert status(one)[0] == status(three)[0] == codes.RESOURCE_EXHAUSTED
    assert session.active == 0


def test_data_out_of_place() -> None:
    session = ServerSession()
    session.receive(request(1) + request(3, REMOTE_CLOSED) + request(5, REMOTE_OPEN))
    for stream_id, flags, payload in ((1, 0, b"x"), (3, 0, b"x"), (5, REMOTE_CLOSED, b"x")):
        (event,) = session.receive(frame(stream_id, DATA, flags, payload))
        assert isinstance(event, Abort)
        assert event.stream_id == stream_id
        assert status(sent(session)[0])[0] == codes.INVALID_ARGUMENT
    assert session.receive(frame(9, DATA, 0, b"x")) == []
    assert status(sent(session)[0]) == (codes.INVALID_ARGUMENT, "StreamID is no longer active")


def test_a_half_close_that_crosses_the_answer_is_no_mistake() -> None:
    session = ServerSession()
    session.receive(request(1, REMOTE_OPEN))
    session.respond(1, b"")
    session.outgoing()
    assert session.receive(frame(1, DATA, REMOTE_CLOSED | NO_DATA)) == []
    assert session.outgoing() == b""


def test_unknown_frame_types_are_skipped() -> None:
    session = ServerSession()
    assert session.receive(frame(1, 77, 0, b"x")) == []
    assert session.outgoing() == b""
    assert len(session.receive(request(1))) == 1


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.integers(0, 7), st.binary(max_size=20)), max_size=12)
)
def test_whatever_comes_the_session_lives_and_events_are_consistent(
    frames: list[tuple[int, int, int, bytes]],
) -> None:
    session = ServerSession()
    live: set[int] = set()
    for stream_id, kind, flags, payload in frames:
        for event in session.receive(frame(stream_id, kind, flags, payload)):
            if isinstance(event, Request):
                assert event.stream_id not in live
                live.add(event.stream_id)
            elif isinstance(event, Abort):
                live.remove(event.stream_id)
            else:
                assert event.stream_id in live
    assert session.active == len(live)
    sent(session)
