"""Verbs whose answers no other program has the like of: completion, disk usage that adds up, search, live limits."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.pyctr import Pyctr

pytestmark = pytest.mark.root


def _completed(pyctr: Pyctr, *words: str) -> list[str]:
    return [line.partition("\t")[0] for line in pyctr.ok("__complete", *words).splitlines()]


def test_names_are_completed(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "upper", "--network", "none", "busybox", "sleep", "1000")
    pyctr.ok("create", "--name", "unborn", "busybox")
    assert _completed(pyctr, "stop", "u") == ["upper"]
    assert _completed(pyctr, "start", "u") == ["unborn", "upper"]
    assert _completed(pyctr, "exec", "upper", "") == []
    assert _completed(pyctr, "run", "--rm", "busy") == ["busybox", "busybox:latest"]
    pyctr.ok("network", "create", "completed")
    pyctr.ok("volume", "create", "completed-too")
    try:
        assert "completed" in _completed(pyctr, "network", "inspect", "comp")
        assert "completed" in _completed(pyctr, "run", "--network", "comp")
        assert _completed(pyctr, "volume", "rm", "comp") == ["completed-too"]
    finally:
        pyctr.ok("network", "rm", "completed")
        pyctr.ok("volume", "rm", "completed-too")


def test_ambiguous_prefixes_name_the_candidates(pyctr: Pyctr) -> None:
    ids: list[str] = []
    while len({identity[0] for identity in ids}) == len(ids):
        ids.append(pyctr.ok("create", "--network", "none", "busybox"))
    said = pyctr.fails(1, "start", ids[-1][0])
    assert f"{ids[-1][0]} is the beginning of several ids" in said
    assert ids[-1][:12] in said


def _bytes(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]


def test_disk_usage_adds_up(pyctr: Pyctr) -> None:
    before = pyctr.ok("system", "df", "--format", "{{.Size}}").splitlines()
    pyctr.ok("run", "--name", "big", "--network", "none", "busybox", "dd", "if=/dev/zero", "of=/f", "bs=1M", "count=3")
    pyctr.ok("commit", "big", "committed")
    rows = [json.loads(line) for line in pyctr.ok("system", "df", "--format", "json").splitlines()]
    images, containers = rows[0], rows[1]
    assert _bytes(containers["Size"]) - _bytes(before[1]) >= 3 << 20
    assert _bytes(images["Size"]) - _bytes(before[0]) >= 3 << 20  # the layer, unpacked
    pyctr.ok("tag", "committed", "committed:again")
    assert pyctr.ok("system", "df", "--format", "{{.Size}}").splitlines()[0] == images["Size"]
    said = pyctr.ok("image", "prune", "-af")
    assert "untagged: committed:again" in said
    assert _bytes(said.rpartition(" ")[2]) >= 3e6
    assert _bytes(pyctr.ok("system", "df", "--format", "{{.Size}}").splitlines()[0]) <= _bytes(before[0]) + 1000


def test_limits_change_at_once(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "limited", "-m", "64m", "--network", "none", "busybox", "sleep", "1000")
    pyctr.ok("update", "-m", "96m", "--memory-swap", "-1", "--pids-limit", "33", "limited")
    seen = pyctr.ok("stats", "--no-stream", "--format", "{{.MemUsage}}", "limited")
    assert seen.endswith("/ 96MiB")
    pyctr.ok("restart", "-t", "0", "limited")
    assert pyctr.ok("stats", "--no-stream", "--format", "{{.MemUsage}}", "limited").endswith("/ 96MiB")


class _Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/v1/search"):
            results: list[object] = [{"name": "busybox", "description": "small", "star_count": 9, "is_official": True}]
            body: dict[str, list[object]] = {
                "results": [*results, {"name": "other/busybox", "description": "x" * 99, "star_count": 1}]
            }
        else:
            body = {"repositories": ["team/app", "team/db", "else"]}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_search(pyctr: Pyctr, registry: str) -> None:
    assert pyctr.ok("search", f"{registry}/team", "--format", "{{.Name}}").splitlines() == [
        f"{registry}/team/app", f"{registry}/team/db",
    ]  # fmt: skip
    env = {"PYCTR_SEARCH_URL": f"http://{registry}"}
    lines = pyctr.ok("search", "busybox", env=env).splitlines()
    assert re.split(" {2,}", lines[0]) == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert re.split(" {2,}", lines[1]) == ["busybox", "small", "9", "[OK]"]
    assert "…" in lines[2]
    assert pyctr.ok("search", "--filter", "stars=5", "--format", "{{.Name}}", "busybox", env=env) == "busybox"
    assert "cannot be reached" in pyctr.fails(1, "search", "127.0.0.1:1/x")


def test_rename_and_removal_are_told(pyctr: Pyctr) -> None:
    pyctr.ok("run", "-d", "--name", "before", "--network", "none", "busybox", "sleep", "1000")
    pyctr.ok("rename", "before", "after")
    pyctr.ok("rm", "-f", "after")
    said = pyctr.ok("events", "--since", "20s", "--until", "0s", "--filter", "type=container", "--format", "{{json .}}")
    events = [json.loads(line) for line in said.splitlines()]
    renamed = next(event for event in events if event["Action"] == "rename")
    assert renamed["Actor"]["Attributes"]["oldName"] == "/before"
    mine = [event["Action"] for event in events if event["id"] == renamed["id"]]
    assert mine == ["create", "start", "rename", "kill", "die", "destroy"]


def test_published_ports_are_reached(pyctr: Pyctr) -> None:
    pyctr.ok("network", "create", "front")
    try:
        pyctr.ok("run", "-d", "--name", "web", "--network", "front", "-p", "127.0.0.1::80", "busybox",
                 "httpd", "-f", "-p", "80", "-h", "/etc")  # fmt: skip
        assert re.fullmatch(r"127\.0\.0\.1:\d+", pyctr.ok("port", "web", "80/tcp"))
        assert re.search(r"127\.0\.0\.1:\d+->80/tcp", pyctr.ok("ps", "--format", "{{.Ports}}"))
        fetch = ["run", "--rm", "--network", "front", "busybox", "wget", "-qO-", "http://web/hostname"]
        assert len(pyctr.ok(*fetch)) == 12
        pyctr.ok("network", "disconnect", "front", "web")
        assert pyctr.ok("inspect", "-f", "{{len .NetworkSettings.Networks}}", "web") == "0"
        pyctr.ok("network", "connect", "--alias", "site", "front", "web")
        assert pyctr.ok("inspect", "-f", "{{len .NetworkSettings.Networks}}", "web") == "1"
    finally:
        pyctr.ok("rm", "-f", "web")
        pyctr.ok("network", "rm", "front")
