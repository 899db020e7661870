"""What is said on the command line arrives in Docker's Config and HostConfig."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ctr import apisocket, container_flags, links
from ctr.context import Context
from ctr.errors import Failure, UsageError
from ctr.flags import Values, parse
from ctr.signals import parse_signal
from pycontainerd.wire.messages.networks import Endpoint


def values(*words: str) -> Values:
    return parse(container_flags.FLAGS, words)[0]


def config(*words: str) -> dict[str, Any]:
    return container_flags.config(values(*words), "busybox", ["sh"])


def host_config(*words: str) -> dict[str, Any]:
    return container_flags.host_config(values(*words))


def test_config() -> None:
    made = config(
        "-it", "-u", "app", "-w", "/srv", "-h", "box", "-l", "a=1", "-l", "b", "--entrypoint", "/e", "--expose", "80"
    )
    assert made["Tty"]
    assert made["OpenStdin"]
    assert (made["User"], made["WorkingDir"], made["Hostname"], made["Entrypoint"]) == ("app", "/srv", "box", ["/e"])
    assert made["Labels"] == {"a": "1", "b": ""}
    assert made["ExposedPorts"] == {"80/tcp": {}}
    assert "Entrypoint" not in config()


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "here")
    monkeypatch.delenv("NOT_MINE", raising=False)
    file = tmp_path / "env"
    file.write_text("# comment\nA=file\nB=file\n\nMINE\n")
    made = container_flags.environment(values("--env-file", str(file), "-e", "A=flag", "-e", "NOT_MINE", "-e", "E="))
    assert made == ["A=flag", "B=file", "MINE=here", "NOT_MINE", "E="]


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="nowhere"):
        container_flags.environment(values("--env-file", "/nowhere"))
    file = tmp_path / "env"
    file.write_text("A B=1\n")
    with pytest.raises(Failure, match="white space"):
        container_flags.environment(values("--env-file", str(file)))


def test_host_config() -> None:
    made = host_config(
        "-m", "64m", "--memory-swap", "-1", "--cpus", "1.5", "--pids-limit", "10", "--cap-add", "NET_ADMIN",
        "--privileged", "-v", "/a:/b:ro", "--tmpfs", "/run:size=1m", "--read-only", "--rm", "--init", "--ulimit",
        "nofile=1:2", "--sysctl", "net.core.somaxconn=9", "--shm-size", "1m", "--network", "host", "--device",
        "/dev/null", "--log-opt", "max-size=1m",
    )  # fmt: skip
    assert made["Memory"] == 64 << 20
    assert made["MemorySwap"] == -1
    assert made["NanoCpus"] == 1_500_000_000
    assert made["PidsLimit"] == 10
    assert made["Binds"] == ["/a:/b:ro"]
    assert made["Tmpfs"] == {"/run": "size=1m"}
    assert made["ReadonlyRootfs"]
    assert made["AutoRemove"]
    assert made["Init"]
    assert made["Ulimits"][0]["Hard"] == 2
    assert made["NetworkMode"] == "host"
    assert made["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
    assert "CpuShares" not in made


def test_a_relative_directory_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert host_config("-v", "./x:/y")["Binds"] == [f"{tmp_path}/x:/y"]
    assert host_config("-v", ".:/y")["Binds"] == [f"{tmp_path}:/y"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--restart=always", "--rm"), "cannot specify both --restart and --rm"),
        (("--restart=x",), "--restart"),
        (("-m", "x"), "--memory"),
        (("-v", "a:b"), "invalid volume specification: 'a:b'"),
        (("--network", "host", "--network", "foo"), "network mode host cannot be combined with other networks"),
        (("-p", "80:x"), "80:x"),
        (("--log-driver", "gelf"), "no log driver named 'gelf'"),
        (("--log-opt", "nope=1"), "unknown log opt 'nope'"),
        (("--ulimit", "x"), "--ulimit"),
        (("--sysctl", "x"), "--sysctl"),
        (("--security-opt", "seccomp=/nowhere"), "/nowhere"),
    ],
)
def test_nonsense_is_refused_before_anything_happens(words: tuple[str, ...], message: str) -> None:
    with pytest.raises((Failure, UsageError)) as caught:
        host_config(*words)
    assert message in caught.value.message


def test_health() -> None:
    made = config("--health-cmd", "true", "--health-interval", "5s", "--health-retries", "2")["Healthcheck"]
    assert made == {"Test": ["CMD-SHELL", "true"], "Interval": 5 * 10**9, "Retries": 2}
    assert config("--no-healthcheck")["Healthcheck"] == {"Test": ["NONE"]}
    assert config("--health-cmd", "true", "--health-timeout", "0s")["Healthcheck"]["Timeout"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--no-healthcheck", "--health-cmd", "true"),
        ("--no-healthcheck", "--health-start-interval", "1s"),
        ("--health-interval", "1us"),
        ("--health-timeout", "-1s"),
        ("--health-retries", "-1"),
    ],
)
def test_health_that_makes_no_sense(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="health"):
        config(*words)


def test_signals() -> None:
    assert [parse_signal(text) for text in ("SIGTERM", "term", "15", "KILL", "RTMIN", "SIGRTMIN+3", "RTMAX-1")] == [
        15, 15, 15, 9, 34, 37, 63,
    ]  # fmt: skip
    for bad in ("", "0", "65", "NOPE", "RTMIN+99", "-9"):
        with pytest.raises(UsageError):
            parse_signal(bad)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-h", "box"), "hostname and the network mode"),
        (("--dns", "1.1.1.1"), "dns and the network mode"),
        (("--add-host", "a:1.1.1.1"), "custom host-to-IP mapping"),
        (("--mac-address", "02:42:ac:11:00:02"), "mac-address and the network mode"),
        (("-p", "80"), "port publishing"),
        (("--expose", "80"), "port exposing"),
    ],
)
def test_what_the_joined_container_has_decided(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        host_config("--network", "container:first", *words)


def test_limits_of_single_devices() -> None:
    made = host_config("--device-read-bps", "/dev/sda:1mb", "--blkio-weight-device", "/dev/sda:200")
    assert made["BlkioDeviceReadBps"] == [{"Path": "/dev/sda", "Rate": 1 << 20}]
    assert made["BlkioWeightDevice"] == [{"Path": "/dev/sda", "Weight": 200}]
    with pytest.raises(UsageError, match='invalid argument "sda:1" for "--device-write-iops" flag: bad format for'):
        host_config("--device-write-iops", "sda:1")


@pytest.mark.parametrize(
    "words",
    [
        ["--gpus", "all"],
        ["--isolation", "hyperv"],
        ["--cpu-count", "2"],
        ["--cpu-percent", "50"],
        ["--io-maxbandwidth", "1mb"],
        ["--io-maxiops", "9"],
        ["--cpu-rt-period", "1000"],
        ["--cpu-rt-runtime", "1000"],
        ["--link-local-ip", "169.254.1.1"],
    ],
    ids=lambda words: str(words[0]),
)
def test_known_flags_that_are_not_offered_say_so(words: list[str]) -> None:
    with pytest.raises(Failure, match=f"{words[0]} {words[1]} is not offered") as caught:
        host_config(*words)
    assert caught.value.hint


def test_values_that_mean_nothing_pass() -> None:
    assert host_config("--isolation", "default", "--cpu-count", "0")["NetworkMode"] == "default"


@pytest.mark.parametrize("mode", ["host", "none", "container:x"])
def test_links_and_modes_that_have_no_network(mode: str) -> None:
    with pytest.raises(UsageError, match="links are only supported for user-defined networks"):
        host_config("--network", mode, "--link", "db")


@pytest.mark.parametrize(
    ("text", "expected"), [("db", ("db", "db")), ("db:sql", ("db", "sql")), ("/db:sql", ("db", "sql"))]
)
def test_links(text: str, expected: tuple[str, str]) -> None:
    assert links.parse(text) == expected


@pytest.mark.parametrize("text", ["", ":x", "db:", "a:b:c"])
def test_wrong_links(text: str) -> None:
    with pytest.raises(UsageError, match="bad format for links"):
        links.parse(text)


def test_a_link_takes_a_network_that_both_are_on() -> None:
    endpoints = [Endpoint(network_id="aaa111", network_name="back"), Endpoint(network_id="bbb222", network_name="web")]
    assert links.shared_endpoint(endpoints, {"web"}) is endpoints[1]
    assert links.shared_endpoint(endpoints, {"aaa"}) is endpoints[0]
    assert links.shared_endpoint(endpoints, {"bridge"}) is None


def test_the_api_socket_is_bound_and_told(tmp_path: Path) -> None:
    context = Context()
    context.address, context.namespace = f"{tmp_path}/c.sock", "team"
    config: dict[str, Any] = {"Env": ["PYCTR_NAMESPACE=mine"]}
    made: dict[str, Any] = {}
    with pytest.raises(Failure, match="there is no"):
        apisocket.add(context, config, made)
    for name in ("c.sock", "c.sock.ttrpc"):
        (tmp_path / name).touch()
    apisocket.add(context, config, made)
    assert [mount["Target"] for mount in made["Mounts"]] == [context.address, context.address + ".ttrpc"]
    assert config["Env"] == [
        "PYCTR_NAMESPACE=mine",
        f"CONTAINERD_ADDRESS={context.address}",
        "CONTAINERD_NAMESPACE=team",
        f"PYCTR_ADDRESS={context.address}",
    ]
