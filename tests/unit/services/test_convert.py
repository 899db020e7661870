from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.api.containers.v1 import containers_pb2
from pycontainerd.api.streaming.v1 import streaming_pb2
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.values import AnyValue, Descriptor, Mount
from pycontainerd.services import convert


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_times_survive_the_trip(when: datetime) -> None:
    assert convert.from_timestamp(convert.to_timestamp(when)) == when


def test_an_unset_time_travels_as_year_one() -> None:
    assert convert.to_timestamp(None) == Timestamp(seconds=-62135596800)
    assert convert.from_timestamp(convert.to_timestamp(None)) is None


def test_times_before_the_epoch_keep_positive_nanos() -> None:
    when = datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC)
    assert convert.to_timestamp(when) == Timestamp(seconds=-1, nanos=500_000_000)


@pytest.mark.parametrize("seconds", [-(1 << 62), 1 << 62, 253402300800])
def test_times_out_of_range_are_refused(seconds: int) -> None:
    with pytest.raises(InvalidArgument):
        convert.from_timestamp(Timestamp(seconds=seconds))


def test_now_is_aware() -> None:
    assert convert.now().utcoffset() == timedelta(0)


def test_an_absent_sub_message_is_named() -> None:
    with pytest.raises(InvalidArgument, match="carries no container"):
        convert.require(containers_pb2.CreateContainerRequest(), "container")
    convert.require(containers_pb2.CreateContainerRequest(container=containers_pb2.Container()), "container")


def test_absent_and_empty_anys_differ() -> None:
    assert convert.optional_any(containers_pb2.Container(), "spec") is None
    assert convert.optional_any(containers_pb2.Container(spec=Any()), "spec") == AnyValue()
    assert convert.to_any(None) is None


def test_type_urls_carry_no_prefix_and_both_spellings_are_read() -> None:
    packed = convert.pack(streaming_pb2.StreamInit(id="x"))
    assert packed.type_url == "containerd.services.streaming.v1.StreamInit"
    for prefix in ("", "type.googleapis.com/"):
        assert convert.type_name(Any(type_url=prefix + packed.type_url)) == packed.type_url
    spec = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
    assert convert.type_name(Any(type_url=spec)) == spec


def test_descriptors_and_mounts_survive_the_trip() -> None:
    descriptor = Descriptor("t", "sha256:0", 3, (("a", "1"), ("b", "2")))
    assert convert.from_descriptor(convert.to_descriptor(descriptor)) == descriptor
    mounts = (Mount("bind", "/a", "", ("ro", "rbind")), Mount("overlay", "overlay", "t", ()))
    assert convert.from_mounts(convert.to_mounts(mounts)) == mounts
