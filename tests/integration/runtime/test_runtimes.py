"""Which OCI runtime runs a container, and the filter it gets."""

from __future__ import annotations

import base64
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from pycontainerd.api.types.runc import options_pb2
from pycontainerd.core.bundle import Bundle
from pycontainerd.core.runtimes import RuntimeConfig
from pycontainerd.core.tasks import CreateTask
from pycontainerd.core.values import AnyValue
from pycontainerd.linux import process
from pycontainerd.runtime.probe import RuntimeProbe
from pycontainerd.runtime.seccomp import SeccompCache
from pycontainerd.runtime.spec import BPF_ANNOTATION
from tests.integration.runtime.harness import DEBIAN_SHIM, Host, make_spec
from tests.unit.runtime.bpf import decide

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.skipif(shutil.which("crun") is None, reason="crun is not installed")]

FILTER: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "syscalls": [
        {"names": ["mkdir", "mkdirat", "not_a_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}],
        },
    ],
}
MKDIR = ["/bin/sh", "-c", "mkdir /dev/new 2>/dev/null || exit 7"]


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    try:
        await host.start()
        yield host
    finally:
        await host.clean()


def _config(bundle: Bundle) -> dict[str, Any]:
    with open(bundle.config, "rb") as file:
        value: dict[str, Any] = json.load(file)
    return value


def _runtime(bundle: Bundle) -> str:
    with open(f"{bundle.path}/runtime", encoding="utf-8") as file:
        return os.path.basename(file.read().strip())


async def _run(host: Host, request: CreateTask) -> tuple[Bundle, int]:
    await host.run(request)
    bundle = host.tasks.table.get(host.namespace, request.container_id).bundle
    return bundle, (await host.tasks.wait(host.namespace, request.container_id)).status


def test_the_filter_made_here_is_the_one_crun_makes(tmp_path: Path) -> None:
    """Byte for byte, hence alike in every decision; some decisions are looked at all the same."""
    bundle = tmp_path / "bundle"
    (bundle / "rootfs" / "dev").mkdir(parents=True)
    spec = make_spec(str(bundle / "rootfs"), f"/rt-{os.getpid()}", ["/bin/true"])
    profile = {
        **FILTER,
        "syscalls": [
            *FILTER["syscalls"],
            {"names": ["keyctl", "bpf"], "action": "SCMP_ACT_KILL_PROCESS"},
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": 0x10000000, "valueTwo": 0x10000000, "op": "SCMP_CMP_MASKED_EQ"}],
            },
        ],
    }
    spec["linux"]["seccomp"] = profile
    spec["root"]["readonly"] = False
    spec["mounts"] += [
        {"destination": path, "type": "bind", "source": os.path.realpath(path), "options": ["rbind", "ro"]}
        for path in ("/bin", "/lib", "/lib64", "/usr")
    ]
    (bundle / "config.json").write_text(json.dumps(spec))
    root = ["--root", str(tmp_path / "root")]
    name = f"rt-{os.getpid()}"
    try:
        # A created container keeps its stdio, so that must not be a pipe somebody reads to its end.
        command = f"exec crun --root {tmp_path}/root create --bundle {bundle} {name} >/dev/null 2>{tmp_path}/err"
        result = process.run(["/bin/sh", "-c", command])
        assert result.code == 0, (tmp_path / "err").read_text()
        theirs = (tmp_path / "root" / name / "seccomp.bpf").read_bytes()
    finally:
        process.run(["crun", *root, "delete", "--force", name])
    ours = base64.b64decode(SeccompCache(str(tmp_path / "cache")).get(profile))
    assert ours == theirs
    for number, args in ((0, []), (83, []), (250, []), (56, [0x10000000]), (56, [0x11]), (135, [8])):
        assert decide(ours, number, args) == decide(theirs, number, args)


@pytest.mark.asyncio
async def test_the_filter_is_handed_over_and_works(host: Host) -> None:
    linux = {"seccomp": FILTER}
    bundle, status = await _run(host, host.add("filtered", MKDIR, linux=linux))
    assert status == 7
    annotations = _config(bundle)["annotations"]
    assert list(annotations) == [BPF_ANNOTATION]
    assert decide(base64.b64decode(annotations[BPF_ANNOTATION]), 83) == 0x00050000 | 28
    plain, status = await _run(host, host.add("plain", MKDIR))
    assert status == 0
    assert "annotations" not in _config(plain)
    with open(plain.config, "rb") as file:  # noqa: ASYNC230
        spec = host.containers.records[host.namespace, "plain"].spec
        assert spec is not None
        assert file.read() == spec.value


@pytest.mark.asyncio
async def test_runc_compiles_for_itself(host: Host) -> None:
    options = options_pb2.Options(binary_name="runc").SerializeToString()
    request = host.add("c1", MKDIR, linux={"seccomp": FILTER})
    request = CreateTask("c1", options=AnyValue("containerd.runc.v1.Options", options))
    bundle, status = await _run(host, request)
    assert (status, _runtime(bundle)) == (7, "runc")
    assert "annotations" not in _config(bundle)


@pytest.mark.asyncio
async def test_a_client_cannot_bring_a_filter_of_its_own(host: Host) -> None:
    allow_all = base64.b64encode(bytes.fromhex("060000000000ff7f")).decode()
    annotations = {
        BPF_ANNOTATION: allow_all,
        "run.oci.hooks.stdout": f"{host.base}/written-by-crun",
        "org.example": "kept",
    }
    bundle, status = await _run(host, host.add("c1", MKDIR, linux={"seccomp": FILTER}, annotations=annotations))
    assert status == 7
    kept = _config(bundle)["annotations"]
    assert kept.pop(BPF_ANNOTATION) != allow_all
    assert kept == {"org.example": "kept"}
    # Without a profile of its own there is no filter at all, and still not the client's.
    bundle, _ = await _run(host, host.add("c2", ["/bin/true"], annotations={BPF_ANNOTATION: allow_all}))
    assert _config(bundle)["annotations"] == {}


@pytest.mark.asyncio
async def test_crun_where_it_takes_the_spec_else_runc(host: Host) -> None:
    for version in ("1.0.2-dev", "1.1.0", "1.2.1"):
        name = f"c{version.partition('-')[0]}"
        bundle, status = await _run(host, host.add(name, ["/bin/true"], ociVersion=version))
        works = RuntimeProbe(host.base).works("crun", ".".join(version.split(".")[:2]))
        assert (status, _runtime(bundle)) == (0, "crun" if works else "runc")


@pytest.mark.asyncio
async def test_the_configuration_names_runtimes() -> None:
    runtimes = {
        "io.containerd.slow.v1": RuntimeConfig(binary="runc"),
        "io.containerd.theirs.v2": RuntimeConfig(shim=DEBIAN_SHIM),
    }
    host = Host(runtimes=runtimes)
    try:
        await host.start()
        bundle, _ = await _run(host, host.add("c1", ["/bin/true"], runtime="io.containerd.slow.v1"))
        assert _runtime(bundle) == "runc"
        bundle, _ = await _run(host, host.add("c2", ["/bin/true"], runtime="io.containerd.theirs.v2"))
        with open(bundle.shim_binary, encoding="utf-8") as file:  # noqa: ASYNC230
            assert file.read() == DEBIAN_SHIM
    finally:
        await host.clean()


def test_a_probe_says_what_is_wrong_and_leaves_nothing(tmp_path: Path) -> None:
    probe = RuntimeProbe(str(tmp_path))
    assert "not installed" in probe.complaint("no-such-runtime", "1.0")
    assert probe.works("runc", "1.0")
    assert "false" in probe.complaint("/bin/false", "1.0")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_daemon_left_of_its_probe_is_taken_away(tmp_path: Path) -> None:
    left = tmp_path / ".probe-left"
    (left / "rootfs/dev").mkdir(parents=True)
    (left / "state").mkdir()
    (tmp_path / "other").mkdir()
    RuntimeProbe(str(tmp_path)).complaint("crun", "1.0")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
