"""A terminal handled as a person expects, tried on a real one."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.pyctr import Pyctr

pytestmark = pytest.mark.root


def test_a_shell(pyctr: Pyctr) -> None:
    with pyctr.terminal("run", "-it", "--name", "sh", "busybox", "sh") as terminal:
        terminal.expect("# ")
        assert terminal.is_raw()
        terminal.type("tty; stty size; echo $TERM\r")
        terminal.expect("/dev/")
        terminal.expect("24 80")
        terminal.expect("xterm")
        terminal.resize(100, 40)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        time.sleep(0.2)
        terminal.type("stty size\r")
        terminal.expect("40 100")
        terminal.type("sleep 100\r")
        terminal.expect("sleep 100")
        time.sleep(0.2)
        terminal.type("\x03")  # to the foreground of the container, not to us
        terminal.expect("# ")
        terminal.type("exit 6\r")
        assert terminal.wait() == 6
        assert terminal.is_restored()


def test_detach_and_attach_again(pyctr: Pyctr) -> None:
    with pyctr.terminal("run", "-it", "--name", "sh", "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("A=kept\r")
        terminal.expect("# ")
        terminal.type("\x10\x11")
        terminal.expect("read escape sequence")
        assert terminal.wait() == 0
        assert terminal.is_restored()
    assert "Up " in pyctr.ok("ps")
    with pyctr.terminal("attach", "--replay", "--detach-keys", "ctrl-x", "sh") as terminal:
        terminal.expect("A=kept")
        terminal.type("echo is-$A\r")
        terminal.expect("is-kept")
        terminal.type("\x18")
        assert terminal.wait() == 0
    with pyctr.terminal("attach", "sh") as terminal:
        terminal.type("\r")
        terminal.expect("# ")
        terminal.type("exit\r")
        assert terminal.wait() == 0


def test_exec_on_a_terminal(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    with pyctr.terminal("exec", "-it", "web", "sh", size=(91, 33)) as terminal:
        terminal.expect("# ")
        terminal.type("stty size\r")
        terminal.expect("33 91")
        terminal.type("exit 9\r")
        assert terminal.wait() == 9
        assert terminal.is_restored()


def test_exec_detached_by_keys_runs_on(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    with pyctr.terminal("exec", "-it", "web", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("while :; do echo flood; done\r")
        terminal.expect("flood\r\nflood")
        terminal.type("\x10\x11")
        assert terminal.wait() == 0
    assert "sh" in pyctr.ok("top", "web")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_the_terminal_is_restored_when_we_are_asked_to_go(pyctr: Pyctr, number: int) -> None:
    with pyctr.terminal("run", "-it", "--name", "sh", "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
        assert terminal.is_restored()
    assert "Up " in pyctr.ok("ps")


def test_the_shell_does_not_notice_a_dead_daemon(own: Pyctr) -> None:
    with own.terminal("run", "-it", "--name", "sh", "busybox", "sh") as terminal:
        terminal.expect("# ")
        own.daemon.kill()
        terminal.type("echo still-$((1+1))\r")
        terminal.expect("still-2")
        own.daemon.start()
        terminal.type("exit 5\r")
        assert terminal.wait(40) == 5
        assert terminal.is_restored()


def test_the_window_may_change_while_the_daemon_is_dead(own: Pyctr) -> None:
    with own.terminal("run", "-it", "--name", "sh", "busybox", "sh") as terminal:
        terminal.expect("# ")
        own.daemon.kill()
        terminal.resize(77, 22)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        time.sleep(0.3)
        own.daemon.start()
        terminal.type("while [ \"$(stty size)\" != '22 77' ]; do sleep 0.1; done; echo new-$((1+1))\r")
        terminal.expect("new-2")
        terminal.type("sleep 1000 &\r")  # holds the terminal: only the daemon can tell that the shell has ended
        terminal.expect("# ")
        terminal.type("exit 4\r")
        assert terminal.wait(40) == 4
        assert terminal.is_restored()


def test_the_terminal_is_restored_at_once_though_the_daemon_stays_dead(own: Pyctr) -> None:
    with own.terminal("run", "-it", "--name", "sh", "busybox", "sh") as terminal:
        terminal.expect("# ")
        own.daemon.kill()
        terminal.type("exit 5\r")
        deadline = time.monotonic() + 5
        while not terminal.is_restored():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        own.daemon.start()
        assert terminal.wait(40) == 5


def test_signals_are_passed_on_when_the_daemon_is_back(own: Pyctr) -> None:
    script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    process = own.start("run", "--name", "job", "busybox", "sh", "-c", script)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        own.daemon.kill()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        own.daemon.start()
        out, err = process.communicate(timeout=30)
        assert (out, process.returncode) == (b"got\n", 3)
        assert b"daemon is away" in err
        assert b"Traceback" not in err
    finally:
        process.kill()
        process.wait()


def test_who_wants_to_leave_a_dead_daemon_can(own: Pyctr) -> None:
    process = own.start("run", "--name", "job", "busybox", "sh", "-c", "echo ready; sleep 1000")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        own.daemon.kill()
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert process.wait(10) == 128 + signal.SIGINT
    finally:
        process.kill()
        process.communicate()


def test_several_at_one_terminal_and_one_of_them_asleep(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-dit", "--name", "sh", "busybox", "sh")
    with pyctr.terminal("attach", "sh") as first, pyctr.terminal("attach", "sh") as second:
        second.type("echo here-$((1+1))\r")  # by the time it sees this, it is attached
        second.expect("here-2")
        first.type("echo both-$((1+1))\r")
        first.expect("both-2")
        second.expect("both-2")
        os.kill(second.process.pid, signal.SIGSTOP)
        flood = "for i in $(seq 25); do yes 01234567890123456789 | head -c 100000; sleep 0.1; done"
        first.type(f"{flood}; echo done-$((1+1))\r")
        first.expect("done-2", 30)
        os.kill(second.process.pid, signal.SIGCONT)
        second.expect("left out here: this client did not keep up", 30)
        first.type("echo again-$((1+1))\r")
        second.expect("again-2")
        second.type("\x10\x11")
        assert second.wait() == 0
        assert second.is_restored()
        first.type("exit 2\r")
        assert first.wait() == 2
        assert first.is_restored()


def test_control_s_stops_the_container_as_long_as_one_likes(pyctr: Pyctr) -> None:
    with pyctr.terminal("run", "-i", "--name", "count", "busybox", "seq", "1", "400000") as terminal:
        terminal.expect("\r\n1000\r\n")
        terminal.type("\x13")
        time.sleep(1.5)
        assert "Up" in pyctr.ok("ps", "--filter", "name=count")
        terminal.type("\x11")
        terminal.expect("\r\n400000\r\n", 40)
        assert terminal.wait() == 0


def test_no_terminal_for_us_is_told(pyctr: Pyctr) -> None:
    assert "not a TTY" in pyctr.fails(125, "run", "-it", "busybox", "sh")
    assert pyctr.ok("run", "--rm", "-t", "busybox", "tty") == "/dev/pts/0\r"
