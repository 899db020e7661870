"""Which sockets hold a port, and who is in the way of it."""

from __future__ import annotations

from pycontainerd.core.network import PortRequest, PublishedPort
from pycontainerd.core.ports import HostSocket, Target, candidates, display, holder_of, sockets_for

V4 = Target("10.0.0.2")
BOTH = Target("10.0.0.2", "fd00::2")


def test_every_address_means_both_families_and_a_listener_for_what_cannot_be_translated() -> None:
    port = PublishedPort("tcp", "", 8080, 80)
    assert list(sockets_for(port, V4)) == [
        HostSocket("tcp", "0.0.0.0", 8080),
        HostSocket("tcp", "::", 8080, ("10.0.0.2", 80)),
    ]
    assert next(sockets_for(port, Target("", "fd00::2"))).target == ("fd00::2", 80)


def test_datagrams_are_translated_or_nothing() -> None:
    port = PublishedPort("udp", "", 53, 53)
    assert list(sockets_for(port, V4)) == [HostSocket("udp", "0.0.0.0", 53)]
    assert [s.address for s in sockets_for(port, BOTH)] == ["0.0.0.0", "::"]


def test_a_named_address_has_one_socket() -> None:
    assert list(sockets_for(PublishedPort("tcp", "127.0.0.1", 1, 2), V4)) == [HostSocket("tcp", "127.0.0.1", 1)]
    assert list(sockets_for(PublishedPort("tcp", "fd01::1", 1, 2), BOTH)) == [HostSocket("tcp", "fd01::1", 1)]
    (loopback,) = sockets_for(PublishedPort("tcp", "::1", 1, 2), BOTH)
    assert loopback.target == ("10.0.0.2", 2)


def test_ranges_are_tried_in_order() -> None:
    assert list(candidates(PortRequest(80, 8000, 8002))) == [8000, 8001, 8002]
    assert list(candidates(PortRequest(80, 8000))) == [8000]
    assert not candidates(PortRequest(80))


def test_collisions_are_found_across_ways_of_saying_every_address() -> None:
    others = [("web", PublishedPort("tcp", "0.0.0.0", 80, 1)), ("dns", PublishedPort("udp", "", 53, 1))]
    assert holder_of(PublishedPort("tcp", "127.0.0.1", 80, 9), others) == "web"
    assert holder_of(PublishedPort("tcp", "", 80, 9), others) == "web"
    assert holder_of(PublishedPort("tcp", "::1", 80, 9), others) == ""
    assert holder_of(PublishedPort("tcp", "", 53, 9), others) == ""
    assert holder_of(PublishedPort("udp", "::1", 53, 9), others) == "dns"


def test_ports_are_shown_as_users_write_them() -> None:
    assert display(PublishedPort("tcp", "", 80, 1)) == "0.0.0.0:80/tcp"
    assert display(PublishedPort("udp", "::1", 53, 1)) == "[::1]:53/udp"
