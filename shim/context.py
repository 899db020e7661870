"""What every verb of a shim works with."""

from __future__ import annotations

from pycontainerd.linux.cgroup import mounted
from shim.errors import not_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainerd.linux.cgroup import Hierarchies
    from pycontainerd.linux.sealed import Sealed
    from shim.children import Children
    from shim.container import Container
    from shim.events import Publisher
    from shim.log import Log
    from shim.loop import Loop


HIERARCHIES: list[Hierarchies] = []
"""Where the control groups are mounted, found once by the template: mount tables are long, and every shim would read
its own."""


class Defaults:
    """What is taken when the create options say nothing: the runtime's program and the parent of its state.

    `program` is a copy of some runtime, to be run in place of the file it was made from.
    """

    __slots__ = ("program", "runtime", "runtime_root")

    def __init__(self, runtime: str, runtime_root: str, program: Sealed | None = None) -> None:
        self.runtime = runtime
        self.runtime_root = runtime_root
        self.program = program


class Shim:
    """The loop, the children, the daemon's ear, and the containers by id."""

    def __init__(
        self, namespace: str, loop: Loop, children: Children, events: Publisher, log: Log, defaults: Defaults
    ) -> None:
        self.namespace = namespace
        self.loop = loop
        self.children = children
        self.events = events
        self.journal = log
        self.defaults = defaults
        self.containers: dict[str, Container] = {}
        self.creating: set[str] = set()
        self.shutdown: Callable[[], None] = lambda: None

    @property
    def hierarchies(self) -> Hierarchies:
        """Where the control groups are mounted. Raises OSError."""
        if not HIERARCHIES:
            HIERARCHIES.append(mounted())
        return HIERARCHIES[0]

    def container(self, id: str) -> Container:
        """Raises RpcError NOT_FOUND."""
        found = self.containers.get(id)
        if found is None:
            raise not_found(f"container {id}")
        return found
