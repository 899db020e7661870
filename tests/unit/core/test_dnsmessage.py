"""DNS messages: what is read from anything, and what is written."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import dnsmessage as dns

labels = st.binary(min_size=1, max_size=63)
names = st.lists(labels, max_size=3).map(tuple)


def question(
    name: dns.Name, kind: int = dns.A, *, flags: int = 0x0100, extra: bytes = b"", additional: int = 0
) -> bytes:
    return dns.HEADER.pack(77, flags, 1, 0, 0, additional) + dns.write_name(name) + struct.pack("!HH", kind, 1) + extra


@given(st.binary(max_size=600))
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        query = dns.Query(data)
    except dns.Malformed:
        return
    assert query.end <= len(data)
    assert len(dns.answer(query, data, 0, ttl=1, limit=512)) >= dns.HEADER.size


@given(names, st.binary(max_size=80))
def test_anything_behind_a_question_is_harmless(name: dns.Name, extra: bytes) -> None:
    data = question(name, extra=extra, additional=3)
    query = dns.Query(data)
    assert (query.name, query.kind, query.klass) == (name, dns.A, dns.IN)
    assert dns.MIN_UDP <= query.size <= dns.MAX_UDP


@given(names, st.integers(0, 400))
def test_cutting_a_message_short_is_noticed(name: dns.Name, length: int) -> None:
    data = question(name)
    if length < len(data):
        with pytest.raises(dns.Malformed):
            dns.Query(data[:length])


@given(st.lists(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), max_size=400), st.booleans())
def test_answers_fit_and_say_when_they_are_cut(addresses: list[bytes], edns: bool) -> None:
    opt = struct.pack("!BHHIH", 0, dns.OPT, 1232, 0, 0) if edns else b""
    data = question((b"a", b"Example"), extra=opt, additional=int(edns))
    query = dns.Query(data)
    reply = dns.answer(query, data, 0, dns.addresses_rdata(addresses), ttl=5, limit=query.size)
    number, flags, questions, count, _, additional = dns.HEADER.unpack_from(reply)
    assert len(reply) <= (1232 if edns else 512)
    assert (number, questions, additional) == (77, 1, int(edns))
    assert bool(flags & 0x0200) == (count < len(addresses))
    assert reply[12 : query.end] == data[12 : query.end]


def test_names_point_backwards_only() -> None:
    data = b"\3www\7example\0\3ftp\xc0\4"
    assert dns.read_name(data, 13) == ((b"ftp", b"example"), len(data))
    for bad in (b"\xc0\0", b"\xc0\5", b"\1a\xc0\2", b"\x40a\0", b"\3ab", b"\xc0"):
        with pytest.raises(dns.Malformed):
            dns.read_name(bad, 0)
    with pytest.raises(dns.Malformed):
        dns.read_name(dns.write_name((b"a" * 63,) * 4), 0)


def test_answers_and_several_questions_are_no_query() -> None:
    for data in (question((b"a",), flags=0x8000), dns.HEADER.pack(1, 0, 0, 0, 0, 0), dns.HEADER.pack(1, 0, 2, 0, 0, 0)):
        with pytest.raises(dns.Malformed):
            dns.Query(data)


@given(st.ip_addresses())
def test_reversed_addresses(address: IPv4Address | IPv6Address) -> None:
    assert dns.reversed_address(address.reverse_pointer) == address.packed


@pytest.mark.parametrize(
    "name", ["1.2.3.in-addr.arpa", "256.1.1.1.in-addr.arpa", "x.1.1.1.in-addr.arpa", "ip6.arpa", "a"]
)
def test_other_names_are_no_addresses(name: str) -> None:
    assert dns.reversed_address(name) is None


def test_a_reply_is_known_by_id_and_question() -> None:
    data = question((b"Example",))
    query = dns.Query(data)
    good = dns.with_id(dns.answer(query, data, 0, [(dns.A, ip_address("192.0.2.1").packed)], ttl=1, limit=512), 9)
    assert dns.answers(good, query, data, 9)
    assert dns.answers(good.replace(b"Example", b"eXAMPLE"), query, data, 9)
    assert not dns.answers(good, query, data, 10)
    assert not dns.answers(good.replace(b"Example", b"Exemple"), query, data, 9)
    assert not dns.answers(dns.with_id(data, 9), query, data, 9)
    assert not dns.answers(b"", query, data, 9)
    assert dns.answers(dns.HEADER.pack(9, 0x8001, 0, 0, 0, 0), query, data, 9)
    assert not dns.answers(dns.HEADER.pack(9, 0x8000, 0, 0, 0, 0), query, data, 9)


def test_names_of_odd_bytes_equal_no_other_name() -> None:
    assert dns.folded((b"WWW", b"Example")) == "www.example"
    assert dns.folded((b"www.example",)) != "www.example"
    assert dns.folded((b"\xff",)) != dns.folded((b"?",))
