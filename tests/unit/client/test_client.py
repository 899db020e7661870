"""The pure parts of the client library."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.client import errors, files, images, jsontext, names
from pycontainerd.client.times import NEVER, parse_moment, parse_rfc3339, rfc3339
from pycontainerd.core import errors as core_errors
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.reference import normalize
from pycontainerd.core.settings import check_name
from pycontainerd.wire import codes
from pycontainerd.wire.codes import ConnectError, RpcError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_json_there_and_back(value: object) -> None:
    assert json.loads(jsontext.dumps(value)) == value
    assert jsontext.loads(json.dumps(value, indent=1)) == value
    assert jsontext.loads(jsontext.dumps(value).encode()) == value


@given(st.text(max_size=20))
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - the message is the library's
            jsontext.loads(text)
    else:
        assert jsontext.loads(text) == expected or expected != expected


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)))
def test_times_there_and_back(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    nanoseconds = int((aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000
    assert parse_rfc3339(aware.isoformat()) == nanoseconds
    assert parse_rfc3339(rfc3339(nanoseconds)) == nanoseconds


def test_times_people_type() -> None:
    now = 1_800_000_000 * 10**9
    assert parse_moment("10m", now) == now - 600 * 10**9
    assert parse_moment("1700000000.5", now) == 1_700_000_000_500_000_000
    assert parse_moment("2024-01-02", now) == parse_rfc3339("2024-01-02T00:00:00Z")
    assert parse_moment("2024-01-02T03:04:05+02:00", now) == parse_rfc3339("2024-01-02T01:04:05Z")
    assert rfc3339(0) == NEVER
    assert parse_rfc3339(NEVER) == 0
    for bad in ("", "yesterday", "2024-13-01", "1x"):
        with pytest.raises(InvalidArgument):
            parse_moment(bad, now)


@pytest.mark.parametrize(
    "text",
    [
        "busybox",
        "busybox:1.36",
        "team/app",
        "team/app:v1",
        "localhost/app",
        "localhost:5000/app",
        "127.0.0.1:5000/a/b:c",
        "docker.io/busybox",
        "docker.io/library/busybox:latest",
        "ghcr.io/a/b",
        "index.docker.io/team/app",
        "busybox@sha256:" + "0" * 64,
        "quay.io/a/b:c@sha256:" + "0" * 64,
    ],
)
def test_short_names_stand_for_what_docker_says(text: str) -> None:
    assert images.expand(text) == str(normalize(text))


def test_familiar_names() -> None:
    assert images.familiar("docker.io/library/busybox:1") == "busybox:1"
    assert images.familiar("docker.io/team/app:1") == "team/app:1"
    assert images.split_name("docker.io/library/busybox:1") == ("busybox", "1", "")
    assert images.split_name("127.0.0.1:5000/a") == ("127.0.0.1:5000/a", "", "")
    assert images.split_name("quay.io/a@sha256:00") == ("quay.io/a", "", "sha256:00")


def test_platforms() -> None:
    assert images.parse_platform("linux/arm64/v8") == ("linux", "arm64", "")
    assert images.parse_platform("linux/x86_64") == ("linux", "amd64", "")
    assert images.parse_platform("arm64") == ("linux", "arm64", "")
    for bad in ("linux//x", "a/b/c/d"):
        with pytest.raises(InvalidArgument):
            images.parse_platform(bad)


def test_the_best_manifest_comes_first() -> None:
    index = {
        "manifests": [
            {"digest": "v6", "platform": {"os": "linux", "architecture": "arm", "variant": "v6"}},
            {"digest": "v7", "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
            {"digest": "signature", "platform": {"os": "unknown", "architecture": "unknown"}},
        ]
    }
    assert images._candidates(index, ("linux", "arm", "v7")) == ["v7", "v6"]
    assert images._candidates(index, ("linux", "amd64", "")) == []


@pytest.mark.parametrize(
    ("code", "text", "cls", "what"),
    [
        (codes.NOT_FOUND, 'image "x": not found', core_errors.NotFound, 'image "x"'),
        (codes.FAILED_PRECONDITION, "busy: conflict", core_errors.Conflict, "busy"),
        (codes.UNKNOWN, "anything", core_errors.Unknown, "anything"),
        (codes.UNIMPLEMENTED, "service a.B", core_errors.Unimplemented, "the daemon does not offer service a.B"),
        (99, "odd", core_errors.Unknown, "odd"),
    ],
)
def test_errors_come_back_as_their_classes(
    code: int, text: str, cls: type[core_errors.PycontainerdError], what: str
) -> None:
    error = errors.from_rpc(RpcError(code, text))
    assert type(error) is cls
    assert error.what == what


def test_every_code_has_a_class() -> None:
    assert set(errors._CLASSES) == set(codes.VALUES.values()) - {codes.OK}
    assert isinstance(errors.from_rpc(ConnectError(codes.UNAVAILABLE, "x")), core_errors.Unavailable)


def test_made_up_names_are_valid() -> None:
    made = {names.random_name(attempt) for attempt in range(200)}
    assert len(made) > 150
    for name in made:
        assert check_name(name) == name


def test_resolver_settings() -> None:
    text = files._resolv_conf({"Dns": ["1.2.3.4"], "DnsSearch": ["a.b"], "DnsOptions": ["ndots:2"]})
    assert text == "nameserver 1.2.3.4\nsearch a.b\noptions ndots:2\n"
    hosts = files._hosts("box", {"NetworkMode": "none", "ExtraHosts": ["db:10.0.0.1", "v6:::1"]})
    assert "10.0.0.1\tdb\n" in hosts
    assert "::1\tv6\n" in hosts
