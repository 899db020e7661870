"""One side of a comparison: calls by short names, and a record of what came back, without what differs by nature."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from pycontainerd.api.events.v1 import events_pb2 as events
from tests.support.stubs import Stub, connect

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMESPACE = "differential"
SERVICES = {
    noun: f"containerd.services.{noun}.v1.{noun.capitalize()}"
    for noun in (
        "containers content diff events images introspection leases namespaces snapshots tasks version"
    ).split()
}
_VOLATILE = {"pid", "uuid"}


class Session:
    """Calls to the daemon at ``address``; ``record`` has (label, code, answer) of each, in order."""

    def __init__(self, address: str, base: str) -> None:
        self.base = base
        self.record: list[tuple[str, str, Any]] = []
        self._channel = connect(address)
        self._stubs = {noun: Stub(self._channel, name, namespace=NAMESPACE) for noun, name in SERVICES.items()}
        self.events: list[tuple[str, Any]] = []
        self.details: dict[str, str] = {}
        self._listen()

    def call(
        self, label: str, method: str, request: Message | Iterable[Message], *, stream: bool = False, keep: bool = True
    ) -> Any:
        """Call ``noun.Method`` and record the outcome under ``label``; returns the answer, None on failure."""
        noun, _, name = method.partition(".")
        answer: Any = None
        try:
            said = getattr(self._stubs[noun], name)(request, timeout=20)
            if stream:
                answer = []
                answer.extend(said)
            else:
                answer = said
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
            self.details[label] = error.details() or ""
        told = None
        if keep and answer is not None:
            told = [self.told(item) for item in answer] if stream else self.told(answer)
        self.record.append((label, code, told))
        return answer

    def told(self, value: Any) -> Any:
        """A message as plain data with stand-ins for times, process ids and our directories."""
        if isinstance(value, Message):
            if value.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
                return "<time>"
            return {field.name: self._field(field, item) for field, item in value.ListFields()}
        if isinstance(value, bytes):
            return value.decode(errors="backslashreplace")
        return value.replace(self.base, "<base>") if isinstance(value, str) else value

    def _field(self, field: Any, value: Any) -> Any:
        if field.name in _VOLATILE:
            return "*"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return {key: self.told(item) for key, item in value.items()}
        return [self.told(item) for item in value] if field.is_repeated else self.told(value)

    # -- events --

    def _listen(self) -> None:
        ready = threading.Event()
        stream = self._stubs["events"].Subscribe(
            events.SubscribeRequest(filters=[f"namespace=={NAMESPACE}"]), timeout=300
        )

        def read() -> None:
            try:
                for envelope in stream:
                    if envelope.topic == "/differential/ready":
                        ready.set()
                    else:
                        self.events.append((envelope.topic, self._event(envelope)))
            except grpc.RpcError:
                pass

        threading.Thread(target=read, daemon=True).start()
        while not ready.wait(0.05):
            event = AnyMessage(type_url="containerd.events.NamespaceDelete", value=b"")
            self._stubs["events"].Publish(events.PublishRequest(topic="/differential/ready", event=event), timeout=5)

    def _event(self, envelope: Any) -> Any:
        try:
            found = descriptor_pool.Default().FindMessageTypeByName(envelope.event.type_url)
            return envelope.event.type_url, self.told(
                message_factory.GetMessageClass(found).FromString(envelope.event.value)
            )
        except (KeyError, DecodeError):
            return envelope.event.type_url, envelope.event.value.hex()

    def settle(self, topic: str, count: int = 1, limit: float = 10.0) -> None:
        """Wait until ``count`` events of the topic have come."""
        deadline = time.monotonic() + limit
        while sum(1 for name, _ in self.events if name == topic) < count:
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()
