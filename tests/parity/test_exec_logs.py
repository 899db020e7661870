"""exec, logs, events, terminals."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.parity.cli import fresh
from tests.parity.differences import differs

if TYPE_CHECKING:
    from tests.parity.cli import Cli

pytestmark = pytest.mark.root

EXECS = {
    "plain": ([], ["echo", "hi"], "hi\n", 0),
    "code": ([], ["sh", "-c", "exit 3"], "", 3),
    "missing": ([], ["no-such-program"], None, 127),
    "not-executable": ([], ["/etc/passwd"], None, 126),
    "no-such-directory": (["-w", "/nope"], ["true"], None, 126),
    "no-such-user": (["-u", "nobodyx"], ["true"], None, 126),
    "env": (["-e", "A=1", "-e", "B=2"], ["sh", "-c", "echo $A$B"], "12\n", 0),
    "workdir": (["-w", "/tmp"], ["pwd"], "/tmp\n", 0),
    "user": (["-u", "daemon"], ["id", "-un"], "daemon\n", 0),
    "user-id": (["-u", "5:6"], ["sh", "-c", "id -u; id -g"], "5\n6\n", 0),
    "container-env": ([], ["sh", "-c", "echo $HOME"], "/root\n", 0),
    "no-input": ([], ["cat"], "", 0),
    "killed": ([], ["sh", "-c", "kill -9 $$"], "", 137),
}  # fmt: skip


@pytest.mark.parametrize("case", EXECS)
def test_exec(cli: Cli, standing: str, case: str) -> None:
    flags, command, out, code = EXECS[case]
    done = cli.run("exec", *flags, standing, *command)
    assert done.returncode == (126 if case == "missing" and cli.is_docker and differs("exec-missing") else code)
    assert out is None or done.stdout == out


def test_exec_streams_and_input(cli: Cli, standing: str) -> None:
    done = cli.run("exec", standing, "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert cli.ok("exec", "-i", standing, "cat", input=b"typed\n") == "typed"


def test_exec_detached(cli: Cli, standing: str) -> None:
    assert cli.ok("exec", "-d", standing, "touch", "/tmp/by-exec") == ""
    for _ in range(50):
        if cli.run("exec", standing, "ls", "/tmp/by-exec").returncode == 0:
            return
    raise AssertionError("it was not run")


def test_exec_where_nothing_runs(cli: Cli) -> None:
    name = cli.ended()
    assert "is not running" in cli.fails(1, "exec", name, "true")
    assert "No such container: par-nobody" in cli.fails(1, "exec", "par-nobody", "true")
    assert "requires at least 2 arguments" in cli.fails(1, "exec", name)


def test_exec_t_without_a_terminal(cli: Cli, standing: str) -> None:
    assert "the input device is not a TTY" in cli.fails(1, "exec", "-it", standing, "true")


def _talker(cli: Cli, script: str = "for i in 1 2 3 4 5; do echo out $i; done; echo err >&2") -> str:
    return cli.ended("sh", "-c", script)


def test_logs(cli: Cli) -> None:
    done = cli.run("logs", _talker(cli))
    assert done.stdout == "".join(f"out {i}\n" for i in range(1, 6))
    assert done.stderr == "err\n"


@pytest.mark.parametrize("flag", ["--tail=2", "--tail 2", "-n 2", "-n2"])
def test_logs_tail(cli: Cli, flag: str) -> None:
    name = _talker(cli, "for i in 1 2 3; do echo $i; done")
    assert cli.ok("logs", *flag.split(), name) == "2\n3"


def test_logs_tail_none_and_all(cli: Cli) -> None:
    name = _talker(cli, "echo a; echo b")
    assert cli.ok("logs", "--tail", "0", name) == ""
    assert cli.ok("logs", "--tail", "all", name) == "a\nb"
    assert cli.ok("logs", "--tail", "99", name) == "a\nb"


def test_logs_timestamps(cli: Cli) -> None:
    said = cli.ok("logs", "-t", _talker(cli, "echo a"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z a", said)


def test_logs_since_and_until(cli: Cli) -> None:
    name = _talker(cli, "echo first; sleep 1.2; echo second")
    stamps = [line.split()[0] for line in cli.ok("logs", "-t", name).splitlines()]
    assert cli.ok("logs", "--since", stamps[1], name) == "second"
    assert cli.ok("logs", "--until", stamps[0], name) == "first"
    assert cli.ok("logs", "--since", "1h", name) == "first\nsecond"
    assert cli.ok("logs", "--until", "1h", name) == ""


def test_logs_partial_line(cli: Cli) -> None:
    assert cli.run("logs", _talker(cli, "printf abc")).stdout == "abc"


def test_logs_long_line(cli: Cli) -> None:
    name = _talker(cli, "head -c 50000 /dev/zero | tr '\\0' x; echo")
    assert cli.run("logs", name).stdout == "x" * 50000 + "\n"


def test_logs_follow(cli: Cli) -> None:
    name = fresh()
    script = "for i in 1 2 3 4; do echo $i; sleep 0.2; done"
    cli.ok("run", "-d", "--name", name, "--network", "none", "busybox", "sh", "-c", script)
    assert cli.ok("logs", "-f", name) == "1\n2\n3\n4"


def test_logs_of_none(cli: Cli) -> None:
    name = cli.ended("echo", "x", flags=["--log-driver", "none"])
    assert "configured logging driver does not support reading" in cli.fails(1, "logs", name)


def test_logs_rotate(cli: Cli) -> None:
    flags = ["--log-opt", "max-size=20k", "--log-opt", "max-file=2"]
    name = cli.ended("sh", "-c", "for i in $(seq 2000); do echo line $i; done", flags=flags)
    lines = cli.ok("logs", name).splitlines()
    assert lines[-1] == "line 2000"
    assert len(lines) < 2000
    assert cli.ok("logs", "--tail", "3", name) == "line 1998\nline 1999\nline 2000"


def test_log_file_has_dockers_format(cli: Cli) -> None:
    name = cli.ended("echo", "x")
    with open(cli.show(name, "{{.LogPath}}"), encoding="utf-8") as file:
        (line,) = file.read().splitlines()
    entry = json.loads(line)
    assert (entry["log"], entry["stream"]) == ("x\n", "stdout")
    assert entry.keys() == {"log", "stream", "time"}


# -- events --


def test_events(cli: Cli) -> None:
    since = repr(time.time())
    name = cli.ended("sh", "-c", "exit 3")
    time.sleep(0.1)
    words = ["events", "--since", since, "--until", repr(time.time()), "--filter", f"container={name}"]
    lines = cli.ok(*words, "--format", "{{.Type}} {{.Action}}").splitlines()
    assert [line for line in lines if "attach" not in line and "resize" not in line] == [
        "container create", "container start", "container die",
    ]  # fmt: skip
    die = json.loads(cli.ok(*words, "--filter", "event=die", "--format", "{{json .}}"))
    assert die["Actor"]["Attributes"]["exitCode"] == "3"
    assert die["Actor"]["Attributes"]["name"] == name
    assert die["Actor"]["ID"] == cli.show(name, "{{.Id}}")
    plain = cli.ok(*words, "--filter", "event=die")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) container die [0-9a-f]{64} \(", plain)


def test_events_live(cli: Cli) -> None:
    watcher = cli.start("events", "--filter", "event=create", "--format", "{{.Actor.Attributes.name}}")
    try:
        time.sleep(0.7)
        name = cli.ended()
        assert watcher.stdout is not None
        assert watcher.stdout.readline().decode() == name + "\n"
    finally:
        watcher.terminate()
        watcher.communicate()


# -- terminals --


def test_terminal(cli: Cli) -> None:
    words = ["run", "--rm", "-it", "--network", "none", "busybox", "sh"]
    with cli.terminal(*words, size=(91, 33)) as screen:
        screen.expect("# ")
        assert screen.is_raw()
        screen.type("stty size; tty; echo $TERM\n")
        screen.expect("33 91\r\n")
        screen.expect("/dev/pts/0\r\n")
        screen.expect("xterm\r\n")
        screen.type("exit 6\n")
        assert screen.wait() == 6
        assert screen.is_restored()


def test_terminal_follows_the_window(cli: Cli) -> None:
    with cli.terminal("run", "--rm", "-it", "--network", "none", "busybox", "sh") as screen:
        screen.expect("# ")
        screen.resize(100, 40)
        screen.process.send_signal(28)
        time.sleep(0.5)
        screen.type("stty size\n")
        screen.expect("40 100")
        screen.type("exit\n")
        screen.wait()


def test_control_c_reaches_the_foreground(cli: Cli) -> None:
    with cli.terminal("run", "--rm", "-it", "--network", "none", "busybox", "sh") as screen:
        screen.expect("# ")
        screen.type("sleep 1000\n")
        time.sleep(0.4)
        screen.type("\x03")
        screen.expect("# ")
        screen.type("exit 0\n")
        assert screen.wait() in (0, 130)


def test_detach_and_attach_again(cli: Cli) -> None:
    name = fresh()
    with cli.terminal("run", "-it", "--name", name, "--network", "none", "busybox", "sh") as screen:
        screen.expect("# ")
        screen.type("\x10\x11")
        assert screen.wait() == 0
        assert screen.is_restored()
    assert cli.show(name, "{{.State.Running}}") == "true"
    with cli.terminal("attach", name) as screen:
        time.sleep(0.5)
        screen.type("echo again-$((40+2))\n")
        screen.expect("again-42")
        screen.type("exit 3\n")
        assert screen.wait() == 3


def test_other_detach_keys(cli: Cli, standing: str) -> None:
    with cli.terminal("exec", "-it", "--detach-keys", "ctrl-x,d", standing, "sh") as screen:
        screen.expect("# ")
        screen.type("\x18d")
        screen.expect("read escape sequence")
        screen.wait()


def test_exec_on_a_terminal(cli: Cli, standing: str) -> None:
    with cli.terminal("exec", "-it", standing, "sh", "-c", "tty; exit 4") as screen:
        screen.expect("/dev/pts/")
        assert screen.wait() == 4


def test_tty_joins_the_streams(cli: Cli) -> None:
    name = cli.ended("sh", "-c", "echo out; echo err >&2", flags=["-t"])
    done = cli.run("logs", name)
    assert (done.stdout, done.stderr) == ("out\r\nerr\r\n", "")
    assert cli.show(name, "{{.Config.Tty}}") == "true"
