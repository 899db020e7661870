"""What list requests can select networks by. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core.filters import ABSENT, map_field, text_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.core.filters import Adaptor
    from pycontainerd.core.network import Network


def adaptor(network: Network, *, dangling: bool) -> Adaptor:
    """The fields filters see: id, name, driver, internal, dangling (no container is on it), labels."""
    plain = {
        "id": network.id,
        "name": network.name,
        "driver": network.driver,
        "internal": str(network.internal).lower(),
        "dangling": str(dangling).lower(),
    }

    def field_of(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] == "labels":
            return map_field(network.labels, path[1:])
        return text_field(plain[path[0]]) if len(path) == 1 and path[0] in plain else ABSENT

    return field_of
