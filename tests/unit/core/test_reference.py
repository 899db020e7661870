from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.reference import familiar, normalize, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("user/app", "docker.io/user/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:x", "localhost:5000/app:x"),
        ("Host/app", "Host/app:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("quay.io/a/b/c", "quay.io/a/b/c:latest"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}"),
        ("[::1]:5000/a/b", "[::1]:5000/a/b:latest"),
        ("a.b/c__d/e--f.g", "a.b/c__d/e--f.g:latest"),
    ],
)
def test_short_names_become_full_ones(text: str, full: str) -> None:
    assert str(normalize(text)) == full
    assert str(parse(full)) == full
    assert str(normalize(familiar(normalize(text)))) == full


@pytest.mark.parametrize(
    "text",
    ["", ":tag", "@" + DIGEST, "Busybox", "a//b", "a/", "/a", "a:", "a:-x", "a:" + "t" * 129, "a@sha256:12", "a b",
     "a_/b", "-a", "é", "x" * 256, "a" * 64, "http://host/a", "host:port/a", "..", "a/../b"],
)  # fmt: skip
def test_what_is_no_reference_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        normalize(text)
    assert "image reference" in str(caught.value)


def test_an_upper_case_repository_is_explained() -> None:
    with pytest.raises(InvalidArgument, match="lower case"):
        normalize("Busybox")


def test_a_name_without_registry_is_not_complete() -> None:
    with pytest.raises(InvalidArgument, match=r"docker\.io/library/busybox"):
        parse("busybox")


@pytest.mark.parametrize(
    ("domain", "host"),
    [("docker.io", "docker.io"), ("127.0.0.1:5000", "127.0.0.1"), ("[::1]:5000", "::1"), ("[::1]", "::1")],
)
def test_the_host_is_without_port_and_brackets(domain: str, host: str) -> None:
    assert parse(f"{domain}/a/b:1").host == host


@given(st.text(max_size=80))
def test_whatever_is_accepted_reads_back_the_same(text: str) -> None:
    try:
        found = normalize(text)
    except InvalidArgument:
        return
    assert normalize(str(found)) == found
    assert normalize(familiar(found)) == found
