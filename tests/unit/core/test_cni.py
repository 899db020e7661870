"""CNI configurations and results."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import cni
from pycontainerd.core.errors import InvalidArgument

PLUGIN = {"type": "bridge"}


def text(**fields: Any) -> str:
    return json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": [PLUGIN], **fields})


def test_lists_and_single_plugins_are_read() -> None:
    assert cni.parse_config(text(disableCheck=True), "f").disable_check
    single = cni.parse_config(json.dumps({"cniVersion": "0.4.0", "name": "net", "type": "bridge", "mtu": 9}), "f")
    assert (single.version, single.plugins[0]["mtu"]) == ("0.4.0", 9)
    assert cni.read_config(single.to_json(), "f").plugins == single.plugins


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (text(name="a/b"), "no name"),
        (text(name=None), "no name"),
        (text(cniVersion="2.0.0"), "cniVersion"),
        (text(plugins=[]), "no plugins"),
        (text(plugins=[{"type": "../sh"}]), "type"),
        (text(plugins=["x"]), "type"),
        (text(plugins=[{}]), "type"),
    ],
)
def test_bad_configurations_say_what_is_wrong(bad: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as error:
        cni.parse_config(bad, "/etc/cni/net.d/x")
    assert "/etc/cni/net.d/x" in str(error.value)


keys = st.sampled_from(["cniVersion", "name", "type", "plugins", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(keys, inner)
)


@given(values)
def test_any_json_is_read_or_refused(value: Any) -> None:
    try:
        cni.parse_config(json.dumps(value), "f")
    except InvalidArgument:
        pass


def test_addresses_of_the_interface_inside() -> None:
    result = {
        "interfaces": [{"name": "cni0", "mac": "aa"}, {"name": "eth0", "mac": "AA:BB:CC:00:00:01", "sandbox": "/n"}],
        "ips": [
            {"address": "10.0.0.1/24", "interface": 0},
            {"address": "10.0.0.2/24", "interface": 1},
            {"address": "fd00::2/64", "interface": 1},
            {"address": "10.0.0.3/24", "interface": 1},
            {"address": "rubbish"},
        ],
    }
    assert cni.addresses_of(result, "eth0") == cni.Addresses("10.0.0.2", "fd00::2", "aa:bb:cc:00:00:01")
    assert cni.addresses_of({"ips": [{"address": "10.0.0.9/24"}]}, "eth0") == cni.Addresses("10.0.0.9")
    assert cni.addresses_of({}, "eth0") == cni.Addresses()


def test_failures_tell_the_plugins_words() -> None:
    told = cni.failure("bridge", "ADD", b'{"code": 7, "msg": "no", "details": "why"}', "exit status 1")
    assert (str(told), told.code) == ("CNI plugin bridge failed to ADD: no (why)", 7)
    assert str(cni.failure("bridge", "DEL", b"oops", "killed")) == "CNI plugin bridge failed to DEL: killed"
    with pytest.raises(cni.CniError, match="no JSON object"):
        cni.read_result(b"[]", "bridge")
