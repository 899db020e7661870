"""The small codec is held against Google's: same bytes, same meaning, same refusals."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.message import DecodeError as GoogleDecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycontainerd.wire import codec
from pycontainerd.wire.messages import bootstrap, google_rpc, health, images, reflection_v1, task_v3, types
from pycontainerd.wire.messages import google as wkt
from tests.unit.wire.messages import TYPES, descriptor, drops_an_entry, google, google_messages, ours, to_ours

if TYPE_CHECKING:
    from google.protobuf.message import Message as GoogleMessage

TYPES_WITH_FIELDS = [name for name in TYPES if descriptor(name).fields]
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def assert_same_meaning(type_name: str, data: bytes) -> None:
    """Both refuse the bytes, or both read the same message."""
    mine, refusal, theirs = None, "", google(type_name)()
    try:
        mine = ours(type_name).decode(data)
    except codec.DecodeError as error:
        refusal = str(error)
    try:
        theirs.ParseFromString(data)
    except GoogleDecodeError:
        assert mine is None, data.hex()
        return
    if mine is None:
        # Google's lets field number 0 pass in messages that have no fields.
        assert "field number 0" in refusal, data.hex()
        return
    if not drops_an_entry(theirs):
        theirs.DiscardUnknownFields()
        again = google(type_name).FromString(mine.encode())
        # compared as bytes, because a NaN is not equal to itself
        assert again.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True), data.hex()


def mutated(rng: random.Random, data: bytes) -> bytes:
    """The bytes with a few of them changed, cut, repeated or inserted."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        place = rng.randint(0, len(out))
        change = rng.randrange(4)
        if change == 0 and out:
            out[place % len(out)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif change == 1:
            del out[place:]
        elif change == 2:
            out[place:place] = out[: rng.randint(0, len(out))]
        else:
            out[place:place] = rng.randbytes(rng.randint(1, 4))
    return bytes(out)


@pytest.mark.parametrize("type_name", TYPES)
def test_every_message_reads_and_writes_as_googles_does(type_name: str) -> None:
    # derandomized, because 300 types with a shared example database would crowd it
    @settings(QUICK, max_examples=8)
    @given(google_messages(type_name))
    def hold(theirs: GoogleMessage) -> None:
        data = theirs.SerializeToString()
        mine = ours(type_name).decode(data)
        assert mine == to_ours(theirs)
        assert google(type_name).FromString(mine.encode()) == theirs
        assert ours(type_name).decode(memoryview(bytearray(data))) == mine

    hold()


# Google's Python turns a signalling NaN of 32 bits into a quiet one, so FloatValue can differ in a bit.
@pytest.mark.parametrize("type_name", [name for name in TYPES if name != "google.protobuf.FloatValue"])
def test_damaged_bytes_mean_the_same_to_both(type_name: str) -> None:
    @settings(QUICK, max_examples=6)
    @given(google_messages(type_name, 2), st.integers(0, 2**32))
    def hold(message: GoogleMessage, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(5):
            assert_same_meaning(type_name, mutated(rng, message.SerializeToString()))

    hold()


@given(st.binary(max_size=200), st.sampled_from(TYPES_WITH_FIELDS))
@settings(QUICK, max_examples=600)
def test_random_bytes_mean_the_same_to_both(data: bytes, type_name: str) -> None:
    assert_same_meaning(type_name, data)


@pytest.mark.parametrize("type_name", TYPES)
def test_an_empty_message_is_no_bytes_and_equals_itself(type_name: str) -> None:
    message = ours(type_name)()
    assert message.encode() == b""
    assert message == ours(type_name).decode(b"")
    assert repr(message) == f"{type(message).__qualname__}()"
    assert type_name == message.TYPE


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "end within a field"),
        (b"\x0a\x05ab", "end within a field"),
        (b"\x0a\xff\xff\xff\xff\x0fx", "end within a field"),
        (b"\x50" + b"\x80" * 11, "more than ten bytes"),
        (b"\x80\x80\x80\x80\x80\x01\x00", "more than 32 bits"),
        (b"\xff\xff\xff\xff\x7f\x00", "more than 32 bits"),
        (b"\x00\x01", "field number 0"),
        (b"\x0f", "wire type 7"),
        (b"\x0c", "never began"),
        (b"\xf9\x01\x00", "end within a field"),
        (b"\xfb\x01\x08\x01", "end within a field"),
        (b"\xfb\x01\x0c", "never began"),
        (b"\xfb\x01" * 200, "too deep"),
        (b"\x0a\x01\xff", "not UTF-8"),
    ],
)
def test_bad_bytes_are_refused_with_the_type_and_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(codec.DecodeError, match=why) as caught:
        task_v3.CreateTaskRequest.decode(data)
    assert "containerd.task.v3.CreateTaskRequest" in str(caught.value)
    with pytest.raises(GoogleDecodeError):
        google("containerd.task.v3.CreateTaskRequest").FromString(data)


@pytest.mark.parametrize(
    ("cls", "values", "what"),
    [
        (task_v3.KillRequest, {"signal": -1}, "KillRequest.signal: -1 does not fit in uint32"),
        (task_v3.KillRequest, {"signal": 2**32}, "does not fit in uint32"),
        (wkt.Timestamp, {"seconds": 2**63}, "Timestamp.seconds: .* does not fit in int64"),
        (wkt.Timestamp, {"nanos": -(2**31) - 1}, "does not fit in int32"),
        (task_v3.KillRequest, {"id": 5}, "KillRequest.id"),
        (task_v3.KillRequest, {"id": b"x"}, "KillRequest.id"),
        (task_v3.KillRequest, {"id": task_v3.KillRequest(id="x")}, "KillRequest.id"),
        (task_v3.KillRequest, {"all": 3}, "KillRequest.all: wants a bool, got int"),
        (task_v3.KillRequest, {"signal": "9"}, "KillRequest.signal"),
        (task_v3.KillRequest, {"signal": 9.0}, "KillRequest.signal"),
        (wkt.Any, {"value": "text"}, "Any.value"),
        (wkt.Any, {"value": 3}, "Any.value"),
        (task_v3.CreateTaskRequest, {"options": "x"}, "options: wants a google.protobuf.Any, got str"),
        (task_v3.CreateTaskRequest, {"rootfs": [types.Platform()]}, "rootfs: wants a containerd.types.Mount"),
        (task_v3.UpdateTaskRequest, {"annotations": {1: "x"}}, "UpdateTaskRequest.annotations"),
        (wkt.DoubleValue, {"value": "x"}, "DoubleValue.value"),
        (types.Mount, {"type": "\ud800"}, "Mount.type"),
        (
            reflection_v1.ServerReflectionRequest,
            {"list_services": "*", "file_by_filename": "x"},
            "only one of file_by_filename, list_services may be set",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_naming_the_field(cls: Any, values: dict[str, Any], what: str) -> None:
    with pytest.raises(codec.EncodeError, match=what):
        cls(**values).encode()


def test_an_unknown_field_name_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="exec_di"):
        task_v3.StateRequest(exec_di="x")  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        task_v3.StateRequest().exec_di = "x"  # type: ignore[attr-defined]


def test_what_is_absent_is_told_from_what_is_empty() -> None:
    params = bootstrap.BootstrapParams.decode(b"")
    assert params.socket_dir is None
    assert bootstrap.BootstrapParams.decode(bootstrap.BootstrapParams(socket_dir="").encode()).socket_dir == ""
    assert images.DeleteImageRequest.decode(b"").target is None
    present = images.DeleteImageRequest.decode(images.DeleteImageRequest(target=types.Descriptor()).encode())
    assert present.target == types.Descriptor()


def test_a_message_in_pieces_is_merged_and_numbers_are_read_packed_or_not() -> None:
    first = types.Envelope(timestamp=wkt.Timestamp(seconds=5), topic="/a").encode()
    second = types.Envelope(timestamp=wkt.Timestamp(nanos=7), topic="/b").encode()
    assert types.Envelope.decode(first + second) == types.Envelope(
        timestamp=wkt.Timestamp(seconds=5, nanos=7), topic="/b"
    )
    # bootstrap.BootstrapResult.capabilities, field 4: once packed, once not
    assert bootstrap.BootstrapResult.decode(b"\x22\x02\x01\x02\x20\x03").capabilities == [1, 2, 3]


def test_the_last_member_of_a_oneof_wins() -> None:
    one = reflection_v1.ServerReflectionRequest(file_by_filename="a").encode()
    two = reflection_v1.ServerReflectionRequest(list_services="").encode()
    message = reflection_v1.ServerReflectionRequest.decode(one + two)
    assert message.which("message_request") == "list_services"
    assert (message.file_by_filename, message.list_services) == (None, "")
    assert reflection_v1.ServerReflectionRequest().which("message_request") is None


def test_a_map_entry_without_a_value_holds_the_default() -> None:
    listed = health.HealthListResponse.decode(b"\x0a\x03\x0a\x01a")
    assert listed.statuses == {"a": health.HealthCheckResponse()}


def test_minus_zero_is_not_the_default() -> None:
    assert wkt.DoubleValue(value=-0.0).encode() != b""
    assert wkt.DoubleValue(value=0.0).encode() == b""
    assert str(wkt.DoubleValue.decode(wkt.DoubleValue(value=-0.0).encode()).value) == "-0.0"


def test_constructor_values_are_copied_and_defaults_are_not_shared() -> None:
    options = ["ro"]
    mount = types.Mount(options=options)
    mount.options.append("rbind")
    assert options == ["ro"]
    assert types.Mount().options is not types.Mount().options
    assert types.Descriptor().annotations is not types.Descriptor().annotations


def test_enums_are_ints_with_names() -> None:
    assert health.HealthCheckResponse.ServingStatus.SERVING == 1
    assert codec.names(google_rpc.Code)[14] == "UNAVAILABLE"
    assert codec.names(bootstrap.LogLevel)[-8] == "LOG_LEVEL_TRACE"
    # an unknown value of an open enum survives
    assert health.HealthCheckResponse.decode(health.HealthCheckResponse(status=99).encode()).status == 99


def test_repr_shows_what_is_set() -> None:
    assert repr(types.Mount(type="bind", options=["ro"])) == "Mount(type='bind', options=['ro'])"
    assert "socket_dir=''" in repr(bootstrap.BootstrapParams(socket_dir=""))


def test_equality_needs_the_same_type() -> None:
    assert task_v3.StateRequest(id="a") != task_v3.StartRequest(id="a")
    assert task_v3.StateRequest(id="a") != "a"
    with pytest.raises(TypeError):
        hash(task_v3.StateRequest())


def test_warming_links_everything_a_class_can_hold() -> None:
    codec.warm(task_v3.CreateTaskRequest)
    assert "_linked" in vars(task_v3.CreateTaskRequest)
    assert "_linked" in vars(types.Mount)
    assert "_linked" in vars(wkt.Any)
