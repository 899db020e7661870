"""containerd.services.transfer.v1: one RPC that moves images; what to do follows from the pair of types.

The engine is synchronous and gets file objects; the client's streams (opened before this call) are bridged here. When
the caller goes away the engine learns it from its next progress report, which raises Cancelled.
"""

from __future__ import annotations

import io
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

from pycontainerd.api.transfer.v1 import transfer_pb2 as pb
from pycontainerd.api.types.transfer import imagestore_pb2, importexport_pb2, progress_pb2, registry_pb2
from pycontainerd.core.errors import Cancelled, Unimplemented, Unknown
from pycontainerd.core.transfer import (
    AuthType,
    Credentials,
    ExportOptions,
    ImageReference,
    ImageTarget,
    RegistryOptions,
    Unpack,
)
from pycontainerd.rpc.offload import offload_stoppable
from pycontainerd.rpc.service import Service
from pycontainerd.services.bytestreams import StreamReader, StreamWriter
from pycontainerd.services.convert import from_platform, optional_time, to_descriptor, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.any_pb2 import Any
    from google.protobuf.message import Message

    from pycontainerd.core.transfer import AuthChallenge, Authenticate, Progress, Transfers
    from pycontainerd.rpc.call import Call
    from pycontainerd.services.streaming import ClientStream, StreamRegistry

AUTH_TIMEOUT = 60.0
"""Seconds a client has to answer a request for credentials."""
BUFFER = 1 << 20
"""Bytes read from or written to a client's stream at a time."""

_TYPES: dict[str, type[Message]] = {
    message.DESCRIPTOR.full_name: message
    for message in (
        registry_pb2.OCIRegistry,
        imagestore_pb2.ImageStore,
        importexport_pb2.ImageImportStream,
        importexport_pb2.ImageExportStream,
    )
}


class TransferService(Service):
    """The Transfer service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Transfer"]

    def __init__(self, transfers: Transfers, streams: StreamRegistry) -> None:
        self._transfers, self._streams = transfers, streams

    async def Transfer(self, request: pb.TransferRequest, call: Call) -> Empty:
        """Move images from source to destination; returns when it is done."""
        namespace = call.namespace
        with ExitStack() as cleanup:
            job = _Job(self._transfers, self._streams, namespace, call.lease, cleanup)
            job.watch(request.options.progress_stream)
            source, destination = _unpack(request.source, "source"), _unpack(request.destination, "destination")
            await offload_stoppable(job.stop, job.run, source, destination)
        return Empty()


def _unpack(value: Any, role: str) -> Message:
    kind = _TYPES.get(type_name(value))
    if kind is None:
        raise Unknown(f"{role} of type", value.type_url, "not a type that can be transferred")
    try:
        return kind.FromString(value.value)
    except DecodeError as error:
        raise Unknown(f"{role} of type", value.type_url, f"cannot be decoded: {error}") from error


class _Job:
    """One transfer, run in a thread."""

    def __init__(
        self, transfers: Transfers, streams: StreamRegistry, namespace: str, lease: str, cleanup: ExitStack
    ) -> None:
        self._transfers, self._streams = transfers, streams
        self._namespace, self._lease = namespace, lease
        self._cleanup = cleanup
        self._progress: ClientStream | None = None
        self._stopped = threading.Event()
        self._open: list[ClientStream] = []

    def watch(self, stream: str) -> None:
        """Send progress to the client's stream. Raises NotFound when it is not there."""
        if stream:
            self._progress = self._stream(stream)

    def stop(self) -> None:
        """Let the engine give up at its next report, read or write."""
        self._stopped.set()
        for stream in self._open:
            stream.abort()

    def run(self, source: Message, destination: Message) -> None:
        """Choose by the pair of types. Raises Unimplemented for one that makes no sense."""
        pair = (type(source).__name__, type(destination).__name__)
        acts: dict[tuple[str, str], Callable[..., object]] = {
            ("OCIRegistry", "ImageStore"): self._pull,
            ("ImageStore", "OCIRegistry"): self._push,
            ("ImageImportStream", "ImageStore"): self._import,
            ("ImageStore", "ImageExportStream"): self._export,
            ("ImageStore", "ImageStore"): self._tag,
            ("ImageImportStream", "ImageExportStream"): self._echo,
        }
        if pair not in acts:
            raise Unimplemented(f"transfer from {pair[0]} to {pair[1]}")
        acts[pair](source, destination)

    # -- one act a pair --

    def _pull(self, source: registry_pb2.OCIRegistry, destination: imagestore_pb2.ImageStore) -> None:
        self._transfers.pull(
            self._namespace,
            source.reference,
            _target(destination),
            registry=self._registry(source),
            progress=self._report,
            lease=self._lease,
        )

    def _push(self, source: imagestore_pb2.ImageStore, destination: registry_pb2.OCIRegistry) -> None:
        self._transfers.push(
            self._namespace,
            _target(source),
            destination.reference,
            registry=self._registry(destination),
            progress=self._report,
        )

    def _import(self, source: importexport_pb2.ImageImportStream, destination: imagestore_pb2.ImageStore) -> None:
        self._transfers.import_archive(
            self._namespace,
            io.BufferedReader(StreamReader(self._stream(source.stream)), BUFFER),
            _target(destination),
            compress=source.force_compress,
            progress=self._report,
            lease=self._lease,
        )

    def _export(self, source: imagestore_pb2.ImageStore, destination: importexport_pb2.ImageExportStream) -> None:
        options = ExportOptions(
            tuple(map(from_platform, destination.platforms)),
            destination.all_platforms,
            destination.skip_compatibility_manifest,
            destination.skip_non_distributable,
        )
        stream = self._stream(destination.stream)
        writer = io.BufferedWriter(StreamWriter(stream), BUFFER)
        self._transfers.export_archive(self._namespace, _target(source), writer, options=options, progress=self._report)
        writer.flush()

    def _tag(self, source: imagestore_pb2.ImageStore, destination: imagestore_pb2.ImageStore) -> None:
        self._transfers.tag(self._namespace, _target(source), _target(destination))

    def _echo(
        self, source: importexport_pb2.ImageImportStream, destination: importexport_pb2.ImageExportStream
    ) -> None:
        reader = StreamReader(self._stream(source.stream))
        writer = StreamWriter(self._stream(destination.stream))
        while data := reader.read(BUFFER):
            writer.write(data)

    # -- the client's streams --

    def _stream(self, id: str) -> ClientStream:
        stream = self._streams.get(self._namespace, id)
        self._cleanup.callback(stream.close)
        self._open.append(stream)
        return stream

    def _report(self, progress: Progress) -> None:
        if self._stopped.is_set():
            raise Cancelled("the client went away in mid-transfer")
        if self._progress is None:
            return
        message = progress_pb2.Progress(
            event=progress.event,
            name=progress.name,
            parents=progress.parents,
            progress=progress.progress,
            total=progress.total,
        )
        if progress.descriptor is not None:
            message.desc.CopyFrom(to_descriptor(progress.descriptor))
        self._progress.post(message)

    def _registry(self, message: registry_pb2.OCIRegistry) -> RegistryOptions:
        resolver = message.resolver
        authenticate = _asker(self._stream(resolver.auth_stream)) if resolver.auth_stream else None
        return RegistryOptions(resolver.host_dir, resolver.default_scheme, dict(resolver.headers), authenticate)


def _asker(stream: ClientStream) -> Authenticate:
    """Asks the client for credentials over its stream, one question at a time."""
    lock = threading.Lock()

    def authenticate(challenge: AuthChallenge) -> Credentials | None:
        with lock:
            stream.send(
                registry_pb2.AuthRequest(
                    host=challenge.host, reference=challenge.reference, wwwauthenticate=challenge.challenges
                )
            )
            message = stream.receive(AUTH_TIMEOUT)
        if message is None:
            return None
        answer = registry_pb2.AuthResponse.FromString(message.value)
        expires = optional_time(answer, "expire_at")
        return Credentials(AuthType(answer.authType), answer.username, answer.secret, expires)

    return authenticate


def _target(message: imagestore_pb2.ImageStore) -> ImageTarget:
    return ImageTarget(
        name=message.name,
        labels=dict(message.labels),
        platforms=tuple(map(from_platform, message.platforms)),
        all_metadata=message.all_metadata,
        manifest_limit=message.manifest_limit,
        extra_references=tuple(
            ImageReference(item.name, item.is_prefix, item.allow_overwrite, item.add_digest, item.skip_named_digest)
            for item in message.extra_references
        ),
        unpacks=tuple(Unpack(from_platform(item.platform), item.snapshotter) for item in message.unpacks),
    )
