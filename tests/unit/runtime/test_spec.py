"""The bytes of a spec that change on the way into the bundle, and those that must not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.runtime.spec import BPF_ANNOTATION, REFUSED_ANNOTATIONS, bundle_config, read_spec

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=6), st.sampled_from([None, 1, "\t"]))
def test_a_spec_passes_verbatim(value: dict[str, object], indent: int | str | None) -> None:
    value.pop("annotations", None)
    raw = f" {json.dumps(value, indent=indent)}\n".encode()
    view = read_spec(raw)
    assert dict(view.top) == value
    assert bundle_config(view) == raw


@given(st.dictionaries(st.text(), JSON, max_size=5), st.dictionaries(st.text(), st.text(), max_size=3) | st.none())
def test_the_filter_is_added_and_nothing_else_changes(
    value: dict[str, object], annotations: dict[str, str] | None
) -> None:
    value.pop("annotations", None)
    if annotations is not None:
        annotations = {key: text for key, text in annotations.items() if key not in REFUSED_ANNOTATIONS}
        value["annotations"] = annotations
    result = json.loads(bundle_config(read_spec(json.dumps(value).encode()), "QUJD"))
    assert result.pop("annotations") == {**(annotations or {}), BPF_ANNOTATION: "QUJD"}
    value.pop("annotations", None)
    assert result == value


@pytest.mark.parametrize("name", sorted(REFUSED_ANNOTATIONS))
def test_commands_to_the_runtime_are_taken_out(name: str) -> None:
    raw = json.dumps({"ociVersion": "1.0.2", "annotations": {name: "/etc/shadow", "kept": "yes"}}).encode()
    assert json.loads(bundle_config(read_spec(raw)))["annotations"] == {"kept": "yes"}


def test_a_second_annotations_member_hides_nothing() -> None:
    raw = b'{"annotations":{"run.oci.hooks.stdout":"/x"},"\\u0061nnotations":{"run.oci.seccomp_bpf_data":"AAAA"}}'
    assert b"run.oci" not in bundle_config(read_spec(raw))
    assert bundle_config(read_spec(raw), "QUJD").count(b"QUJD") == 2


def test_annotations_that_are_no_object_are_emptied_only_when_they_must_be() -> None:
    assert json.loads(bundle_config(read_spec(b'{"annotations":null}'), "QQ=="))["annotations"] == {
        BPF_ANNOTATION: "QQ=="
    }


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"nonsense", b"{", b'{"a":1,}', b'{"a" 1}', b'{"a":1}x', b"{1:2}", b"\xff\xfe", b'{"a":}']
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArgument, match="not a JSON object"):
        read_spec(raw)


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_reader(raw: bytes) -> None:
    try:
        read_spec(raw)
    except InvalidArgument:
        pass


def test_what_the_engine_reads() -> None:
    spec = {
        "ociVersion": "1.1.0",
        "annotations": {"a": "b"},
        "linux": {
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
            "gidMappings": [{"containerID": 5, "hostID": 1}, {"containerID": 0, "hostID": 100000, "size": 65536}],
        },
    }
    view = read_spec(json.dumps(spec).encode())
    assert (view.oci_version, view.annotations, view.root_group) == ("1.1.0", {"a": "b"}, 100000)
    assert view.seccomp == {"defaultAction": "SCMP_ACT_ALLOW"}
    empty = read_spec(b"{}")
    assert (empty.oci_version, empty.annotations, empty.root_group, empty.seccomp) == ("", {}, None, None)


def test_two_linux_sections_leave_the_filter_to_the_runtime() -> None:
    assert read_spec(b'{"linux":{"seccomp":{}},"linux":{"seccomp":{}}}').seccomp is None


BIND: dict[str, object] = {"destination": "/x", "type": "bind", "source": "/s", "options": ["rbind", "rprivate", "rw"]}


@pytest.mark.parametrize("text", ["{}", '{"mounts":null}', '{"mounts":[]}', '{"a":[1, 2] , "mounts":[] }'])
def test_mounts_are_put_in(text: str) -> None:
    document = json.loads(bundle_config(read_spec(text.encode()), mounts=[BIND]))
    assert document["mounts"] == [BIND]
    assert document.keys() == {*json.loads(text), "mounts"}


def test_without_mounts_nothing_changes() -> None:
    text = '{"mounts" : [ ] , "linux":{}}'
    assert bundle_config(read_spec(text.encode())).decode() == text


def test_mounts_that_are_no_list() -> None:
    with pytest.raises(InvalidArgument, match="mounts of the container spec"):
        bundle_config(read_spec(b'{"mounts":{}}'), mounts=[BIND])


@pytest.mark.parametrize(
    ("there", "options", "after"),
    [
        ("", ["rprivate"], ""),
        ("", ["rslave"], "rslave"),
        ("", ["shared"], "shared"),
        ("", ["slave", "rshared"], "shared"),
        ("rshared", ["rslave"], "rshared"),
        ("rshared", ["shared"], "rshared"),
        ("slave", ["rslave"], "slave"),
        ("slave", ["rshared"], "shared"),
    ],
)
def test_the_root_lets_through_what_a_mount_shares(there: str, options: list[str], after: str) -> None:
    linux = {"rootfsPropagation": there} if there else {}
    mounts: list[dict[str, object]] = [{**BIND, "options": [option]} for option in options]
    document = json.loads(bundle_config(read_spec(json.dumps({"linux": linux}).encode()), mounts=mounts))
    assert document["linux"].get("rootfsPropagation", "") == after


@pytest.mark.parametrize("path", ["/..", "../x", "/a/../../../tmp/x", "a/.."])
def test_a_control_group_that_leads_upwards_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument, match="upwards"):
        read_spec(json.dumps({"linux": {"cgroupsPath": path}}).encode())
    with pytest.raises(InvalidArgument, match="upwards"):
        read_spec(f'{{"linux": {{"cgroupsPath": "{path}"}}, "linux": {{}}}}'.encode())


@pytest.mark.parametrize("path", ["/a/b", "a..b/c", "", "system.slice:x:y", None, 5])
def test_other_control_groups_are_the_runtimes_business(path: object) -> None:
    assert read_spec(json.dumps({"linux": {"cgroupsPath": path}}).encode()).section("linux") == {"cgroupsPath": path}
