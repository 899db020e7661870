"""The context of one call, the same over gRPC and ttrpc; handlers never see a transport's own.

Header names follow containerd: ``containerd-namespace`` over gRPC, ``containerd-namespace-ttrpc`` over ttrpc, with the
gRPC one looked at first on both; ``containerd-lease``; ``traceparent`` (W3C trace context).
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from pycontainerd.core.errors import FailedPrecondition, PycontainerdError, Unknown
from pycontainerd.core.identifiers import validate_identifier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

NAMESPACE_HEADERS = ("containerd-namespace", "containerd-namespace-ttrpc")
LEASE_HEADER = "containerd-lease"
TRACE_HEADER = "traceparent"

current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)
"""The call being served, so that log lines can name it without being handed it."""


def first_values(pairs: Iterable[tuple[str, str | bytes]]) -> dict[str, str]:
    """Metadata as a mapping: of a repeated key the first value wins, binary values are left out."""
    metadata: dict[str, str] = {}
    for key, value in pairs:
        if isinstance(value, str):
            metadata.setdefault(key.lower(), value)
    return metadata


class Call:
    """One request in flight. ``metadata`` has lower-case keys; ``timeout`` is in seconds, None for no deadline."""

    __slots__ = ("_accept", "metadata", "method", "timeout", "transport")

    def __init__(
        self,
        method: str,
        metadata: Mapping[str, str],
        *,
        transport: str = "grpc",
        timeout: float | None = None,
        accept: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.method = method
        self.metadata = metadata
        self.transport = transport
        self.timeout = timeout
        self._accept = accept

    @property
    def namespace(self) -> str:
        """The caller's namespace. Raises FailedPrecondition when absent, InvalidArgument when malformed."""
        name = self.optional_namespace
        if not name:
            raise FailedPrecondition("namespace is required (send the containerd-namespace header)")
        return validate_identifier(name, "namespace")

    @property
    def optional_namespace(self) -> str:
        """The namespace header as sent, empty when there is none; for services that need none."""
        for header in NAMESPACE_HEADERS:
            if value := self.metadata.get(header):
                return value
        return ""

    @property
    def unmapped_namespace(self) -> str:
        """The namespace for the methods whose contract leaves its errors unmapped. Raises Unknown."""
        try:
            return self.namespace
        except PycontainerdError as error:
            raise Unknown(str(error)) from error

    @property
    def lease(self) -> str:
        """The lease that what is made in this call belongs to; empty for none."""
        return self.metadata.get(LEASE_HEADER, "")

    @property
    def traceparent(self) -> str:
        """The W3C trace context as sent; empty when there is none."""
        return self.metadata.get(TRACE_HEADER, "")

    async def accept(self) -> None:
        """Tell the client that its stream is set up, before there is a first message (where the transport can)."""
        if self._accept is not None:
            await self._accept()
