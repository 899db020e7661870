"""Which functions a container's life runs in its shim, in the order of their first call.

`python -m tests.integration.shim.recorded` (as root) writes what it finds into `shim/hotcode.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from pycontainerd.linux.sealed import seal
from pycontainerd.wire.messages import types
from shim.runtime import find
from tests.integration.shim.harness import LAUNCH, ROOT, Box, Host, eventually

TIDIED = 1.5
"""Seconds after which a shim has tidied up for the first time."""

PROGRAM = """
import os, sys
sys.path.insert(0, {root!r})
import shim.standby as standby
live, leave = standby._standby, os._exit
def recorded(source, lifeline, taken):
    seen = {{}}
    def note(frame, event, _argument):
        if event == "call":
            seen.setdefault(frame.f_code.co_filename + ":" + frame.f_code.co_qualname)
    def tell(status):
        sys.setprofile(None)
        fd = os.open({folder!r} + "/" + str(os.getpid()), os.O_WRONLY | os.O_CREAT)
        os.write(fd, "\\n".join(seen).encode())
        leave(status)
    os._exit = tell
    sys.setprofile(note)
    live(source, lifeline, taken)
standby._standby = recorded
"""
HEADER = '''"""The functions that a container's life runs in its shim, in the order of their first call; see `compact`.

Written by tests/integration/shim/recorded.py.
"""

from __future__ import annotations

FUNCTIONS = """\\
'''
WORDS = """
import sys
sys.path.insert(0, sys.argv[1])
import shim.template
from shim.compact import functions_of, words_of
print(*words_of(functions_of(sys.stdin.read().splitlines(), sys.argv[1])), sep="\\n")
"""


def record(folder: Path) -> list[str]:
    """Let containers live under shims that take notes; `path:qualified name`, our paths below the checkout."""
    program = PROGRAM.format(root=str(ROOT), folder=str(folder)) + LAUNCH
    seen: dict[str, None] = {}
    with Host(log_level="info", program=program) as host:
        for number, streams in enumerate(_streams(host)):
            box = _box(host, f"b{number}")
            box.create(rootfs=[_overlay(host, box)], **streams)
            box.start()
            time.sleep(TIDIED)
            box.kill()
            box.wait()
            box.delete()
            box.shutdown()
            eventually((folder / str(box.pid)).exists)
            eventually(lambda pid=box.pid: not Path(f"/proc/{pid}").exists())
            seen.update(dict.fromkeys((folder / str(box.pid)).read_text().splitlines()))
    ours = f"{ROOT}/"
    return [name.removeprefix(ours) for name in seen if name.startswith((ours, "<frozen "))]


def _box(host: Host, id: str) -> Box:
    """A container whose shim was handed the runtime's program, as a daemon does."""
    bundle = host.bundle(id, ["/bin/sh", "-c", "echo hi; exec sleep 1000"])
    document = json.loads((bundle / "config.json").read_text())
    document["root"] = {"path": "rootfs"}
    (bundle / "config.json").write_text(json.dumps(document))
    log = os.open(bundle / "log", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    copy = seal(find("crun"))
    program = {"runtime": copy.path, "program": copy.path, "program_identity": copy.identity}
    reply = host.ask(host.request(id, bundle, oom_score_adj=0, **program), [copy.fd])
    host.pids.append(reply["pid"])
    host.boxes.append(Box(host, id, bundle, reply["pid"], log))
    return host.boxes[-1]


def _overlay(host: Host, box: Box) -> types.Mount:
    """The root filesystem as the overlay snapshotter gives it."""
    folders = {name: str(box.bundle / name) for name in ("upper", "work")}
    for path in folders.values():
        Path(path).mkdir()
    options = [f"workdir={folders['work']}", f"upperdir={folders['upper']}", f"lowerdir={host.rootfs}"]
    return types.Mount(type="overlay", source="overlay", options=options)


def _streams(host: Host) -> list[dict[str, Any]]:
    """Streams as those who ask for no output, for our own logs, and for FIFOs have them."""
    fifos = {name: str(host.base / name) for name in ("stdin", "stdout", "stderr")}
    for path in fifos.values():
        os.mkfifo(path)
        os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    return [{}, {"stdout": f"json-file://{host.base}/log"}, fifos]


def _words(names: list[str]) -> list[str]:
    """The names that are used in these functions, in the order of their first use."""
    command = [sys.executable, "-I", "-S", "-E", "-OO", "-c", WORDS, str(ROOT)]
    return subprocess.check_output(command, input="\n".join(names), text=True).split()


def main() -> int:
    """Write the list."""
    folder = Path("/tmp") / f"pc-recorded-{os.getpid()}"
    folder.mkdir()
    try:
        names = record(folder)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    text = HEADER + "\n".join(names) + '\n"""\n'
    text += '"""`path:qualified name`, our own paths below the directory of the packages."""\n'
    words = textwrap.fill(" ".join(_words(names)), 120, break_on_hyphens=False)
    text += f'WORDS = """\\\n{words}\n"""\n"""The names of attributes and globals in them."""\n'
    (ROOT / "shim" / "hotcode.py").write_text(text)
    sys.stdout.write(f"{len(names)} functions\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
