from __future__ import annotations

from pycontainerd.core import filters
from pycontainerd.daemon.config import Config
from pycontainerd.daemon.plugins import plugins


def listed() -> dict[tuple[str, str], object]:
    found = plugins(Config(root="/r"), {"overlayfs": ("/r/o", ("rebase",))}, {"native": "no room"})
    assert len({(plugin.type, plugin.id) for plugin in found}) == len(found)
    return {(plugin.type, plugin.id): plugin for plugin in found}


def test_what_clients_look_for_is_there() -> None:
    found = plugins(Config(root="/r"), {"overlayfs": ("/r/o", ("rebase",))}, {"native": "no room"})
    by_name = {f"{plugin.type}/{plugin.id}": plugin for plugin in found}
    overlay = by_name["io.containerd.snapshotter.v1/overlayfs"]
    assert (overlay.exports, overlay.capabilities, overlay.skipped) == ({"root": "/r/o"}, ("rebase",), "")
    assert by_name["io.containerd.snapshotter.v1/native"].skipped == "no room"
    assert "fifo" in by_name["io.containerd.runtime.v2/task"].exports["log-uri-schemes"]
    assert by_name["io.containerd.metadata.v1/bolt"].exports["policy"] == "shared"
    assert by_name["io.containerd.content.v1/content"].exports["root"].startswith("/r/")
    assert "io.containerd.gc.v1/scheduler" in by_name
    assert by_name["io.containerd.differ.v1/walking"].platforms[0].os == "linux"


def test_names_are_unique_and_filters_see_type_and_id() -> None:
    found = listed()
    matches = filters.compile(["type==io.containerd.snapshotter.v1,id==overlayfs"])
    assert [key for key, plugin in found.items() if matches(plugin.field)] == [  # type: ignore[attr-defined]
        ("io.containerd.snapshotter.v1", "overlayfs")
    ]
