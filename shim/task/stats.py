"""Stats: what a container's groups count, as containerd's metrics messages; clients tell the versions by the type."""

from __future__ import annotations

from pycontainerd.wire.messages.google import Any
from pycontainerd.wire.messages.task_v3 import StatsResponse
from shim.errors import from_oserror, not_found
from shim.task import stats_v1, stats_v2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.codec import Message
    from pycontainerd.wire.messages.task_v3 import StatsRequest
    from shim.context import Shim


def stats(shim: Shim, request: StatsRequest) -> StatsResponse:
    """The container's metrics. Raises RpcError NOT_FOUND when it, or its group, is not there."""
    group = shim.container(request.id).cgroup
    if group is None or not group.home:
        raise not_found(f"cgroup of container {request.id}")
    try:
        metrics: Message = stats_v2.collect(group.unified) if group.v2 else stats_v1.collect(group.dirs)
    except FileNotFoundError:
        raise not_found(f"cgroup of container {request.id}") from None
    except OSError as error:
        raise from_oserror("stats", error) from None
    return StatsResponse(stats=Any(type_url=metrics.TYPE, value=metrics.encode()))
