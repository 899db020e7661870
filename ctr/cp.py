"""``pyctr cp``: files between containers and the host.

The rules of what becomes what are Docker's: a directory goes into a directory that is there, or becomes the new one;
``DIR/.`` means what is in it; a file takes the name of a file, or goes into a directory.
"""

from __future__ import annotations

import os
import stat
import sys

from ctr.errors import Failure, UsageError
from ctr.flags import BOOL, Command, flag
from pycontainerd.client import archive, containers
from pycontainerd.client.happenings import tell
from pycontainerd.core.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container

COMMAND = Command(
    "cp",
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tpyctr cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files between a container and the host",
    (
        flag("archive", "a", BOOL, "Keep owners (uid and gid); else files belong to root in containers, to you here"),
        flag("follow-link", "L", BOOL, "Follow a symbolic link in SRC_PATH"),
        flag("quiet", "q", BOOL, "Do not tell on a terminal what was copied"),
    ),
    least=2,
    most=2,
    example="pyctr cp web:/etc/hosts .\npyctr cp site/. web:/srv/www",
    notes="Use '-' to write a tar archive to, or read one from, standard output and input.",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    source, target = (_split(text) for text in arguments)
    if source[0] and target[0]:
        raise UsageError("copying between containers is not supported")
    if not source[0] and not target[0]:
        raise UsageError("must specify at least one container source")
    if source[0]:
        _from_container(context, values, source, target[1])
    else:
        _to_container(context, values, source[1], target)
    return 0


def _split(text: str) -> tuple[str, str]:
    """Container and path; no container for a local path. A path with a colon is meant by ``./a:b`` or ``/a:b``."""
    name, colon, path = text.partition(":")
    if not colon or text.startswith(("/", "./", "../")) or text == "-":
        return "", text
    return name, path


def _look(context: Context, container: Container, path: str, *, follow: bool) -> int:
    """The mode of a path in a container, 0 when it is not there."""
    try:
        return archive.stat(context.daemon, container.id, os.fsencode(path), follow=follow).mode
    except NotFound:
        return 0


def _from_container(context: Context, values: Values, source: tuple[str, str], target: str) -> None:
    container = containers.find(context.daemon, source[0])
    path, follow = source[1] or "/", values.on("follow-link")
    mode = _look(context, container, path, follow=follow)
    if not mode:
        raise Failure(f"Could not find the file {path} in container {source[0]}", "is the path right, and complete?")
    from pycontainerd.client import copying

    pieces = archive.get(context.daemon, container.id, os.fsencode(path), follow=follow)
    base = os.path.basename(path.rstrip("/"))
    tell(context.daemon, "container", "archive-path", container.id)
    if target == "-":
        if sys.stdout.isatty():
            raise Failure("cannot write an archive to a terminal", "redirect it: > FILE.tar")
        copying.renamed(pieces, base if base not in ("", ".", "..") else ".", sys.stdout.buffer)
        return
    directory, name, fresh = _place(target, path, is_directory=stat.S_ISDIR(mode))
    if fresh:
        os.mkdir(directory)
    copying.extract(pieces, directory, name=name, keep_owners=values.on("archive"), dress_top=fresh)
    _say(values, f"Successfully copied to {os.path.abspath(target)}")


def _place(target: str, path: str, *, is_directory: bool) -> tuple[str, str, bool]:
    """Where on the host: the directory, a file's name, and whether the directory has to be made."""
    base = os.path.basename(path.rstrip("/"))
    contents = path.endswith("/.") or base in ("", ".", "..")
    if is_directory:
        if os.path.isdir(target):
            inner = target if contents else os.path.join(target, base)
            if not contents and os.path.lexists(inner) and not os.path.isdir(inner):
                raise Failure(f"cannot overwrite non-directory {inner} with a directory")
            return inner, "", not os.path.isdir(inner)
        if os.path.lexists(target):
            raise Failure(f"cannot copy directory: {target} is a file", "name a directory, or a new one")
        _need_parent(target)
        return target, "", True
    if os.path.isdir(target):
        return target, base, False
    if target.endswith("/"):
        raise Failure(f"no such directory: {target}", "make it first")
    _need_parent(target)
    return os.path.dirname(target) or ".", os.path.basename(target), False


def _need_parent(target: str) -> None:
    parent = os.path.dirname(target.rstrip("/")) or "."
    if not os.path.isdir(parent):
        raise Failure(f'invalid output path: directory "{parent}" does not exist', "make it first")


def _to_container(context: Context, values: Values, source: str, target: tuple[str, str]) -> None:
    container = containers.find(context.daemon, target[0])
    path = target[1] or "/"
    mode = _look(context, container, path, follow=True)
    if source == "-":
        if not stat.S_ISDIR(mode):
            raise Failure(f'destination "{target[0]}:{path}" must be a directory', "an archive is unpacked into one")
        with archive.Putting(context.daemon, container.id, os.fsencode(path)) as out:
            while data := sys.stdin.buffer.read(archive.CHUNK):
                out.write(data)
        tell(context.daemon, "container", "extract-to-dir", container.id)
        return
    if not os.path.lexists(source):
        raise Failure(f"lstat {os.path.abspath(source)}: no such file or directory")
    follow = values.on("follow-link") or source.endswith("/")
    is_directory = os.path.isdir(source) if follow else stat.S_ISDIR(os.lstat(source).st_mode)
    directory, name = _into(context, container, (source, path), mode, is_directory=is_directory)
    from pycontainerd.client import copying

    with archive.Putting(context.daemon, container.id, os.fsencode(directory)) as out:
        copying.pack(out, source, name, keep_owners=values.on("archive"), follow=follow)
    tell(context.daemon, "container", "extract-to-dir", container.id)
    _say(values, f"Successfully copied {out.written} bytes to {target[0]}:{path}")


def _into(
    context: Context, container: Container, paths: tuple[str, str], mode: int, *, is_directory: bool
) -> tuple[str, str]:
    """The directory in the container to unpack in, and the name of what comes (empty: only what is in it)."""
    source, path = paths
    base = os.path.basename(os.path.abspath(source))
    contents = source.endswith("/.") or source in (".", "..") or source.endswith("/..")
    if stat.S_ISDIR(mode):
        return path, "" if is_directory and contents else base
    if mode and is_directory:
        raise Failure(f"cannot copy directory: {path} is a file in the container", "name a directory, or a new one")
    if not mode and not is_directory and path.endswith("/"):
        raise Failure(f"no such directory: {container.name}:{path}", "make it first")
    plain = path.rstrip("/")
    parent = os.path.dirname(plain) or "/"
    if not stat.S_ISDIR(_look(context, container, parent, follow=True)):
        raise Failure(f"Could not find the file {parent} in container {container.name}", "make the directory first")
    return parent, os.path.basename(plain)


def _say(values: Values, text: str) -> None:
    if sys.stderr.isatty() and not values.on("quiet"):
        print(text, file=sys.stderr)
