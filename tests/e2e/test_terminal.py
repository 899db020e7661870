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


def test_the_terminal_is_restored_when_we_are_asked_to_go(pyctr: Pyctr) -> None:
    with pyctr.terminal("run", "-it", "--name", "sh", "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
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


def test_no_terminal_for_us_is_told(pyctr: Pyctr) -> None:
    assert "not a TTY" in pyctr.fails(125, "run", "-it", "busybox", "sh")
    assert pyctr.ok("run", "--rm", "-t", "busybox", "tty") == "/dev/pts/0\r"
