"""What a template is asked for (the protocol is in the template's header)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OPTIONAL = ("runtime", "runtime_root", "program", "program_identity")


class ShimRequest:
    """One request, checked; the fields are those of the datagram."""

    __slots__ = (
        "bundle",
        "cgroup",
        "events",
        "grpc_address",
        "id",
        "log_level",
        "namespace",
        "oom_score_adj",
        "program",
        "program_identity",
        "runtime",
        "runtime_root",
        "socket",
    )

    def __init__(self, fields: dict[str, Any]) -> None:
        """Raises ValueError naming the field that is missing or wrong."""
        for name in ("namespace", "id", "bundle", "socket"):
            if not isinstance(fields.get(name), str) or not fields[name]:
                raise ValueError(f"template request: {name} must be a string that is not empty")
        for name in ("events", "grpc_address", "log_level", "cgroup", *_OPTIONAL):
            if not isinstance(fields.get(name) or "", str):
                raise ValueError(f"template request: {name} must be a string")
        score = fields.get("oom_score_adj")
        if score is not None and (not isinstance(score, int) or not -1000 <= score <= 1000):
            raise ValueError("template request: oom_score_adj must be a number from -1000 to 1000, or null")
        self.namespace: str = fields["namespace"]
        self.id: str = fields["id"]
        self.bundle: str = fields["bundle"]
        self.socket: str = fields["socket"].removeprefix("unix://")
        self.events: str = fields.get("events") or ""
        self.grpc_address: str = fields.get("grpc_address") or ""
        self.log_level: str = fields.get("log_level") or "info"
        self.oom_score_adj: int | None = score
        self.cgroup: str = fields.get("cgroup") or ""
        self.runtime: str = fields.get("runtime") or ""
        self.runtime_root: str = fields.get("runtime_root") or ""
        self.program: str = fields.get("program") or ""
        self.program_identity: str = fields.get("program_identity") or ""
