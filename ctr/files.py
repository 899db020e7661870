"""Writing files that appear only when they are complete, or standard output."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


@contextmanager
def written(path: str) -> Iterator[BinaryIO]:
    """A file to write; standard output for an empty path. A failure leaves what was at ``path`` before."""
    if not path:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as out:
            yield out
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
