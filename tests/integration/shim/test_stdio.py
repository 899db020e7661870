"""Standard streams: FIFOs, files, logger programs, bounded logs, terminals, attaching."""

from __future__ import annotations

import gzip
import json
import os
import select
import signal
import socket
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ctr.logfiles import read_all
from pycontainerd.wire.codes import FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, UNKNOWN, RpcError
from pycontainerd.wire.messages import task_v3
from pycontainerd.wire.messages.attach import AttachRequest, AttachResponse, DetachRequest, ReopenLogRequest
from pycontainerd.wire.messages.google import Empty
from tests.integration.shim.harness import eventually

if TYPE_CHECKING:
    from tests.integration.shim.harness import Box, Host

pytestmark = pytest.mark.root
ATTACH = "pycontainerd.attach.v1.Attach"


class Fifo:
    """A FIFO as a client makes it, and one end of it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self.fd = -1

    def reader(self) -> Fifo:
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        return self

    def writer(self) -> Fifo:
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        return self

    def read(self, enough: bytes = b"", limit: float = 10.0) -> bytes:
        """Bytes until `enough` is among them, or to the end."""
        data = b""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            if enough and enough in data:
                return data
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                chunk = os.read(self.fd, 65536)
            except BlockingIOError:
                continue
            if not chunk and data:
                return data
            if not chunk:
                time.sleep(0.01)
            data += chunk
        raise AssertionError(f"only {data[-200:]!r} after {limit} s")

    def close(self) -> None:
        os.close(self.fd)


def lines(path: Path) -> list[dict[str, Any]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.splitlines()]


def test_fifos_carry_all_three_streams(each_host: Host) -> None:
    base = each_host.base
    stdin, stdout, stderr = (Fifo(base / name) for name in ("in", "out", "err"))
    stdin.writer()
    stdout.reader()
    stderr.reader()
    box = each_host.shim("one", ["/bin/sh", "-c", "echo err >&2; cat; echo end"])
    box.create(stdin=stdin.path, stdout=stdout.path, stderr=stderr.path)
    box.start()
    os.write(stdin.fd, b"hello\n")
    assert stdout.read(b"hello\n") == b"hello\n"
    stdin.close()
    box.call("CloseIO", task_v3.CloseIORequest(id="one", stdin=True))
    assert box.wait().exit_status == 0
    assert stdout.read(b"end\n") == b"end\n"
    assert stderr.read(b"err\n") == b"err\n"
    box.delete()


def test_a_client_that_goes_does_not_end_the_input(host: Host) -> None:
    stdin, stdout = Fifo(host.base / "in"), Fifo(host.base / "out").reader()
    box = host.shim("one", ["/bin/cat"])
    box.create(stdin=stdin.path, stdout=stdout.path)
    box.start()
    for word in (b"first\n", b"second\n"):
        stdin.writer()
        os.write(stdin.fd, word)
        assert stdout.read(word) == word
        stdin.close()
    assert box.state().status == 2
    box.call("CloseIO", task_v3.CloseIORequest(id="one", stdin=True))
    assert box.wait().exit_status == 0


def test_much_output_arrives_whole(host: Host) -> None:
    stdout = Fifo(host.base / "out").reader()
    box = host.shim("one", ["/bin/sh", "-c", "dd if=/dev/zero bs=1M count=20 2>/dev/null; echo done"])
    box.create(stdout=stdout.path)
    box.start()
    data = stdout.read(b"done\n")
    assert len(data) == (20 << 20) + 5
    assert box.wait().exit_status == 0


def test_a_reader_that_leaves_does_not_kill_the_container(host: Host) -> None:
    stdout = Fifo(host.base / "out").reader()
    box = host.shim("one", ["/bin/sh", "-c", "while true; do echo x; sleep 0.05; done"])
    box.create(stdout=stdout.path)
    box.start()
    stdout.read(b"x\n")
    stdout.close()
    time.sleep(0.3)
    assert box.state().status == 2
    stdout.reader()
    assert b"x\n" in stdout.read(b"x\n")


def test_a_file_is_appended_to_by_both_streams(host: Host) -> None:
    path = host.base / "deep/er/log"
    path.parent.mkdir(parents=True)
    path.write_text("before\n")
    box = host.shim("one", ["/bin/sh", "-c", "echo out; sleep 0.1; echo err >&2"])
    box.create(stdout=f"file://{path}", stderr=f"file://{path}")
    box.start()
    box.wait()
    box.delete()
    assert path.read_text() == "before\nout\nerr\n"


def logger(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_logger_program_gets_the_pipes_and_its_arguments(host: Host) -> None:
    out = host.base / "logged"
    program = logger(
        host.base / "logger",
        f'echo "$@ $CONTAINER_ID $CONTAINER_NAMESPACE" > {out}; exec 5>&-; cat <&3 >> {out}; cat <&4 >> {out}',
    )
    box = host.shim("one", ["/bin/sh", "-c", "echo out; echo err >&2"])
    box.create(stdout=f"binary://{program}?key=a%20b&flag", stderr=f"binary://{program}")
    box.start()
    box.wait()
    box.delete()
    text = out.read_text()
    assert text.startswith("key a b flag one test")
    assert text.endswith("out\nerr\n")


def test_a_version_2_logger_must_say_that_it_is_ready(host: Host) -> None:
    silent = logger(host.base / "silent", "exec 5>&-; sleep 5")
    box = host.shim("one", ["/bin/true"])
    with pytest.raises(RpcError) as caught:
        box.create(stdout=f"binary-v2://{silent}")
    assert "without being ready" in caught.value.message
    ready = logger(host.base / "ready", "echo >&5; exec 5>&-; cat <&3 >/dev/null")
    box.create(stdout=f"binary-v2://{ready}")
    box.start()
    assert box.wait().exit_status == 0


def test_a_logger_that_dies_does_not_stop_the_container(host: Host) -> None:
    program = logger(host.base / "dying", "exec 5>&-; head -c 1 <&3 >/dev/null")
    box = host.shim("one", ["/bin/sh", "-c", "dd if=/dev/zero bs=1M count=4 2>/dev/null; sleep 0.1"])
    box.create(stdout=f"binary://{program}")
    box.start()
    assert box.wait().exit_status == 0
    assert "output is being lost" in box.log()


def test_a_logger_that_is_missing_is_named(host: Host) -> None:
    box = host.shim("one", ["/bin/true"])
    with pytest.raises(RpcError) as caught:
        box.create(stdout=f"binary://{host.base}/no-logger")
    assert "no-logger" in caught.value.message
    assert caught.value.code == NOT_FOUND


@pytest.mark.parametrize(
    "stdout",
    ["relative/path", "gopher:///x", "json-file:///x?max-size=lots", "json-file:///x?max-file=0", "file://relative"],
)
def test_streams_that_cannot_be_are_refused(host: Host, stdout: str) -> None:
    box = host.shim("one", ["/bin/true"])
    with pytest.raises(RpcError) as caught:
        box.create(stdout=stdout)
    assert caught.value.code == INVALID_ARGUMENT


def test_a_path_that_is_no_fifo_is_refused(host: Host) -> None:
    box = host.shim("one", ["/bin/true"])
    with pytest.raises(RpcError) as caught:
        box.create(stdout=str(host.base / "rootfs"))
    assert caught.value.code == UNKNOWN
    assert "not a named pipe" in caught.value.message


def test_json_lines_are_dockers(host: Host) -> None:
    path = host.base / "logs/one-json.log"
    script = """printf 'plain\\n"quoted" \\\\ tab\\there\\n\\351 not utf-8\\n'; echo err >&2; printf unfinished"""
    box = host.shim("one", ["/bin/sh", "-c", script])
    box.create(stdout=f"json-file://{path}?attr.tag=a%26b", stderr=f"json-file://{path}")
    box.start()
    box.wait()
    box.delete()
    found = lines(path)
    out = [line["log"] for line in found if line["stream"] == "stdout"]
    assert out == ["plain\n", '"quoted" \\ tab\there\n', "\ufffd not utf-8\n", "unfinished"]
    assert [line["log"] for line in found if line["stream"] == "stderr"] == ["err\n"]
    assert all(line["attrs"] == {"tag": "a&b"} for line in found)
    assert all(line["time"].endswith("Z") for line in found)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_rotation_loses_no_line_and_keeps_the_bounds(host: Host) -> None:
    path = host.base / "logs/one-json.log"
    box = host.shim("one", ["/bin/seq", "1", "60000"])
    box.create(stdout=f"json-file://{path}?max-size=1m&max-file=9")
    box.start()
    box.wait()
    box.delete()
    eventually(lambda: not list(path.parent.glob("*.tmp")) and not (path.parent / f"{path.name}.1").exists())
    files = sorted(path.parent.iterdir(), key=lambda p: -int(p.name.split(".")[2]) if p.name.count(".") > 1 else 0)
    assert len(files) > 3
    assert all(p.suffix == ".gz" for p in files[:-1])
    assert all(p.stat().st_size <= 1 << 20 for p in files)
    numbers = [int(line["log"]) for p in files for line in lines(p)]
    assert numbers == list(range(1, 60001))


def test_old_logs_are_dropped(host: Host) -> None:
    path = host.base / "logs/one-json.log"
    box = host.shim("one", ["/bin/seq", "1", "60000"])
    box.create(stdout=f"json-file://{path}?max-size=256k&max-file=3&compress=false")
    box.start()
    box.wait()
    box.delete()
    assert {p.name for p in path.parent.iterdir()} == {path.name, f"{path.name}.1", f"{path.name}.2"}
    assert lines(path)[-1]["log"] == "60000\n"


def test_the_kubelets_format_and_its_rotation(host: Host) -> None:
    path = host.base / "pod/0.log"
    box = host.shim("one", ["/bin/sh", "-c", "printf 'first\\r\\n\\n'; read x; echo err >&2; printf rest"])
    box.create(stdin="attach:", stdout=f"cri://{path}?max-line=100", stderr=f"cri://{path}")
    box.start()
    eventually(lambda: path.exists() and path.read_text().count("\n") == 2)
    moved = path.rename(path.with_name("0.log.20260101"))
    box.alone("ReopenLog", ReopenLogRequest(id="one"), Empty, service=ATTACH)
    assert path.exists()
    _, _, into = attached(box, host.base / "a", stdin=True)
    assert into is not None
    os.write(into.fd, b"go\n")
    box.wait()
    with pytest.raises(RpcError) as caught:
        box.alone("ReopenLog", ReopenLogRequest(id="one"), Empty, service=ATTACH)
    assert caught.value.code == FAILED_PRECONDITION
    box.delete()
    assert [line.split(" ", 1)[1] for line in moved.read_text().split("\n")[:-1]] == ["stdout F first", "stdout F "]
    assert {line.split(" ", 1)[1] for line in path.read_text().splitlines()} == {"stderr F err", "stdout P rest"}


def test_what_is_no_file_cannot_be_reopened(host: Host) -> None:
    box = host.shim("one", ["/bin/sleep", "100"])
    box.create(stdout="none:")
    with pytest.raises(RpcError) as caught:
        box.alone("ReopenLog", ReopenLogRequest(id="one"), Empty, service=ATTACH)
    assert caught.value.code == FAILED_PRECONDITION


def test_output_in_the_journal(host: Host) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(host.base / "journal"))
        journal.settimeout(10)
        box = host.shim("one", ["/bin/sh", "-c", "echo hello; sleep 0.2; echo err >&2"])
        uri = f"journald://{host.base}/journal?attr.CONTAINER_NAME=web&attr.team=a%0Ab"
        box.create(stdout=uri, stderr=uri)
        box.start()
        assert journal.recv(4096) == b"MESSAGE=hello\nPRIORITY=6\nCONTAINER_NAME=web\nTEAM\n\3\0\0\0\0\0\0\0a\nb\n"
        assert journal.recv(4096).startswith(b"MESSAGE=err\nPRIORITY=3\n")
        box.wait()
        box.delete()


def test_a_journal_that_is_not_there_is_named(host: Host) -> None:
    box = host.shim("one", ["/bin/true"])
    with pytest.raises(RpcError) as caught:
        box.create(stdout=f"journald://{host.base}/no-journal")
    assert "no-journal" in caught.value.message
    assert "does not listen" in caught.value.message


def test_a_killed_shim_leaves_whole_lines_and_the_next_goes_on(host: Host) -> None:
    path = host.base / "logs/one-json.log"
    uri = f"json-file://{path}?max-size=200k&max-file=1000"
    box = host.shim("one", ["/bin/sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); done"])
    box.create(stdout=uri)
    box.start()
    eventually(lambda: len(list(path.parent.iterdir())) > 4)
    os.kill(box.pid, signal.SIGKILL)
    time.sleep(0.3)
    second = host.shim("two", ["/bin/sh", "-c", "echo on"])
    second.create(stdout=uri)
    second.start()
    second.wait()
    second.delete()
    eventually(lambda: not list(path.parent.glob("*.tmp")) and not list(path.parent.glob("*[0-9]")))
    found = [entry.log for entry in read_all(str(path))]
    assert found == [f"{number}\n" for number in range(len(found) - 1)] + ["on\n"]


def test_a_terminal_has_one_stream_and_a_size(each_host: Host) -> None:
    stdin, stdout = Fifo(each_host.base / "in").writer(), Fifo(each_host.base / "out").reader()
    box = each_host.shim("one", ["/bin/sh", "-c", "read x; stty size; tty; echo err >&2; exit 6"], terminal=True)
    box.create(stdin=stdin.path, stdout=stdout.path, terminal=True)
    box.call("ResizePty", task_v3.ResizePtyRequest(id="one", width=123, height=45))
    box.start()
    os.write(stdin.fd, b"go\n")
    text = stdout.read(b"err\r\n")
    assert b"45 123\r\n" in text
    assert b"/dev/pts/" in text
    assert box.wait().exit_status == 6
    assert box.state().terminal
    box.delete()
    stdin.close()


def test_a_terminal_takes_no_stderr(host: Host) -> None:
    out, err = Fifo(host.base / "out").reader(), Fifo(host.base / "err").reader()
    box = host.shim("one", ["/bin/true"], terminal=True)
    with pytest.raises(RpcError) as caught:
        box.create(stdout=out.path, stderr=err.path, terminal=True)
    assert caught.value.code == INVALID_ARGUMENT


def test_execs_have_streams_of_their_own(each_host: Host) -> None:
    box = each_host.shim("one", ["/bin/sleep", "100"])
    box.create()
    box.start()
    stdin, stdout = Fifo(each_host.base / "in").writer(), Fifo(each_host.base / "out").reader()
    box.exec("cat", ["/bin/cat"], stdin=stdin.path, stdout=stdout.path)
    assert box.state("cat").status == 1
    assert box.start("cat") == box.state("cat").pid
    os.write(stdin.fd, b"through\n")
    assert stdout.read(b"through\n") == b"through\n"
    stdin.close()
    box.call("CloseIO", task_v3.CloseIORequest(id="one", exec_id="cat", stdin=True))
    assert box.wait("cat").exit_status == 0
    answer = box.delete("cat")
    assert answer.exit_status == 0
    with pytest.raises(RpcError):
        box.state("cat")
    terminal = Fifo(each_host.base / "pty").reader()
    box.exec("tty", ["/bin/tty"], terminal=True, stdout=terminal.path)
    box.start("tty")
    assert b"/dev/pts/" in terminal.read(b"\n")
    box.wait("tty")
    box.delete("tty")
    box.exec("bad", ["/bin/nothing"])
    with pytest.raises(RpcError) as caught:
        box.start("bad")
    assert "OCI runtime exec failed" in caught.value.message
    box.delete("bad")
    box.exec("fails", ["/bin/sh", "-c", "exit 12"])
    box.start("fails")
    assert box.wait("fails").exit_status == 12
    assert not list(box.bundle.glob("exec.cat*"))
    topics = [topic for topic in each_host.listener.topics() if "exec" in topic]
    assert topics[:2] == ["/tasks/exec-added", "/tasks/exec-started"]


def attached(
    box: Box, folder: Path, *, replay: int = 0, stdin: bool = False, waited_for: bool = False
) -> tuple[str, Fifo, Fifo | None]:
    folder.mkdir()
    out = Fifo(folder / "out").reader()
    into = Fifo(folder / "in") if stdin else None
    path = into.path if into else ""
    request = AttachRequest(id=box.id, stdout=out.path, stdin=path, replay=replay, waited_for=waited_for)
    answer = box.alone("Attach", request, AttachResponse, service=ATTACH)
    if into is not None:
        into.writer()
    return answer.attachment, out, into


def test_attached_clients_see_the_tail_and_what_follows(host: Host) -> None:
    log = host.base / "log"
    box = host.shim("one", ["/bin/sh", "-c", "echo past; while read x; do echo got $x; done; echo over"])
    box.create(stdin="attach:", stdout=f"json-file://{log}")
    box.start()
    eventually(lambda: log.exists() and b"past" in log.read_bytes())
    _, first, into = attached(box, host.base / "a", replay=1000, stdin=True)
    second_name, second, _ = attached(box, host.base / "b")
    assert first.read(b"past\n") == b"past\n"
    assert into is not None
    os.write(into.fd, b"one\n")
    assert first.read(b"got one\n") == b"got one\n"
    assert second.read(b"got one\n") == b"got one\n"
    box.alone("Detach", DetachRequest(id="one", attachment=second_name), service=ATTACH)
    with pytest.raises(RpcError):
        box.alone("Detach", DetachRequest(id="one", attachment=second_name), service=ATTACH)
    assert os.read(second.fd, 10) == b""
    os.write(into.fd, b"two\n")
    into.close()
    box.call("CloseIO", task_v3.CloseIORequest(id="one", stdin=True))
    assert box.wait().exit_status == 0
    assert first.read(b"over\n") == b"got two\nover\n"
    box.delete()
    assert os.read(first.fd, 10) == b""
    assert [line["log"] for line in lines(log)] == ["past\n", "got one\n", "got two\n", "over\n"]


def test_attach_to_what_is_over_is_refused(host: Host) -> None:
    box = host.shim("one", ["/bin/true"])
    box.create(stdout="none:")
    box.start()
    box.wait()
    with pytest.raises(RpcError) as caught:
        box.alone("Attach", AttachRequest(id="one"), AttachResponse, service=ATTACH)
    assert caught.value.code == FAILED_PRECONDITION


def test_all_of_a_burst_reaches_an_attached_client_that_is_slow(host: Host) -> None:
    box = host.shim("one", ["/bin/sh", "-c", "read x; dd if=/dev/zero bs=1M count=8 2>/dev/null; echo; echo done"])
    box.create(stdin="attach:", stdout="none:")
    box.start()
    _, out, into = attached(box, host.base / "a", stdin=True, waited_for=True)
    assert into is not None
    os.write(into.fd, b"go\n")
    time.sleep(0.5)
    assert len(out.read(b"done\n")) == (8 << 20) + 6


def test_a_client_that_leaves_is_forgotten(host: Host) -> None:
    box = host.shim("one", ["/bin/sh", "-c", "read x; dd if=/dev/zero bs=1M count=8 2>/dev/null; exit 2"])
    box.create(stdin="attach:", stdout="none:")
    box.start()
    _, out, into = attached(box, host.base / "a", stdin=True)
    assert into is not None
    out.close()
    os.write(into.fd, b"go\n")
    assert box.wait().exit_status == 2


def test_a_stuck_reader_delays_delete_only_so_long(host: Host) -> None:
    stdout = Fifo(host.base / "out").reader()
    box = host.shim("one", ["/bin/sh", "-c", "dd if=/dev/zero bs=1k count=100 2>/dev/null & sleep 0.3; exit 0"])
    box.create(stdout=stdout.path)
    box.start()
    assert box.wait().exit_status == 0
    begun = time.monotonic()
    box.delete()
    assert 8 < time.monotonic() - begun < 14
