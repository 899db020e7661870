"""Frames are cut out of a byte stream wherever it is split."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.wire.ttrpc import DATA, MAX_PAYLOAD, REQUEST, RESPONSE, FrameReader, header

FRAMES = st.lists(
    st.tuples(
        st.integers(0, 2**32 - 1), st.sampled_from([REQUEST, RESPONSE, DATA, 9]), st.integers(0, 255), st.binary()
    ),
    max_size=5,
)


@given(FRAMES, st.data())
def test_frames_come_out_as_they_went_in_however_the_bytes_are_cut(
    frames: list[tuple[int, int, int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(header(sid, kind, flags, len(body)) + body for sid, kind, flags, body in frames)
    reader, seen, pos = FrameReader(), [], 0
    while pos < len(stream):
        size = data.draw(st.integers(1, len(stream)))
        seen += reader.feed(stream[pos : pos + size])
        pos += size
    assert [(f.stream_id, f.kind, f.flags, f.payload) for f in seen] == frames
    assert reader.idle


def test_the_header_is_ten_bytes_in_network_order() -> None:
    assert header(3, REQUEST, 2, 0x010203) == b"\x00\x01\x02\x03\x00\x00\x00\x03\x01\x02"


def test_a_payload_of_the_greatest_size_passes() -> None:
    (frame,) = FrameReader().feed(header(1, DATA, 0, MAX_PAYLOAD) + bytes(MAX_PAYLOAD))
    assert frame.payload == bytes(MAX_PAYLOAD)


def test_an_oversized_payload_is_reported_at_once_and_thrown_away() -> None:
    reader = FrameReader()
    size = MAX_PAYLOAD + 1
    (frame,) = reader.feed(header(1, DATA, 0, size) + b"x" * 100)
    assert (frame.payload, frame.length) == (None, size)
    assert not reader.idle
    left = size - 100
    while left > 70000:
        assert reader.feed(b"y" * 70000) == []
        left -= 70000
    following = header(3, DATA, 0, 2) + b"ok"
    (next_frame,) = reader.feed(b"y" * left + following)
    assert (next_frame.stream_id, next_frame.payload) == (3, b"ok")
    assert reader.idle


def test_two_oversized_payloads_in_a_row() -> None:
    reader = FrameReader()
    size = MAX_PAYLOAD + 5
    stream = (header(1, DATA, 0, size) + bytes(size)) * 2 + header(5, DATA, 0, 0)
    assert [frame.stream_id for frame in reader.feed(stream)] == [1, 1, 5]
