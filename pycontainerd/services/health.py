"""grpc.health.v1: the overall state and that of each service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pycontainerd.api.grpc.health.v1 import health_pb2 as pb
from pycontainerd.core.errors import NotFound
from pycontainerd.rpc.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pycontainerd.rpc.call import Call

_Status = pb.HealthCheckResponse


class HealthService(Service):
    """The Health service; what is served is told by ``set``, the empty name is the whole server."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Health"]

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {"": True}
        self._changed = asyncio.Condition()

    async def set(self, service: str, serving: bool) -> None:
        """Say whether ``service`` answers; watchers learn of it."""
        async with self._changed:
            self._serving[service] = serving
            self._changed.notify_all()

    async def Check(self, request: pb.HealthCheckRequest, call: Call) -> pb.HealthCheckResponse:
        """The state of one service."""
        if request.service not in self._serving:
            raise NotFound("service", request.service)
        return pb.HealthCheckResponse(status=self._status(request.service))

    async def List(self, request: pb.HealthListRequest, call: Call) -> pb.HealthListResponse:
        """The state of all."""
        states = {name: pb.HealthCheckResponse(status=self._status(name)) for name in self._serving}
        return pb.HealthListResponse(statuses=states)

    async def Watch(self, request: pb.HealthCheckRequest, call: Call) -> AsyncIterator[pb.HealthCheckResponse]:
        """The state of one service, and each change of it."""
        last = None
        while True:
            status = self._status(request.service)
            if status != last:
                yield pb.HealthCheckResponse(status=status)
            last = status
            async with self._changed:
                while self._status(request.service) == last:
                    await self._changed.wait()

    def _status(self, service: str) -> pb.HealthCheckResponse.ServingStatus:
        if service not in self._serving:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if self._serving[service] else _Status.NOT_SERVING
