"""Directory trees as values, to compare what different tools made of one archive."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def tree(root: Path | str, *, times: bool = True) -> dict[str, tuple[object, ...]]:
    """Everything below ``root``: path → (type, mode, owner, group, [time], content or target or device, xattrs).

    Hard links show by the first path of their group. Times of directories are left out with ``times`` false too.
    """
    found: dict[str, tuple[object, ...]] = {}
    first: dict[tuple[int, int], str] = {}
    base = os.fspath(root)
    for directory, names, files in os.walk(base):
        for name in sorted(names + files):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            shown = os.path.relpath(path, base)
            looks: list[object] = [stat.S_IFMT(status.st_mode), oct(stat.S_IMODE(status.st_mode))]
            looks += [status.st_uid, status.st_gid]
            if times:
                looks.append(status.st_mtime_ns // 10**9)
            if stat.S_ISREG(status.st_mode):
                looks.append(Path(path).read_bytes())
            elif stat.S_ISLNK(status.st_mode):
                looks.append(os.readlink(path))
            elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                looks.append(status.st_rdev)
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                looks.append(first.setdefault((status.st_dev, status.st_ino), shown))
            attributes = os.listxattr(path, follow_symlinks=False)
            looks.append({key: os.getxattr(path, key, follow_symlinks=False) for key in attributes})
            found[shown] = tuple(looks)
    return found
