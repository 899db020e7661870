"""The supervisor's start: what was kept is compared with what runs, and what the last daemon left is taken up.

``recover`` runs before requests are served and starts nothing; ``resume`` starts what is to run, once subscribers were
told of the exits that they missed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycontainerd.core.restart import Attempts, resumes
from pycontainerd.core.supervision import EXITED, NOBODY_KNOWS, RESTARTING, RUNNING, RunState, plan_of
from pycontainerd.core.tasks import Exit, Process, Status
from pycontainerd.runtime.convert import now
from pycontainerd.runtime.supervisor import LIVE
from pycontainerd.runtime.supervisor_book import Watched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycontainerd.core.containers import Container
    from pycontainerd.runtime.supervisor import Supervisor

WENT_DOWN = "the host or the shim went down"


def load(
    supervisor: Supervisor,
    containers: Mapping[str, Sequence[Container]],
    rows: Mapping[tuple[str, str], RunState],
) -> None:
    """Know the containers, by namespace, with what was kept of them."""
    for namespace, found in containers.items():
        for container in found:
            plan = plan_of(container)
            if plan is not None:
                state = rows.get((namespace, container.id), RunState())
                supervisor.book.add(Watched(namespace, container.id, plan, state))


async def recover(supervisor: Supervisor, missed: Mapping[tuple[str, str], Exit]) -> None:
    """Compare with what runs; ``missed`` are the ends of those whose shim is gone."""
    live: dict[tuple[str, str], Process] = {}
    for namespace in {watched.namespace for watched in supervisor.book}:
        found = await supervisor.tasks.list(namespace)
        live.update({(namespace, process.container_id): process for process in found})
    for watched in supervisor.book:
        process = live.get(watched.key)
        if process is not None and process.status in LIVE:
            supervisor.adopt(watched, process)
        elif process is not None and process.status == Status.STOPPED:
            _recall(supervisor, watched, Exit(process.pid, process.exit_status, process.exited_at))
        elif watched.key in missed:
            _recall(supervisor, watched, missed[watched.key])
        elif watched.state.status == RUNNING:
            watched.lost = True


def _recall(supervisor: Supervisor, watched: Watched, exit: Exit) -> None:
    """An end that may have been noted before."""
    state = watched.state
    noted = state.finished_at is not None and (exit.at is None or exit.at <= state.finished_at)
    if state.status == RUNNING or not noted:
        supervisor.end(watched, exit)


def resume(supervisor: Supervisor) -> None:
    """Take up restarts that wait, ends that nobody saw, removals, and what starts with the host."""
    supervisor.open = supervisor.monitor.open = True
    for watched in supervisor.book:
        if watched.lost:
            supervisor.end(watched, Exit(0, NOBODY_KNOWS, now()), WENT_DOWN)
        if watched.plan.by_labels:
            supervisor.check_labels_later(watched)
        _take_up(supervisor, watched)


def _take_up(supervisor: Supervisor, watched: Watched) -> None:
    state, plan = watched.state, watched.plan
    if state.status == RUNNING:
        supervisor.monitor.watch(watched)
    elif state.status == RESTARTING:
        supervisor.arm(watched, state.restart_at)
    elif plan.auto_remove:
        if state.status == EXITED and not watched.removing:
            supervisor.spawn(supervisor.remove_soon(watched))
    elif not plan.held_down and resumes(plan.policy, started=state.started_at is not None, stopped=state.stopped):
        state = replace(state, status=RESTARTING, stopped=False, attempts=Attempts(), restart_at=None)
        supervisor.book.change(watched, state)
        supervisor.arm(watched, None)
