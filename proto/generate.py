"""Write everything that is made from the `.proto` sources, or with `--check` fail if a committed file would change.

python proto/generate.py            regenerate
python proto/generate.py --check    regenerate beside, compare, exit 1 on any difference
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from generator import api, contract, wire

OUTPUTS = (api.PACKAGE, wire.PACKAGE, contract.FOLDER)


def main() -> int:
    """Generate into a scratch directory, then compare with or replace the committed files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file would change")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pycontainerd-proto-") as name:
        scratch = Path(name)
        try:
            generate(scratch)
        except (api.ProtocError, wire.GenerateError) as error:
            print(error, file=sys.stderr)
            return 1
        return check(scratch) if arguments.check else install(scratch)


def generate(out: Path) -> None:
    """Write all outputs below `out`; raise `ProtocError` or `GenerateError` when the sources do not serve."""
    api.compile_python(out)
    with tempfile.TemporaryDirectory(prefix="pycontainerd-proto-") as work:
        files = api.descriptor_set(Path(work))
    wire.write_messages(files, out)
    contract.write_contract(files, out)


def check(scratch: Path) -> int:
    """Print each file that differs, is missing or is left over; return 1 if there is any."""
    stale = 0
    for output in OUTPUTS:
        wanted, present = _files(scratch / output), _files(api.ROOT / output)
        for name in sorted(wanted.keys() | present.keys()):
            if wanted.get(name) != present.get(name):
                print(f"{output}/{name} is not what proto/ says; run `python proto/generate.py`", file=sys.stderr)
                stale = 1
    return stale


def install(scratch: Path) -> int:
    """Replace the committed outputs, leaving files alone that did not change, and remove left-overs."""
    for output in OUTPUTS:
        wanted, present = _files(scratch / output), _files(api.ROOT / output)
        for name in sorted(present.keys() - wanted.keys()):
            (api.ROOT / output / name).unlink()
        for name, content in wanted.items():
            if present.get(name) != content:
                target = api.ROOT / output / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(scratch / output / name, target)
    return 0


def _files(top: Path) -> dict[str, bytes]:
    return {
        path.relative_to(top).as_posix(): path.read_bytes()
        for path in sorted(top.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


if __name__ == "__main__":
    raise SystemExit(main())
