"""Restart policies as decisions: does a container that ended come back, after which pause, and after a boot.

The rules are Docker's: ``no``, ``on-failure[:N]``, ``always``, ``unless-stopped``; the pause is 100 ms, doubled each
time up to a minute, and starts over once the container has run for ten seconds. Containers of other clients carry the
policy in containerd's labels ``containerd.io/restart.*`` and get the same treatment. Nothing here knows a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

NO, ALWAYS, UNLESS_STOPPED, ON_FAILURE = "no", "always", "unless-stopped", "on-failure"
POLICIES = (NO, ALWAYS, UNLESS_STOPPED, ON_FAILURE)

FIRST_PAUSE = 0.1
"""Seconds before the first restart in a row."""
LONGEST_PAUSE = 60.0
STEADY = 10.0
"""Seconds of running after which earlier failures no longer lengthen the pause."""

PREFIX = "containerd.io/restart."
STATUS_LABEL = PREFIX + "status"
POLICY_LABEL = PREFIX + "policy"
LOG_URI_LABEL = PREFIX + "loguri"
COUNT_LABEL = PREFIX + "count"
EXPLICITLY_STOPPED_LABEL = PREFIX + "explicitly-stopped"


@dataclass(frozen=True, slots=True)
class Policy:
    """A restart policy; ``maximum`` bounds the restarts of ``on-failure``, 0 for no bound."""

    name: str = NO
    maximum: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.maximum}" if self.maximum else self.name


def parse(text: str) -> Policy:
    """``no``, ``always``, ``unless-stopped`` or ``on-failure[:N]``. Raises InvalidArgument."""
    name, colon, count = text.partition(":")
    if name not in POLICIES:
        raise InvalidArgument("restart policy", text, "there are no, always, unless-stopped and on-failure[:N]")
    if colon and (name != ON_FAILURE or not (count.isascii() and count.isdigit())):
        raise InvalidArgument("restart policy", text, "only on-failure takes a number, such as on-failure:3")
    return Policy(name, int(count or 0))


def from_labels(labels: Mapping[str, str]) -> Policy:
    """The policy of containerd's labels: none means always, one that cannot be read means no."""
    try:
        return parse(labels.get(POLICY_LABEL) or ALWAYS)
    except InvalidArgument:
        return Policy()


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a container was restarted since somebody started it, and the last pause in seconds (0: none yet)."""

    count: int = 0
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended. ``stopped``: somebody asked for it; ``unhealthy``: it was ended so that it be restarted."""

    status: int
    ran: float
    stopped: bool = False
    unhealthy: bool = False


def next_pause(last: float, ran: float) -> float:
    """Seconds to wait before another start, after a run of ``ran`` seconds that followed a pause of ``last``."""
    if ran >= STEADY:
        return FIRST_PAUSE
    return min(max(last * 2, FIRST_PAUSE), LONGEST_PAUSE)


def decide(policy: Policy, end: End, before: Attempts) -> Attempts | None:
    """The attempts after this end when the container is to be started again, None when it stays down."""
    if not _wants(policy, end, before.count):
        return None
    return Attempts(before.count + 1, next_pause(before.pause, end.ran))


def _wants(policy: Policy, end: End, count: int) -> bool:
    if end.stopped:
        return False
    if policy.name == ON_FAILURE:
        return (end.status != 0 or end.unhealthy) and (not policy.maximum or count < policy.maximum)
    return end.unhealthy or policy.name in {ALWAYS, UNLESS_STOPPED}


def resumes(policy: Policy, *, started: bool, stopped: bool) -> bool:
    """Whether a container that has ended is started when the daemon starts.

    ``started``: it ever was; ``stopped``: somebody asked for its end. (One that was running when the host went down has
    ended then, with an unknown status; ``decide`` says what becomes of it.)
    """
    # Always means always: that is what tells it from unless-stopped.
    return started and (policy.name == ALWAYS or (policy.name == UNLESS_STOPPED and not stopped))
