"""Users by name, looked up in the container's own files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pycontainerd.wire.codes import INVALID_ARGUMENT, RpcError
from tests.integration.shim.harness import eventually

if TYPE_CHECKING:
    from tests.integration.shim.harness import Host

pytestmark = pytest.mark.root


def test_a_container_runs_as_the_user_it_names(each_host: Host) -> None:
    out = each_host.base / "out"
    box = each_host.shim("one", ["/bin/sh", "-c", "id; echo $HOME"], user={"username": "bob:audio"})
    document = json.loads((box.bundle / "config.json").read_text())
    document["annotations"] = {"io.pycontainerd.group-add": "staff,77"}
    (box.bundle / "config.json").write_text(json.dumps(document))
    box.create(stdout=f"file://{out}")
    box.start()
    assert box.wait().exit_status == 0
    box.delete()
    first, home = out.read_text().splitlines()
    assert first.startswith("uid=1000(bob) gid=29(audio)")
    assert {"50(staff)", "77"} <= set(first.partition("groups=")[2].split(","))
    assert home == "/home/bob"
    assert "username" not in (box.bundle / "config.json").read_text()


def test_an_exec_runs_as_the_user_it_names(host: Host) -> None:
    out = host.base / "out"
    box = host.shim("one", ["/bin/sleep", "100"])
    box.create()
    box.start()
    box.exec("e", ["/bin/id", "-u"], user={"username": "bob"}, stdout=f"file://{out}")
    box.start("e")
    assert box.wait("e").exit_status == 0
    box.delete("e")
    assert out.read_text() == "1000\n"
    with pytest.raises(RpcError) as caught:
        box.exec("f", ["/bin/id"], user={"username": "eve"})
    assert caught.value.code == INVALID_ARGUMENT
    assert "unable to find user eve: no matching entries in passwd file" in caught.value.message


def test_an_unknown_user_fails_the_create_and_leaves_nothing(host: Host) -> None:
    box = host.shim("one", ["/bin/true"], user={"username": "eve"})
    with pytest.raises(RpcError) as caught:
        box.create()
    assert caught.value.code == INVALID_ARGUMENT
    assert "unable to find user eve" in caught.value.message
    box.shutdown()
    eventually(lambda: not box.alive())
