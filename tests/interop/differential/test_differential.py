"""The same calls, in the same order, on a real containerd and on our daemon: codes, answers and events are the same.

Debian has containerd 1.6, newer ones may be named (``tests.support.peers``), our contract is 2.3's. Where they differ
`KNOWN` says so, with the reason; a row that is no longer needed fails, too.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pycontainerd.linux.mount import unmount_all
from tests.interop.differential import calls
from tests.interop.differential.session import Session
from tests.support.daemon import ROOT, RunningDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.peers import Peer

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("containerd") is None, reason="Debian's containerd is the other side"),
]
Record = tuple[list[tuple[str, str, Any]], list[tuple[str, Any]]]

KNOWN = {
    "content bad digest": "they compare it as text at commit; here what is no digest is an invalid argument at once",
    "content abort bad": "as above: there is no ingest to abort",
    "content negative offset": "they take it for zero; here it is an invalid argument",
    "snapshot commit view": "an unmapped error up to 2.1, a failed precondition in 2.3",
    "diff apply bad digest": "they look for it, and do not find it",
}


@pytest.fixture(scope="module")
def theirs(peer: Peer) -> Iterator[Record]:
    """What containerd says."""
    base = Path(tempfile.mkdtemp(prefix="pc-ctrd-", dir="/tmp"))
    config, address = base / "config.toml", base / "c.sock"
    config.write_text(
        'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'root = "{base}/root"\nstate = "{base}/state"\n'
        f'[grpc]\naddress = "{address}"\n[ttrpc]\naddress = "{address}.ttrpc"\n'
    )
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(["containerd", "--config", str(config)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while subprocess.run(["ctr", "-a", str(address), "version"], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, (base / "log").read_text()[-2000:]
            time.sleep(0.1)
        yield _told(str(address), str(base))
    finally:
        process.terminate()
        process.wait(20)
        unmount_all(str(base))
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def ours(shared_daemon: RunningDaemon) -> Record:
    """What we say."""
    return _told(shared_daemon.address, str(shared_daemon.base))


def _told(address: str, base: str) -> Record:
    for path in (ROOT / "pycontainerd/api/events").rglob("*_pb2.py"):  # the events have to be known to be told
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    session = Session(address, base)
    try:
        calls.everything(session)
    finally:
        session.close()
    return session.record, session.events


def _settled(answer: Any) -> Any:
    """An answer without what containerd leaves to chance: empty parts, and the last answer of a write said twice."""
    if isinstance(answer, dict):
        plain = {key: _settled(item) for key, item in answer.items() if key not in {"total", "namespace"} or item}
        if "action" in answer or plain.keys() >= {"offset", "digest"}:
            for key in ("total", "started_at", "updated_at"):  # 1.6 leaves out the total of writes, 1.7 the times
                plain.pop(key, None)
        if plain.keys() >= {"digest", "created_at"}:
            plain.pop("updated_at", None)  # 1.7 leaves it out of lists of content
        return plain
    if isinstance(answer, list):
        items = [_settled(item) for item in answer]
        while len(items) > 1 and items[-1] == items[-2]:
            items.pop()
        return sorted(items, key=str) if all(isinstance(item, dict) and "ref" in item for item in items) else items
    return answer


def test_codes_and_answers(theirs: Record, ours: Record) -> None:
    expected = [(label, code, _settled(answer)) for label, code, answer in theirs[0]]
    got = [(label, code, _settled(answer)) for label, code, answer in ours[0]]
    assert [label for label, _, _ in got] == [label for label, _, _ in expected]
    different = [(mine, their) for mine, their in zip(got, expected, strict=True) if mine != their]
    assert {mine[0] for mine, _ in different} == set(KNOWN), "\n".join(map(str, different))


NEWER = {"/content/create"}
"""Events that 1.6 does not send."""


def _events(events: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    found = []
    for topic, (kind, payload) in events:
        if topic in NEWER or topic.startswith("/namespaces/"):  # 1.6 tells these in the caller's namespace
            continue
        if isinstance(payload, dict):
            payload.pop("snapshotter", None)  # new in 1.7
            for mount in payload.get("rootfs", ()):
                mount["options"] = sorted(mount["options"])
        found.append((topic, (kind, payload)))
    return found


LOSSY = {"/tasks/exit", "/tasks/delete"}
"""What containerd's shims since 1.7 tell of from a thread of their own, and not at all when they end first."""


def test_events(theirs: Record, ours: Record, peer: Peer) -> None:
    got, expected = _events(ours[1]), _events(theirs[1])
    if peer.version <= (1, 6):
        assert got == expected
        return
    mine, their = Counter(map(str, got)), Counter(map(str, expected))
    assert their - mine == Counter()
    lost = mine - their
    assert {event[0] for event in got if str(event) in lost} <= LOSSY


def test_everything_was_asked(ours: Record) -> None:
    assert len(ours[0]) > 300
    assert {code for _, code, _ in ours[0]} >= {"OK", "NOT_FOUND", "ALREADY_EXISTS", "INVALID_ARGUMENT", "UNKNOWN"}
