"""`run`: flags that reach the container, exit codes, streams."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.parity.cli import fresh
from tests.parity.differences import differs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.parity.cli import Cli

pytestmark = pytest.mark.root

SEEN = {
    "args": ([], ["echo", "a", "b c"], "a b c"),
    "entrypoint": (["--entrypoint", "echo"], ["x", "y"], "x y"),
    "entrypoint-none": (["--entrypoint", ""], ["echo", "x"], "x"),
    "entrypoint-alone": (["--entrypoint", "hostname", "-h", "alone"], [], "alone"),
    "env": (["-e", "A=1", "--env", "B=two words"], ["sh", "-c", "echo $A-$B"], "1-two words"),
    "env-last-wins": (["-e", "A=1", "-e", "A=2"], ["sh", "-c", "echo $A"], "2"),
    "env-empty": (["-e", "A="], ["sh", "-c", "echo [$A]"], "[]"),
    "env-equals": (["-e", "A=b=c"], ["sh", "-c", "echo $A"], "b=c"),
    "hostname": (["-h", "here"], ["hostname"], "here"),
    "hostname-env": (["-h", "here"], ["sh", "-c", "echo $HOSTNAME"], "here"),
    "hostname-file": (["-h", "here"], ["cat", "/etc/hostname"], "here"),
    "domainname": (["--domainname", "example.org"], ["cat", "/proc/sys/kernel/domainname"], "example.org"),
    "workdir": (["-w", "/tmp"], ["pwd"], "/tmp"),
    "workdir-made": (["-w", "/a/new/place"], ["pwd"], "/a/new/place"),
    "user-name": (["-u", "daemon"], ["id", "-un"], "daemon"),
    "user-id": (["-u", "1234:5678"], ["sh", "-c", "id -u; id -g"], "1234\n5678"),
    "user-group": (["-u", "1234:daemon"], ["id", "-gn"], "daemon"),
    "group-add": (["-u", "1000:1000", "--group-add", "777"], ["sh", "-c", "id -G | tr ' ' '\\n' | grep 777"], "777"),
    "path": ([], ["sh", "-c", "echo $PATH"], "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    "home": ([], ["sh", "-c", "echo $HOME"], "/root"),
    "no-term": ([], ["sh", "-c", "echo [$TERM]"], "[]"),
    "pid-one": ([], ["sh", "-c", "echo $$"], "1"),
    "read-only": (["--read-only"], ["sh", "-c", "touch /x 2>/dev/null || echo refused"], "refused"),
    "read-only-tmpfs": (["--read-only", "--tmpfs", "/run"], ["sh", "-c", "touch /run/x && echo fine"], "fine"),
    "tmpfs-size": (["--tmpfs", "/t:size=1m"], ["sh", "-c", "df -k /t | tail -1 | awk '{print $2}'"], "1024"),
    "shm-size": (["--shm-size", "2m"], ["sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'"], "2048"),
    "shm-default": ([], ["sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'"], "65536"),
    "cap-drop": (["--cap-drop", "ALL"], ["grep", "CapEff", "/proc/self/status"], "CapEff:\t0000000000000000"),
    "cap-default": ([], ["grep", "CapEff", "/proc/self/status"], "CapEff:\t00000000a80425fb"),
    "cap-add": (["--cap-drop", "ALL", "--cap-add", "CHOWN"], ["grep", "CapEff", "/proc/self/status"],
                "CapEff:\t0000000000000001"),
    "cap-prefix": (["--cap-drop", "all", "--cap-add", "CAP_KILL"], ["grep", "CapEff", "/proc/self/status"],
                   "CapEff:\t0000000000000020"),
    "no-inheritable": ([], ["grep", "CapInh", "/proc/self/status"], "CapInh:\t0000000000000000"),
    "seccomp": ([], ["grep", "Seccomp:", "/proc/self/status"], "Seccomp:\t2"),
    "seccomp-off": (["--security-opt", "seccomp=unconfined"], ["grep", "Seccomp:", "/proc/self/status"], "Seccomp:\t0"),
    "no-new-privileges": (["--security-opt", "no-new-privileges"], ["grep", "NoNewPrivs", "/proc/self/status"],
                          "NoNewPrivs:\t1"),
    "new-privileges": ([], ["grep", "NoNewPrivs", "/proc/self/status"], "NoNewPrivs:\t0"),
    "ulimit": (["--ulimit", "nofile=100:200"], ["sh", "-c", "ulimit -n; ulimit -Hn"], "100\n200"),
    "ulimit-one": (["--ulimit", "core=0"], ["sh", "-c", "ulimit -c"], "0"),
    "oom-score-adj": (["--oom-score-adj", "500"], ["cat", "/proc/self/oom_score_adj"], "500"),
    "sysctl": (["--sysctl", "kernel.msgmax=9000"], ["cat", "/proc/sys/kernel/msgmax"], "9000"),
    "masked": ([], ["sh", "-c", "ls /sys/firmware | wc -l"], "0"),
    "proc-read-only": ([], ["sh", "-c", "echo 1 2>/dev/null > /proc/sys/kernel/domainname || echo no"], "no"),
    "no-tty": ([], ["sh", "-c", "test -t 0 || echo none"], "none"),
    "bind": (["-v", "/etc/passwd:/x:ro"], ["sh", "-c", "grep -c ^root: /x; echo > /x"], "1"),
    "mount": (["--mount", "type=bind,source=/etc/passwd,target=/x,readonly"], ["grep", "-c", "^root:", "/x"], "1"),
    "mount-tmpfs": (["--mount", "type=tmpfs,target=/t,tmpfs-size=1048576"],
                    ["sh", "-c", "df -k /t | tail -1 | awk '{print $2}'"], "1024"),
    "pids": (["--pids-limit", "7"], ["sh", "-c", "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || echo 7"], "7"),
    "pids-unlimited": (["--pids-limit", "-1"], ["sh", "-c", "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || echo max"],
                       "max"),
    "memory": (["-m", "32m"], ["sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || echo 33554432"],
               "33554432"),
    "add-host": (["--add-host", "db:10.1.2.3"], ["sh", "-c", "grep db /etc/hosts | tr '\\t' ' '"], "10.1.2.3 db"),
    "uts-host": (["--uts", "host"], ["sh", "-c", "test $(hostname) != here && echo host"], "host"),
    "pid-host": (["--pid", "host"], ["sh", "-c", "test $$ -gt 1 && echo host"], "host"),
    "label-no-output": (["-l", "a=b", "--label", "c"], ["true"], ""),
    "double-dash": ([], ["echo", "--", "-x"], "-- -x"),
    "stdin-closed": ([], ["cat"], ""),
    "device": (["--device", "/dev/null:/dev/mine"], ["sh", "-c", "test -c /dev/mine && echo there"], "there"),
    "init": (["--init"], ["sh", "-c", "test $$ -gt 1 && echo child"], "child"),
}  # fmt: skip


@pytest.mark.parametrize("case", SEEN)
def test_flags_reach_the_container(cli: Cli, case: str) -> None:
    flags, command, seen = SEEN[case]
    assert cli.once(*flags, "busybox", *command).stdout == (seen + "\n" if seen else "")


CODES = {
    "true": (["true"], 0),
    "false": (["false"], 1),
    "exit-42": (["sh", "-c", "exit 42"], 42),
    "exit-255": (["sh", "-c", "exit 255"], 255),
    "killed": (["sh", "-c", "kill -9 $$; sleep 1"], 137),
    "missing": (["no-such-program"], 127),
    "empty": ([""], 127),
    "directory": (["/etc"], 126),
    "no-permission": (["/etc/passwd"], 126),
}


@pytest.mark.parametrize("case", CODES)
def test_exit_codes(cli: Cli, case: str) -> None:
    command, code = CODES[case]
    flags = ["--init"] if case == "killed" else []
    assert cli.once(*flags, "busybox", *command).returncode == code


def test_streams_stay_apart(cli: Cli) -> None:
    done = cli.once("busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_only_the_attached_stream_comes(cli: Cli) -> None:
    done = cli.once("-a", "stderr", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("", "err\n")


def test_input_goes_in_with_i_only(cli: Cli) -> None:
    assert cli.once("-i", "busybox", "cat", input=b"through\n").stdout == "through\n"
    assert cli.once("busybox", "cat", input=b"through\n").stdout == ""


def test_output_without_a_line_end_comes_whole(cli: Cli) -> None:
    assert cli.once("busybox", "printf", "abc").stdout == "abc"


def test_much_output(cli: Cli) -> None:
    assert len(cli.once("busybox", "sh", "-c", "yes 0123456789 | head -c 1000000").stdout) == 1000000


def test_detached_prints_the_id(cli: Cli) -> None:
    identity = cli.ok("run", "-d", "--network", "none", "busybox", "true")
    assert re.fullmatch("[0-9a-f]{64}", identity)


def test_rm_leaves_nothing(cli: Cli) -> None:
    name = fresh()
    cli.once("--name", name, "busybox", "true")
    assert name not in cli.ok("ps", "-a", "--format", "{{.Names}}")


def test_detached_rm_goes_by_itself(cli: Cli) -> None:
    name = fresh()
    cli.ok("run", "-d", "--rm", "--name", name, "--network", "none", "busybox", "true")
    for _ in range(100):
        if name not in cli.ok("ps", "-a", "--format", "{{.Names}}").split():
            return
    raise AssertionError("it is still there")


def test_cidfile(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "id"
    cli.once("--cidfile", str(path), "busybox", "true")
    assert re.fullmatch("[0-9a-f]{64}", path.read_text())
    assert "container ID file found" in cli.fails(
        125, "run", "--cidfile", str(path), "busybox", "true"
    ).lower().replace("container id", "container ID")


def test_env_file(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# comment\nA=1\nB=with = and spaces\nFROM_HERE\n\n")
    said = cli.run(
        "run", "--rm", "--network", "none", "--env-file", str(path), "-e", "A=2", "busybox", "sh", "-c",
        "echo $A:$B:$FROM_HERE", env={"FROM_HERE": "ours"},
    )  # fmt: skip
    assert said.stdout == "2:with = and spaces:ours\n"


def test_env_by_name_is_ours(cli: Cli) -> None:
    words = ["run", "--rm", "--network", "none", "-e", "OURS", "busybox", "sh", "-c", "echo $OURS"]
    assert cli.ok(*words, env={"OURS": "taken"}) == "taken"


def test_label_file(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_text("a=1\nb\n")
    name = cli.ended(flags=["--label-file", str(path), "-l", "c=3"])
    labels = json.loads(cli.show(name, "{{json .Config.Labels}}"))
    assert labels == (
        {"a": "1", "c": "3"} if cli.is_docker and differs("label-file") else {"a": "1", "b": "", "c": "3"}
    )


REFUSED = {
    "rm-restart": (["--rm", "--restart", "always", "busybox"], "conflicting options"),
    "detach-attach": (["-d", "-a", "stdout", "busybox"], "conflicting options"),
    "bad-memory": (["-m", "nonsense", "busybox"], "invalid"),
    "small-memory": (["-m", "1m", "busybox"], "6MB"),
    "bad-restart": (["--restart", "sometimes", "busybox"], "restart"),
    "bad-flag": (["--no-such-flag", "busybox"], "unknown flag: --no-such-flag"),
    "bad-short": (["-Z", "busybox"], "unknown shorthand flag: 'Z' in -Z"),
    "no-value": (["--name"], "flag needs an argument: --name"),
    "bad-image": (["UPPER", "true"], "must be lower"),
    "bad-name": (["--name", "a b", "busybox"], "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    "bad-cap": (["--cap-add", "NOPE", "busybox"], "NOPE"),
    "bad-user": (["-u", "nobody-here", "busybox", "true"], "nobody-here"),
    "bad-ulimit": (["--ulimit", "nope=1", "busybox"], "nope"),
    "bad-cpus": (["--cpus", "many", "busybox"], "many"),
    "bad-env-file": (["--env-file", "/no/such/file", "busybox"], "no such file"),
    "bad-log-driver": (["--log-driver", "pigeon", "busybox", "true"], "pigeon"),
    "bad-volume": (["-v", "a:b:c:d", "busybox", "true"], "invalid"),
    "bad-mount": (["--mount", "type=bind,target=/x", "busybox", "true"], "ource"),
    "mount-missing": (["--mount", "type=bind,source=/no/such,target=/x", "busybox", "true"], "/no/such"),
    "bad-port": (["-p", "99999:1", "busybox", "true"], "nvalid"),
    "bad-ipc": (["--ipc", "nonsense", "busybox"], "invalid IPC mode"),
    "bad-userns": (["--userns", "nonsense", "busybox"], "invalid USER mode"),
    "bad-pid": (["--pid", "nonsense", "busybox"], "invalid PID mode"),
    "bad-uts": (["--uts", "nonsense", "busybox"], "invalid UTS mode"),
    "bad-signal": (["--stop-signal", "NONSENSE", "busybox"], "invalid signal: NONSENSE"),
    "nothing-to-run": (["--entrypoint", "", "busybox"], "no command specified"),
    "bad-pull": (["--pull", "nonsense", "busybox"], "invalid pull option: 'nonsense'"),
    "no-image": ([], "requires at least 1 argument"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(cli: Cli, case: str) -> None:
    flags, words = REFUSED[case]
    if case == "bad-pull" and cli.is_docker and differs("pull-policy"):
        return
    old = case in ("no-image", "detach-attach") and cli.is_docker and differs("usage-codes")
    said = cli.fails(1 if old or case == "no-image" else 125, "run", *flags)
    assert words.lower() in said.lower().replace("lower case", "lowercase").replace("_.-]+", "_.-]")


def test_unknown_image_without_a_registry(cli: Cli) -> None:
    said = cli.fails(125, "run", "--pull", "never", "par-no-such-image:1")
    assert "No such image: par-no-such-image:1" in said


def test_name_is_taken(cli: Cli) -> None:
    name = cli.ended()
    said = cli.fails(125, "run", "--name", name, "busybox", "true")
    assert f'The container name "/{name}" is already in use by container "' in said


def test_create_then_start(cli: Cli) -> None:
    name = fresh()
    assert re.fullmatch("[0-9a-f]{64}", cli.ok("create", "--name", name, "--network", "none", "busybox", "echo", "hi"))
    assert cli.show(name, "{{.State.Status}} {{.State.Pid}}") == "created 0"
    assert cli.ok("start", "-a", name) == "hi"
    assert cli.show(name, "{{.State.Status}}") == "exited"


def test_memory_limit_kills(cli: Cli) -> None:
    name = cli.ended("sh", "-c", "tail /dev/zero", flags=["-m", "16m", "--memory-swap", "16m"])
    assert cli.show(name, "{{.State.ExitCode}} {{.State.OOMKilled}}") == "137 true"


def test_failed_start_stays_created(cli: Cli) -> None:
    name = fresh()
    assert cli.run("run", "-d", "--name", name, "--network", "none", "busybox", "no-such").returncode == 127
    assert cli.show(name, "{{.State.Status}} {{.State.Running}}") == "created false"
