"""containerd.services.version.v1: who answers.

The version is ``<containerd API level>+pycontainerd.<our own>``: a semantic version, so clients that compare it with
the release that brought a feature decide rightly, and the build part says who it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.api.version.v1 import version_pb2 as pb
from pycontainerd.rpc.service import Service

if TYPE_CHECKING:
    from google.protobuf.empty_pb2 import Empty

    from pycontainerd.rpc.call import Call

API_LEVEL = "2.3.4"
"""The containerd release whose API and behaviour we follow."""


class VersionService(Service):
    """The Version service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Version"]

    def __init__(self, version: str, revision: str = "") -> None:
        self._answer = pb.VersionResponse(version=f"{API_LEVEL}+pycontainerd.{version}", revision=revision)

    async def Version(self, request: Empty, call: Call) -> pb.VersionResponse:
        """Version and revision."""
        return self._answer
