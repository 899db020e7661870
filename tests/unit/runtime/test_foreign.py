"""The standard shim protocol, against a shim that writes down how it was called."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pycontainerd.api.runtime.bootstrap.v1 import bootstrap_pb2
from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.core.bundle import Bootstrap, Bundle, bundle_of
from pycontainerd.core.errors import Unknown
from pycontainerd.core.values import AnyValue
from pycontainerd.runtime import bundle as bundles
from pycontainerd.runtime import foreign
from pycontainerd.runtime.foreign import Addresses, ForeignShims

SCRIPT = """#!/usr/bin/python3 -IS
import json, os, sys
if sys.argv[1] == "-v":
    print({version!r})
    sys.exit()
here = os.path.dirname(os.path.abspath(__file__))
names = ("GOMAXPROCS", "MAX_SHIM_VERSION", "TTRPC_ADDRESS", "GRPC_ADDRESS", "NAMESPACE", "SCHED_CORE")
with open(here + "/" + sys.argv[-1] + ".json", "w") as file:
    json.dump(dict(argv=sys.argv[1:], cwd=os.getcwd(), env={{n: os.environ.get(n) for n in names}},
                   stdin=sys.stdin.buffer.read().hex(), group=os.getpgrp() == os.getpid()), file)
{body}
"""
OPTIONS = AnyValue("containerd.runc.v1.Options", b"\x32\x04crun")


class Shim:
    """A shim binary in a directory of its own, and the bundle it is started in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = str(directory / "containerd-shim-test-v1")
        self.bundle: Bundle = bundle_of(str(directory / "state"), str(directory / "root"), "ns", "c1")
        bundles.create(self.bundle, b"{}")
        addresses = Addresses(
            "/run/d.sock", "/run/d.sock.ttrpc", "/bin/d", "debug", "/run/s", "9.9", {"SCHED_CORE": "1"}
        )
        self.shims = ForeignShims(addresses, "/builtin")

    def write(self, body: str = "", version: str = "shim:\n  Version:  1.6.20") -> None:
        Path(self.path).write_text(SCRIPT.format(body=body, version=version))
        os.chmod(self.path, 0o755)

    def called(self, action: str) -> dict[str, object]:
        value: dict[str, object] = json.loads((self.directory / f"{action}.json").read_text())
        return value


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    return Shim(tmp_path)


def test_start_is_called_as_peers_do(shim: Shim) -> None:
    shim.write("print('unix:///run/containerd/s/abc', end='')")
    assert shim.shims.start(shim.bundle, shim.path, OPTIONS) == Bootstrap("unix:///run/containerd/s/abc", 2)
    call = shim.called("start")
    assert call["argv"] == [
        *("-namespace", "ns", "-address", "/run/d.sock", "-publish-binary", "/bin/d", "-id", "c1", "-debug", "start")
    ]
    assert call["cwd"] == shim.bundle.path
    assert call["group"] is True
    assert call["env"] == {
        "GOMAXPROCS": "2",
        "MAX_SHIM_VERSION": "2",
        "TTRPC_ADDRESS": "/run/d.sock.ttrpc",
        "GRPC_ADDRESS": "/run/d.sock",
        "NAMESPACE": "ns",
        "SCHED_CORE": "1",
    }


def _stdin(shim: Shim, version: str, options: AnyValue | None) -> bytes:
    shim.write("print('unix:///a', end='')", version)
    shim.shims.start(shim.bundle, shim.path, options)
    return bytes.fromhex(str(shim.called("start")["stdin"]))


def test_old_shims_get_the_bare_options(shim: Shim) -> None:
    assert _stdin(shim, "s:\n  Version:  1.6.20", OPTIONS) == b"\n\x1acontainerd.runc.v1.Options\x12\x06\x32\x04crun"
    assert _stdin(shim, "s:\n  Version:  1.6.20", None) == b""


def test_new_shims_get_bootstrap_parameters(shim: Shim) -> None:
    params = bootstrap_pb2.BootstrapParams.FromString(_stdin(shim, "s:\n  Version:  v2.3.4", OPTIONS))
    assert (params.instance_id, params.namespace, params.socket_dir) == ("c1", "ns", "/run/s")
    assert (params.containerd_grpc_address, params.containerd_ttrpc_address) == ("/run/d.sock", "/run/d.sock.ttrpc")
    assert (params.containerd_binary, params.containerd_version, params.log_level) == ("/bin/d", "9.9", -4)
    assert [extension.value.type_url for extension in params.extensions] == ["containerd.runc.v1.Options"]


def test_shims_of_an_unknown_line_get_nothing_when_there_is_nothing_to_say(shim: Shim) -> None:
    assert _stdin(shim, "some shim, version 3", None) == b""
    assert bootstrap_pb2.BootstrapParams.FromString(_stdin(shim, "some shim, version 3", OPTIONS)).instance_id == "c1"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("sys.exit('cannot do that')", "cannot do that"),
        ("print('a b c')", "answered its start badly"),
        ("", "answered nothing"),
    ],
)
def test_a_shim_that_does_not_start_says_why(shim: Shim, body: str, text: str) -> None:
    shim.write(body)
    with pytest.raises(Unknown, match=text):
        shim.shims.start(shim.bundle, shim.path, None)


def test_a_shim_that_hangs_is_given_up(shim: Shim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "START_LIMIT", 0.3)
    shim.write("import time; time.sleep(60)")
    with pytest.raises(Unknown, match=r"no end after 0\.3 s"):
        shim.shims.start(shim.bundle, shim.path, None)


def test_delete_reads_the_answer(shim: Shim) -> None:
    answer = task_pb2.DeleteResponse(pid=7, exit_status=137).SerializeToString()
    shim.write(f"sys.stderr.write('noise'); sys.stdout.buffer.write({answer!r})")
    assert shim.shims.delete(shim.bundle, shim.path).exit_status == 137
    argv = shim.called("delete")["argv"]
    assert isinstance(argv, list)
    assert argv[-3:] == ["-bundle", shim.bundle.path, "delete"]
    shim.write("print('hello')")
    with pytest.raises(Unknown, match="undecodable"):
        shim.shims.delete(shim.bundle, shim.path)


def test_a_missing_binary_is_named_with_a_remedy(shim: Shim) -> None:
    for name in ("containerd-shim-nowhere-v9", "/nowhere/shim"):
        with pytest.raises(Unknown, match="install it"):
            shim.shims.resolve(name)
    assert shim.shims.resolve("/builtin") == "/builtin"


def test_binaries_are_found_on_the_path(shim: Shim, monkeypatch: pytest.MonkeyPatch) -> None:
    shim.write()
    monkeypatch.setenv("PATH", str(shim.directory))
    assert shim.shims.resolve("containerd-shim-test-v1") == shim.path
