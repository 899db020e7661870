"""Which shim and which OCI runtime."""

from __future__ import annotations

import pytest

from pycontainerd.core.errors import Unknown
from pycontainerd.core.runtimes import (
    RUNC_V2,
    RuntimeConfig,
    ShimChoice,
    binary_name,
    choose_binary,
    choose_shim,
    is_crun,
    is_legacy_stdin,
    spec_line,
)


def test_the_common_name_means_the_built_in_shim() -> None:
    for name in (RUNC_V2, "", "io.containerd.pycontainerd.v1"):
        assert choose_shim(name, "", {}).builtin


def test_configuration_maps_a_name_to_a_binary() -> None:
    mapped = {RUNC_V2: RuntimeConfig(shim="/usr/bin/containerd-shim-runc-v2")}
    assert choose_shim(RUNC_V2, "", mapped) == ShimChoice("/usr/bin/containerd-shim-runc-v2")


def test_a_configured_name_without_a_binary_is_the_built_in_shim() -> None:
    assert choose_shim("io.containerd.fast.v1", "", {"io.containerd.fast.v1": RuntimeConfig(binary="crun")}).builtin


def test_the_requests_path_wins() -> None:
    assert choose_shim(RUNC_V2, "/opt/shim", {RUNC_V2: RuntimeConfig(shim="/other")}) == ShimChoice("/opt/shim")


def test_other_names_become_binaries() -> None:
    assert binary_name("io.containerd.kata.v2") == "containerd-shim-kata-v2"
    assert binary_name("runc.v1") == "containerd-shim-runc-v1"
    assert choose_shim("io.containerd.kata.v2", "", {}) == ShimChoice("containerd-shim-kata-v2")


@pytest.mark.parametrize("name", ["runc", "a/b.c", ".v2", "a..v2", "../x.v1", "io.containerd.x v.2"])
def test_bad_names_are_unmapped_errors(name: str) -> None:
    with pytest.raises(Unknown):
        binary_name(name)


def test_binary_order_is_asked_configured_default_probed() -> None:
    def crun_works(binary: str, line: str) -> bool:
        return binary == "crun" and line in {"1.0", "1.1"}

    config = RuntimeConfig(binary="youki")
    none = RuntimeConfig()
    assert choose_binary("/usr/sbin/runc", config, "1.0.2", crun_works) == "/usr/sbin/runc"
    assert choose_binary("", config, "1.0.2", crun_works) == "youki"
    assert choose_binary("", none, "1.0.2", crun_works, "gvisor") == "gvisor"
    assert choose_binary("", none, "1.0.2-dev", crun_works) == "crun"
    assert choose_binary("", none, "1.2.0", crun_works) == "runc"


def test_spec_line() -> None:
    assert [spec_line(v) for v in ("1.0.2-dev", "1.1.0", "", "nonsense")] == ["1.0", "1.1", "1.0", "1.0"]


def test_is_crun() -> None:
    assert is_crun("/usr/bin/crun")
    assert not is_crun("/opt/crun/runc")


def test_stdin_form_follows_the_shims_version() -> None:
    assert is_legacy_stdin("containerd-shim-runc-v2:\n  Version:  1.6.20~ds1\n  Revision: x\n") is True
    assert is_legacy_stdin("shim:\n  Version:  v2.3.4\n") is False
    assert is_legacy_stdin("shim:\n  Version:  2.2.9\n") is True
    assert is_legacy_stdin("Kata Containers shim, version: 3.2.0") is None
