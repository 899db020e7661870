"""Log drivers: Docker's options and messages, and what the shim is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import logdrivers
from pycontainerd.core.errors import InvalidArgument
from shim.stdio.uri import parse


def document(driver: str = "", **options: str) -> dict[str, Any]:
    return {
        "Name": "web",
        "Image": "sha256:" + "ab" * 32,
        "Config": {"Env": ["A=1", "B=x=y", "LANG=C"], "Labels": {"team": "blue", "tier": "1"}, "Image": "nginx:1"},
        "HostConfig": {"LogConfig": {"Type": driver, "Config": {k.replace("_", "-"): v for k, v in options.items()}}},
        "LogPath": "/logs/x.log" if driver in ("", "json-file", "cri") else "",
    }


ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("gelf", {}, "logger: no log driver named 'gelf' is registered"),
        ("json-file", {"nope": "1"}, "unknown log opt 'nope' for json-file log driver"),
        ("none", {"max-size": "1m"}, "unknown log opt 'max-size' for none log driver"),
        ("journald", {"max-size": "1m"}, "unknown log opt 'max-size' for journald log driver"),
        ("cri", {"tag": "x"}, "unknown log opt 'tag' for cri log driver"),
        ("json-file", {"max-size": "lots"}, "invalid size: 'lots'"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-file": "x"}, "invalid number 'x'"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "1", "compress": "true"}, "compress cannot be true when max-file is less than 2"),
        ("json-file", {"max-file": "3", "max-size": "-1"}, "max-file requires max-size"),
        ("json-file", {"compress": "perhaps"}, "invalid value 'perhaps'"),
        ("json-file", {"mode": "fast"}, "logger: logging mode not supported: fast"),
        ("json-file", {"max-buffer-size": "4m"}, "only supported with 'mode=non-blocking'"),
        ("journald", {"mode": "non-blocking", "max-buffer-size": "-1"}, "max-buffer-size"),
        ("json-file", {"labels-regex": "("}, "error parsing regexp"),
        ("json-file", {"tag": "{{.Nope}}"}, "log opt 'tag'"),
        ("json-file", {"tag": "{{.ID"}, "log opt 'tag'"),
        ("cri", {"max-line": "0"}, "invalid number '0'"),
    ],
)
def test_refused_in_dockers_words(driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        logdrivers.check(driver, options)
    assert message in caught.value.what


def test_drivers_that_are_missing_have_a_remedy() -> None:
    with pytest.raises(InvalidArgument) as caught:
        logdrivers.check("local", {})
    assert "json-file" in caught.value.hint


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("json-file", {"max-size": "1.5m", "max-file": "3", "compress": "True", "labels": "a,b", "env-regex": "^A"}),
        ("json-file", {"mode": "non-blocking", "max-buffer-size": "4m", "tag": "{{.Name}}/{{ .ID }}"}),
        ("json-file", {"max-size": "-1"}),
        ("cri", {"max-line": "-1"}),
        ("none", {}),
    ],
)
def test_accepted(driver: str, options: dict[str, str]) -> None:
    logdrivers.check(driver, options)


def test_a_file_is_bounded_by_default() -> None:
    assert logdrivers.uri(document(), ID) == "json-file:///logs/x.log?max-size=10485760&max-file=5&compress=true"
    assert "max-size=1572864&" in logdrivers.uri(document("json-file", max_size="1.5m"), ID)
    assert "max-size=-1&" in logdrivers.uri(document("json-file", max_size="-1"), ID)
    uri = logdrivers.uri(document("cri", max_line="100"), ID)
    assert uri.startswith("cri:///logs/x.log?max-size=10485760&")
    assert uri.endswith("max-line=100")
    assert logdrivers.uri(document("none"), ID) == "none:"


def test_labels_variables_and_tag_of_a_file() -> None:
    options = {"labels": "team,absent", "env": "A", "env_regex": "^L", "tag": "{{.Name}}-{{.ImageName}}"}
    target = parse(logdrivers.uri(document("json-file", **options), ID))
    attributes = {key: value for key, value in target.query if key.startswith("attr.")}
    assert attributes == {"attr.team": "blue", "attr.A": "1", "attr.LANG": "C", "attr.tag": "web-nginx:1"}


def test_what_the_journal_is_told() -> None:
    target = parse(logdrivers.uri(document("journald", labels="team", mode="non-blocking", max_buffer_size="2m"), ID))
    assert (target.scheme, target.path) == ("journald", "")
    assert dict(target.query) == {
        "mode": "non-blocking",
        "max-buffer-size": str(2 << 20),
        "attr.team": "blue",
        "attr.CONTAINER_ID": ID[:12],
        "attr.CONTAINER_ID_FULL": ID,
        "attr.CONTAINER_NAME": "web",
        "attr.CONTAINER_TAG": ID[:12],
        "attr.SYSLOG_IDENTIFIER": ID[:12],
        "attr.IMAGE_NAME": "nginx:1",
    }


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: "," not in key), st.text(), max_size=3))
def test_any_label_reaches_the_shim(labels: dict[str, str]) -> None:
    kept = document("json-file", labels=",".join(labels))
    kept["Config"]["Labels"] = labels
    try:
        target = parse(logdrivers.uri(kept, ID))
    except UnicodeEncodeError:
        return  # lone surrogates cannot be in a record
    assert {key[5:]: value for key, value in target.query if key.startswith("attr.")} == labels
