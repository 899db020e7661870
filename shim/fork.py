"""From the template to a shim: what the new process must not inherit, and what makes it somebody's."""

from __future__ import annotations

import os

from pycontainerd.linux import cgroup, fds, prctl, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.request import ShimRequest


def undress(keep: tuple[int, ...]) -> None:
    """Drop what belongs to the template: descriptors but `keep`, signals. Raises OSError.

    What does the template no harm, its main has done for all that it forks.
    """
    fds.null_stdio()
    fds.close_all_but((0, 1, 2, *keep))
    signals.default(signals.SIGINT)
    prctl.set_subreaper()


def become(request: ShimRequest) -> None:
    """Take what is the shim's own: log, name, OOM score, group. Raises OSError."""
    log = _open_log(request.bundle)
    if log >= 0:
        os.dup2(log, 2)
        os.close(log)
    prctl.set_name("pycontainerd-shim")
    if request.oom_score_adj is not None:
        prctl.set_oom_score(request.oom_score_adj)
    if request.cgroup:
        cgroup.join(request.cgroup)


def _open_log(bundle: str) -> int:
    """The daemon's log FIFO, for writing; opened both ways, so that a daemon that is away neither blocks nor kills."""
    try:
        return os.open(f"{bundle}/log", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return -1
