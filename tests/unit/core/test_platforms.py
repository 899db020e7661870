from __future__ import annotations

import pytest

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.platforms import compatible, format_platform, from_machine, normalize, parse, rank
from pycontainerd.core.values import Platform

AMD64 = Platform("linux", "amd64")


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        ("armv6l", "linux/arm/v6"),
        ("i686", "linux/386"),
        ("riscv64", "linux/riscv64"),
        ("ppc64le", "linux/ppc64le"),
    ],
)
def test_hosts_by_machine(machine: str, text: str) -> None:
    assert format_platform(from_machine(machine)) == text


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("windows", "windows/amd64"),
        ("Linux/X86_64", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
    ],
)
def test_platforms_as_users_write_them(text: str, full: str) -> None:
    assert format_platform(parse(text, AMD64)) == full


@pytest.mark.parametrize("text", ["", "linux/", "a/b/c/d", "li nux/amd64", "*"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="platform"):
        parse(text, AMD64)


def test_a_platform_is_compatible_with_itself_first() -> None:
    for text in ("linux/amd64", "linux/arm/v7", "linux/arm64", "linux/s390x", "linux/amd64/v3"):
        platform = parse(text, AMD64)
        assert compatible(platform)[0] == platform


def test_older_variants_run_on_newer_hosts_but_not_the_reverse() -> None:
    v7, v6 = parse("linux/arm/v7", AMD64), parse("linux/arm/v6", AMD64)
    assert rank(v6, [v7]) == 1
    assert rank(v7, [v6]) is None
    assert rank(v7, [parse("linux/arm64", AMD64)]) is not None
    assert rank(AMD64, [parse("linux/amd64/v2", AMD64)]) == 1


def test_the_best_of_several_comes_first_and_no_wish_takes_all() -> None:
    offers = [parse(text, AMD64) for text in ("linux/386", "linux/arm64", "linux/amd64")]
    order = sorted((p for p in offers if rank(p, [AMD64]) is not None), key=lambda p: rank(p, [AMD64]) or 0)
    assert [format_platform(p) for p in order] == ["linux/amd64", "linux/386"]
    assert all(rank(p, []) == 0 for p in offers)


def test_normal_form_is_stable() -> None:
    for platform in (Platform("", "x86_64"), Platform("Linux", "aarch64", "v8"), Platform("linux", "armhf")):
        assert normalize(normalize(platform)) == normalize(platform)
