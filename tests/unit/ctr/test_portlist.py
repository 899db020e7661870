"""A container's ports on one line."""

from __future__ import annotations

from ctr.portlist import line


def published(*ports: tuple[int, int], proto: str = "tcp") -> dict[str, list[dict[str, str]]]:
    return {
        f"{inner}/{proto}": [{"HostIp": address, "HostPort": str(outer)} for address in ("0.0.0.0", "::")]
        for outer, inner in ports
    }


def test_as_docker_shows_them() -> None:
    assert line(published((8080, 80)), ["80/tcp", "443/tcp"]) == "0.0.0.0:8080->80/tcp, :::8080->80/tcp, 443/tcp"
    assert line(published((80, 80), (81, 81)), []) == "0.0.0.0:80-81->80-81/tcp, :::80-81->80-81/tcp"
    assert line(published((8080, 80), (8081, 81)), []) == (
        "0.0.0.0:8080->80/tcp, 0.0.0.0:8081->81/tcp, :::8080->80/tcp, :::8081->81/tcp"
    )
    assert line({}, ["92/udp", "90/udp", "91/udp", "90/tcp"]) == "90/tcp, 90-92/udp"
    assert line({}, ["70-75/tcp"]) == "70-75/tcp"
    assert line({}, []) == ""
    assert line(published((32768, 100), (32769, 101)), ["100-102/tcp"]).endswith("->101/tcp, 102/tcp")


def test_many_are_folded() -> None:
    ports = [(20000 + step, 1000 + step) for step in range(500)]
    assert line(published(*ports), []) == "0.0.0.0:20000-20499->1000-1499/tcp, :::20000-20499->1000-1499/tcp"
