"""Choosing subnets and addresses."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import ipam
from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from pycontainerd.core.network import Subnet


def hand_out(subnet: Subnet, count: int, released: set[int] | None = None) -> list[str]:
    """Take addresses one after the other, giving some back at once."""
    taken: set[int] = set()
    cursor, found = 0, []
    for number in range(count):
        cursor = ipam.next_address(subnet, cursor, lambda low, high: (a for a in sorted(taken) if low <= a <= high))
        assert cursor not in taken
        found.append(str(ip_address(cursor)))
        if number not in (released or set()):
            taken.add(cursor)
    return found


class TestAddresses:
    def test_start_behind_the_gateway(self) -> None:
        assert hand_out(ipam.check_subnet(Subnet("10.1.0.0/24")), 2) == ["10.1.0.2", "10.1.0.3"]

    def test_a_released_one_rests_until_the_subnet_was_gone_through(self) -> None:
        subnet = ipam.check_subnet(Subnet("10.1.0.0/29"))
        assert hand_out(subnet, 6, released={0}) == [f"10.1.0.{n}" for n in (2, 3, 4, 5, 6, 2)]

    def test_the_last_one_is_the_last(self) -> None:
        with pytest.raises(ResourceExhausted, match=r'10\.1\.0\.0/30" \(remove containers'):
            hand_out(ipam.check_subnet(Subnet("10.1.0.0/30")), 2)

    def test_a_range_bounds_them_and_names_itself(self) -> None:
        subnet = ipam.check_subnet(Subnet("10.1.0.0/16", "", "10.1.5.0/30", {"printer": "10.1.5.1"}))
        assert hand_out(subnet, 3) == ["10.1.5.0", "10.1.5.2", "10.1.5.3"]
        with pytest.raises(ResourceExhausted, match=r"10\.1\.5\.0/30"):
            hand_out(subnet, 4)

    def test_of_ipv6_are_as_easy(self) -> None:
        assert hand_out(ipam.check_subnet(Subnet("fd00:1::/64")), 2) == ["fd00:1::2", "fd00:1::3"]

    @given(st.sets(st.integers(2, 13)), st.integers(0, 14), st.sets(st.integers(2, 13), max_size=3))
    def test_the_next_is_the_first_free_after_the_cursor(self, used: set[int], cursor: int, aux: set[int]) -> None:
        base = int(ip_address("10.9.0.0"))
        subnet = Subnet("10.9.0.0/28", "10.9.0.1", "", {str(n): str(ip_address(base + n)) for n in aux})
        order = [*range(cursor + 1, 15), *range(1, cursor + 1)] if cursor < 14 else list(range(1, 15))
        expected = [n for n in order if n not in used | aux | {1}]
        taken = sorted(base + n for n in used)
        try:
            found = ipam.next_address(subnet, base + cursor, lambda low, high: (a for a in taken if low <= a <= high))
        except ResourceExhausted:
            assert not expected
        else:
            assert found - base == expected[0]

    @pytest.mark.parametrize("wanted", ["10.1.0.0", "10.1.0.255", "10.2.0.1", "fd00::1", "x"])
    def test_that_nobody_can_have_are_refused(self, wanted: str) -> None:
        with pytest.raises(InvalidArgument):
            ipam.check_wanted(Subnet("10.1.0.0/24", "10.1.0.1"), wanted)

    def test_the_gateways_is_taken(self) -> None:
        with pytest.raises(FailedPrecondition, match="gateway"):
            ipam.check_wanted(Subnet("10.1.0.0/24", "10.1.0.1"), "10.1.0.1")

    @given(st.integers(4, 6).filter(lambda v: v != 5), st.data())
    def test_texts_sort_back(self, version: int, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, 2 ** (32 if version == 4 else 128) - 1))
        parsed = ip_address(ipam.to_text(number, version))
        assert (parsed.version, int(parsed)) == (version, number)


class TestSubnets:
    def test_get_the_first_host_as_gateway_unless_it_is_spoken_for(self) -> None:
        assert ipam.check_subnet(Subnet("10.1.0.0/16")).gateway == "10.1.0.1"
        assert ipam.check_subnet(Subnet("10.1.0.0/16", "", "", {"a": "10.1.0.1"})).gateway == "10.1.0.2"
        assert ipam.check_subnet(Subnet("10.1.0.0/16", "10.1.9.9")).gateway == "10.1.9.9"

    @pytest.mark.parametrize(
        ("subnet", "sentence"),
        [
            (Subnet("10.1.0.0"), "prefix length is missing"),
            (Subnet("10.1.2.3/16"), r"write 10\.1\.0\.0/16"),
            (Subnet("10.1.0.0/33"), "want an address and a prefix length"),
            (Subnet("10.1.0.0/31"), "too small"),
            (Subnet("224.0.0.0/24"), "not for hosts"),
            (Subnet("10.1.0.0/16", "10.2.0.1"), "not within the subnet"),
            (Subnet("10.1.0.0/16", "10.1.0.0"), "network or broadcast address"),
            (Subnet("10.1.0.0/16", "", "10.2.0.0/24"), "not within the subnet"),
            (Subnet("10.1.0.0/16", "", "", {"a": "fd00::1"}), "is not an IPv4 address"),
            (Subnet("10.1.0.0/16", "10.1.0.5", "", {"a": "10.1.0.5"}), "auxiliary address as well"),
        ],
    )
    def test_that_make_no_sense_are_refused(self, subnet: Subnet, sentence: str) -> None:
        with pytest.raises(InvalidArgument, match=sentence):
            ipam.check_subnet(subnet)

    def test_overlap_in_either_direction_and_never_across_families(self) -> None:
        assert ipam.overlap("10.1.0.0/16", ["10.2.0.0/16", "10.1.2.0/24"]) == "10.1.2.0/24"
        assert ipam.overlap("10.1.2.0/24", ["10.0.0.0/8"]) == "10.0.0.0/8"
        assert ipam.overlap("10.1.0.0/16", ["fd00::/8"]) == ""

    def test_are_chosen_past_everything_taken(self) -> None:
        pools = (ipam.Pool("10.0.0.0/23", 24), ipam.Pool("10.9.0.0/16", 24))
        assert ipam.choose_subnet(pools, []) == "10.0.0.0/24"
        assert ipam.choose_subnet(pools, ["10.0.0.128/25"]) == "10.0.1.0/24"
        assert ipam.choose_subnet(pools, ["10.0.0.0/23"]) == "10.9.0.0/24"
        with pytest.raises(ResourceExhausted, match="remove unused networks"):
            ipam.choose_subnet(pools, ["10.0.0.0/8"])

    @given(st.lists(st.tuples(st.integers(0, 255), st.integers(20, 28)), max_size=8))
    def test_chosen_ones_are_free_and_the_first_free(self, blocks: list[tuple[int, int]]) -> None:
        taken = [str(ip_network(f"10.0.{third}.0/{size}", strict=False)) for third, size in blocks]
        free = [s for s in ip_network("10.0.0.0/16").subnets(new_prefix=24) if not ipam.overlap(str(s), taken)]
        try:
            chosen = ipam.choose_subnet((ipam.Pool("10.0.0.0/16", 24),), taken)
        except ResourceExhausted:
            assert not free
        else:
            assert chosen == str(free[0])

    def test_of_ipv6_come_from_a_pool_of_the_installations_own(self) -> None:
        one, other = ipam.local_pool("/a"), ipam.local_pool("/b")
        assert one != other
        assert ip_network(one.base).subnet_of(ip_network("fd00::/8"))  # type: ignore[arg-type]
        assert ipam.choose_subnet((*ipam.DEFAULT_POOLS, one), [], 6).endswith("/64")

    def test_pools_that_cannot_be_cut_are_refused(self) -> None:
        ipam.check_pools(ipam.DEFAULT_POOLS)
        with pytest.raises(InvalidArgument, match="cannot be cut"):
            ipam.check_pools([ipam.Pool("10.0.0.0/24", 16)])


class TestMacs:
    def test_follow_from_the_address(self) -> None:
        assert ipam.mac_for("172.30.0.2") == "02:42:ac:1e:00:02"
        assert ipam.parse_mac(ipam.mac_for("fd00::1")) == ipam.mac_for("fd00::1")

    def test_of_other_spellings_are_understood(self) -> None:
        assert ipam.parse_mac("02-42-AC-1E-00-02") == "02:42:ac:1e:00:02"

    @pytest.mark.parametrize("text", ["", "02:42", "01:00:5e:00:00:01", "00:00:00:00:00:00", "02:42:ac:1e:00:0g"])
    def test_that_are_none_are_refused(self, text: str) -> None:
        with pytest.raises(InvalidArgument):
            ipam.parse_mac(text)
