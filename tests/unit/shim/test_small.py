"""What is small: trace contexts, runtime messages, bundles, command lines, the template's requests, imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.wire.codes import UNIMPLEMENTED, UNKNOWN, RpcError
from pycontainerd.wire.messages.bootstrap import BootstrapParams
from pycontainerd.wire.messages.google import Any as WireAny
from pycontainerd.wire.messages.types_runc import CheckpointOptions, Options
from shim import bundle as files
from shim import trace
from shim.children import Exit, status_of
from shim.launch import socket_path
from shim.request import ShimRequest
from shim.runtime import failure, find, last_error
from shim.sockets import PYTHON_FLAGS
from shim.spec import group_of, prepare
from shim.start import Flags, bootstrap_params
from shim.stdio.output import TAIL, Tail
from shim.task.checkpoint import flags as checkpoint_flags

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{'a' * 32}-{'b' * 16}-00",
        f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"00-{'A' * 32}-{'b' * 16}-01",
        f"00-{'a' * 31}-{'b' * 16}-01",
    ],
)
def test_what_is_not_traced(text: str) -> None:
    assert trace.trace_of(text) is trace.NONE


@given(st.text(alphabet="0123456789abcdef-", max_size=70))
def test_any_traceparent(text: str) -> None:
    trace.trace_of(text)


def test_spans_nest_and_carry_errors() -> None:
    class Sent:
        def __init__(self) -> None:
            self.spans: list[Any] = []

        def report(self, spans: list[Any]) -> None:
            self.spans = spans

    traced = trace.trace_of(f"00-{'a' * 32}-{'b' * 16}-03")
    with traced.step("outer"), pytest.raises(OSError, match="no"), traced.step("inner", key="value"):
        raise OSError("no")
    sent = Sent()
    traced.send(sent)  # type: ignore[arg-type]
    outer, inner = sent.spans
    assert (outer.parent_id, inner.parent_id) == ("b" * 16, outer.span_id)
    assert (inner.error, inner.attributes, inner.process) == ("no", {"key": "value"}, "shim")


def test_the_runtimes_last_error_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    old = json.dumps({"level": "error", "msg": "of yesterday"}) + "\n"
    log.write_text(old + json.dumps({"level": "error", "msg": "first\nsecond"}) + '\n{"level":"debug","msg":"x"}\n')
    assert last_error(str(log), len(old)) == "first second"
    log.write_text("panic: plain text\n")
    assert last_error(str(log)) == "panic: plain text"
    assert last_error(str(tmp_path / "none")) == ""


def test_a_runtimes_log_may_spread_an_entry_over_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    entries = [{"msg": "a warning", "level": "warning"}, {"msg": "no such {thing}", "level": "error"}]
    log.write_text("".join(json.dumps(entry, indent=2) + "\n" for entry in entries))
    assert last_error(str(log)) == "no such {thing}"
    log.write_text(json.dumps(entries[0], indent=2) + "\n")
    assert last_error(str(log)) == "a warning"
    log.write_text(json.dumps(entries[0], indent=2) + "\nSegmentation fault\n")
    assert last_error(str(log)) == "Segmentation fault"
    log.write_text(json.dumps(entries[1], indent=2)[:-5])
    assert last_error(str(log))


def test_failures_of_the_runtime(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    error = failure("create", str(log), 0, 9)
    assert isinstance(error, RpcError)
    assert error.code == UNKNOWN
    assert "ended with status 9 and said nothing" in error.message
    log.write_text(json.dumps({"level": "error", "msg": "unknown command checkpoint"}))
    error = failure("checkpoint", str(log), 0, 1)
    assert isinstance(error, RpcError)
    assert error.code == UNIMPLEMENTED
    refused = "the path `/etc` is not a regular file: Operation not permitted"
    log.write_text(json.dumps({"level": "error", "msg": refused}))
    error = failure("create", str(log), 0, 1)
    assert isinstance(error, RpcError)
    assert error.message.endswith("the path `/etc` is not a regular file: Permission denied")
    log.write_text(json.dumps({"level": "error", "msg": "unknown version specified"}))
    error = failure("create", str(log), 0, 1)
    assert isinstance(error, RpcError)
    assert "ociVersion is newer than this runtime" in error.message


def test_programs_are_found_or_named() -> None:
    assert find("sh").endswith("/sh")
    with pytest.raises(RpcError, match="'no-such-thing' is not installed"):
        find("no-such-thing")
    with pytest.raises(RpcError):
        find("/etc/passwd")


def test_exit_records(tmp_path: Path) -> None:
    assert files.read_exit(str(tmp_path)) is None
    files.write_exit(str(tmp_path), "", Exit(12, 137, (1700000000, 5)))
    files.write_exit(str(tmp_path), "e", Exit(13, 0, (1700000001, 6)))
    assert json.loads((tmp_path / "exits/init").read_text()) == {
        "pid": 12,
        "status": 137,
        "seconds": 1700000000,
        "nanos": 5,
    }
    found = files.read_exit(str(tmp_path), "e")
    assert found is not None
    assert (found.pid, found.status, found.at) == (13, 0, (1700000001, 6))
    assert sorted(path.name for path in (tmp_path / "exits").iterdir()) == ["exec.e", "init"]
    (tmp_path / "exits/init").write_text("{")
    assert files.read_exit(str(tmp_path)) is None


def test_wait_statuses() -> None:
    assert status_of(9) == 137
    assert status_of(3 << 8) == 3


def write_spec(folder: Path, **document: Any) -> str:
    (folder / "config.json").write_text(json.dumps(document, indent=1))
    return str(folder)


def test_a_spec_without_a_user_name_is_not_rewritten(tmp_path: Path) -> None:
    bundle = write_spec(tmp_path, process={"user": {"uid": 1}}, linux={"namespaces": [{"type": "pid"}]})
    before = (tmp_path / "config.json").read_bytes()
    spec = prepare(bundle, f"{bundle}/rootfs")
    assert (tmp_path / "config.json").read_bytes() == before
    assert (spec.own_pids, spec.own_oom_score) == (True, False)


@pytest.mark.parametrize(
    ("namespaces", "own"),
    [([], False), ([{"type": "pid"}], True), ([{"type": "pid", "path": "/proc/1/ns/pid"}], False), ("junk", False)],
)
def test_whose_pids(tmp_path: Path, namespaces: object, own: bool) -> None:
    spec = prepare(write_spec(tmp_path, linux={"namespaces": namespaces}, process={"oomScoreAdj": 0}), "/")
    assert (spec.own_pids, spec.own_oom_score) == (own, True)


def test_groups_come_from_annotations_in_order(tmp_path: Path) -> None:
    assert group_of(str(tmp_path)) == ""
    both = {"io.kubernetes.cri.sandbox-id": "pod", "io.containerd.runc.v2.group": "own"}
    assert group_of(write_spec(tmp_path, annotations=both)) == "own"
    del both["io.containerd.runc.v2.group"]
    assert group_of(write_spec(tmp_path, annotations=both)) == "pod"


def test_flags_are_gos() -> None:
    flags = Flags(["-namespace", "n", "--id=x", "-debug", "-address=/a=b", "start"])
    assert (flags.get("namespace"), flags.get("id"), flags.get("address")) == ("n", "x", "/a=b")
    assert (flags.action, flags.switches) == ("start", {"debug"})
    assert not Flags(["-debug=false"]).switches


def test_options_are_not_taken_for_parameters() -> None:
    packed = WireAny(type_url=Options.TYPE, value=b"x").encode()
    assert bootstrap_params(packed, "one") is None
    assert bootstrap_params(b"", "one") is None
    assert bootstrap_params(b"\xff", "one") is None
    params = bootstrap_params(BootstrapParams(instance_id="one", socket_dir="/s").encode(), "one")
    assert params is not None
    assert params.socket_dir == "/s"


def test_socket_names_are_containerds() -> None:
    import hashlib

    expected = hashlib.sha256(b"/run/c.sock/ns/id").hexdigest()
    assert socket_path("/s", "/run//c.sock", "ns", "id") == f"/s/{expected}"


@given(st.lists(st.binary(max_size=9000), max_size=60), st.integers(-5, 2 * TAIL))
def test_the_tail_is_the_tail(blocks: list[bytes], count: int) -> None:
    tail = Tail()
    for block in blocks:
        tail.add(block)
    whole = b"".join(blocks)
    wanted = max(0, min(count, TAIL))
    assert tail.last(count) == (whole[-wanted:] if wanted else b"")


def test_checkpoint_flags() -> None:
    options = CheckpointOptions(open_tcp=True, cgroups_mode="soft", empty_namespaces=["network"], work_path="/w")
    assert checkpoint_flags("/i", options) == [
        *("--image-path", "/i", "--work-path", "/w", "--leave-running", "--tcp-established"),
        *("--manage-cgroups-mode", "soft", "--empty-ns", "network"),
    ]


FIELDS = ("namespace", "id", "bundle", "socket", "oom_score_adj", "runtime")


@given(st.dictionaries(st.sampled_from(FIELDS), st.none() | st.integers() | st.text()))
def test_requests_are_understood_or_refused_by_field(fields: dict[str, Any]) -> None:
    complaint = ""
    try:
        request = ShimRequest(fields)
    except ValueError as error:
        complaint = str(error)
    else:
        assert request.namespace
        assert request.socket
    assert not complaint or any(name in complaint for name in FIELDS)


def test_what_the_template_imports() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import shim.template; print(*sys.modules)"
    done = subprocess.run([sys.executable, *PYTHON_FLAGS, "-c", code], capture_output=True, text=True, check=True)
    outside = {name for name in done.stdout.split() if name.split(".")[0] not in ("shim", "pycontainerd")}
    forbidden = {"enum", "re", "json", "socket", "selectors", "signal", "typing", "subprocess", "threading", "logging"}
    assert not outside & forbidden
    assert len(outside) <= 48, sorted(outside)


def test_a_pid_file_that_is_not_there_is_no_pid(tmp_path: Path) -> None:
    assert files.read_pid(str(tmp_path)) == 0
    (tmp_path / "init.pid").write_text("77")
    assert files.read_pid(str(tmp_path)) == 77
    (tmp_path / "init.pid").write_text("x")
    assert files.read_pid(str(tmp_path)) == 0
    assert os.path.exists(tmp_path)
