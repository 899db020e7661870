"""Transfers seen from outside: pull, load, save and tag, done by the daemon, watched from here."""

from __future__ import annotations

import threading

from pycontainerd.client import images
from pycontainerd.client.streaming import Stream, receive_all, send_all
from pycontainerd.core.errors import PycontainerdError
from pycontainerd.wire.messages import transfer as messages
from pycontainerd.wire.messages import types_transfer as types
from pycontainerd.wire.messages.google import Any as AnyMessage
from pycontainerd.wire.messages.google import Empty
from pycontainerd.wire.messages.types import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycontainerd.client.daemon import Daemon
    from pycontainerd.client.streaming import Readable, Writable
    from pycontainerd.wire.codec import Message

    Report = Callable[[types.Progress], None]

SERVICE = "containerd.services.transfer.v1.Transfer"


def platform_of(text: str) -> Platform:
    """``linux/arm64`` as the wire has it, this host's for an empty text."""
    system, architecture, variant = images.parse_platform(text)
    return Platform(os=system, architecture=architecture, variant=variant)


def store(name: str = "", platform: str = "", *, unpack: bool = True) -> types.ImageStore:
    """Where images come to lie: under ``name``, for one platform, unpacked."""
    wanted = platform_of(platform)
    unpacks = [types.UnpackConfiguration(platform=wanted, snapshotter=images.SNAPSHOTTER)] if unpack else []
    return types.ImageStore(name=name, platforms=[wanted], unpacks=unpacks)


def pull(
    daemon: Daemon, reference: str, report: Report, *, platform: str = "", scheme: str = "", host_dir: str = ""
) -> None:
    """Have the daemon pull a full reference and unpack it."""
    resolver = types.RegistryResolver(default_scheme=scheme, host_dir=host_dir)
    source = types.OCIRegistry(reference=reference, resolver=resolver)
    _transfer(daemon, source, store(reference, platform), report)


def load(daemon: Daemon, archive: Readable, report: Report, *, platform: str = "") -> None:
    """Import an archive (OCI layout or docker-archive) from a file of ours."""
    destination = store("", platform)
    with Stream(daemon, "import") as stream:
        sender = threading.Thread(target=_quietly, args=(lambda: send_all(stream, archive),), daemon=True)
        sender.start()
        _transfer(daemon, types.ImageImportStream(stream=stream.id), destination, report)
        stream.close()
        sender.join(5)


def save(daemon: Daemon, names: Sequence[str], archive: Writable, report: Report, *, platform: str = "") -> None:
    """Export images into a file of ours, as an archive that is both OCI layout and docker-archive."""
    references = [types.ImageReference(name=name) for name in names[1:]]
    source = types.ImageStore(name=names[0], extra_references=references)
    failures: list[BaseException] = []
    with Stream(daemon, "export") as stream:
        destination = types.ImageExportStream(
            stream=stream.id, platforms=[platform_of(platform)] if platform else [], all_platforms=not platform
        )
        receiver = threading.Thread(target=_receive, args=(stream, archive, failures), daemon=True)
        receiver.start()
        try:
            _transfer(daemon, source, destination, report)
        except PycontainerdError:
            stream.close()
            receiver.join(5)
            if failures:  # our own disk was full, which is why the daemon could not go on
                raise failures[0] from None
            raise
        receiver.join()
    if failures:
        raise failures[0]


def _receive(stream: Stream, archive: Writable, failures: list[BaseException]) -> None:
    try:
        receive_all(stream, archive)
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
        failures.append(error)
        stream.close()


def _quietly(act: Callable[[], object]) -> None:
    try:
        act()
    except (PycontainerdError, OSError, ValueError):
        pass  # the transfer tells why it did not go on


def _transfer(daemon: Daemon, source: Message, destination: Message, report: Report) -> None:
    """The call itself, with its progress told meanwhile in another thread."""
    with Stream(daemon, "progress") as progress:
        watcher = threading.Thread(target=_quietly, args=(lambda: _watch(progress, report),), daemon=True)
        watcher.start()
        request = messages.TransferRequest(
            source=_packed(source),
            destination=_packed(destination),
            options=messages.TransferOptions(progress_stream=progress.id),
        )
        daemon.call(SERVICE, "Transfer", request, Empty)
        watcher.join(2)


def _watch(progress: Stream, report: Report) -> None:
    for message in progress:
        report(types.Progress.decode(message.value))


def _packed(message: Message) -> AnyMessage:
    return AnyMessage(type_url=message.TYPE, value=message.encode())
