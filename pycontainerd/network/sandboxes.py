"""Sandboxes: the network of one container, from before its task is made until that has ended, and after crashes.

``core.network.SandboxEngine``. A life begins with rows (which say what there is to be), goes on with ports, namespace
and rules, and ends in reverse; whatever is missing when the daemon comes back is made or removed by ``recover``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, NotFound
from pycontainerd.core.network import DEFAULT_NETWORK, Attached, PortRequest
from pycontainerd.core.network_plan import close_op, on_bound_addresses, port_target, publish_ops, route_op
from pycontainerd.core.network_request import sandbox_request
from pycontainerd.core.settings import NAME_LABEL
from pycontainerd.network.engine import check_explicit, new_link
from pycontainerd.network.ground import owner_of, quietly
from pycontainerd.network.holding import claim
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycontainerd.core.containers import Container, ContainerStore
    from pycontainerd.core.network import Network, Op, Sandbox, SandboxRequest
    from pycontainerd.network.engine import Networks
    from pycontainerd.network.ground import Ground

HOST = Attached("")
"""The host's own network: nothing to make, nothing to release."""
_log = structlog.get_logger("network")


class Sandboxes:
    """The engine."""

    def __init__(self, ground: Ground, networks: Networks, containers: ContainerStore) -> None:
        self._ground, self._networks, self._containers = ground, networks, containers
        self._recovered = False

    def prepare(self, namespace: str, container: Container) -> Attached | None:
        """Make the namespace, endpoints and ports of a task to come; None for a container that is not ours.

        Raises NotFound (network), FailedPrecondition (port taken, peer not running), ResourceExhausted (no address
        left), InvalidArgument, Unavailable. When it raises, addresses are all that may be left: they are the record's.
        """
        request = sandbox_request(container)
        if request is None:
            return None
        if request.mode == "host":
            return HOST
        with self._ground.lock:
            if request.mode == "container":
                return self._join(namespace, container.id, request.peer)
            return self._begin(namespace, container, request)

    def _join(self, namespace: str, container: str, peer: str) -> Attached:
        """The namespace of another container, which has to run."""
        if peer == container:
            raise InvalidArgument("network mode", f"container:{peer}", "a container cannot join itself")
        request = sandbox_request(self._containers.get(namespace, peer))
        if request is None:
            hint = "its network is not this daemon's: it was created without the network extension"
            raise FailedPrecondition("container", peer, hint)
        if request.mode == "host":
            return HOST
        if request.mode == "container":
            raise FailedPrecondition("container", peer, f"it uses the network of {request.peer}; join that container")
        sandbox = self._ground.store.sandbox(namespace, peer)
        if sandbox is None or not sandbox.active:
            raise FailedPrecondition("container", peer, "its network cannot be joined while it does not run; start it")
        return Attached(sandbox.netns)

    def _begin(self, namespace: str, container: Container, request: SandboxRequest) -> Attached:
        for wanted in request.endpoints:
            if wanted.network == DEFAULT_NETWORK:
                check_explicit(self._networks.ensure_default(namespace), wanted)
        name = container.labels.get(NAME_LABEL) or container.id
        sandbox = self._ground.store.open(namespace, container.id, name, request)
        failpoint.hit("network.prepare.rows")
        if sandbox.active:
            self._end(sandbox)  # the end of its last task was never heard of
        try:
            networks = self._ground.networks_of(sandbox)
            for network in networks.values():
                self._ground.bring_up(network)
            sandbox = self._ground.store.activate(sandbox, {item.id: new_link() for item in sandbox.endpoints})
            sandbox = self._build(sandbox, networks)
        except BaseException:
            self._undo(namespace, container.id)
            raise
        return Attached(sandbox.netns)

    def _undo(self, namespace: str, container: str) -> None:
        sandbox = self._ground.store.sandbox(namespace, container)
        if sandbox is not None and sandbox.active:
            self._end(sandbox)

    def _build(self, sandbox: Sandbox, networks: Mapping[str, Network]) -> Sandbox:
        ground = self._ground
        sandbox = self._publish(sandbox, networks)
        failpoint.hit("network.prepare.ports")
        results = ground.agent.run(
            {"op": "netns.create", "path": sandbox.netns, "fresh": True},
            *ground.endpoint_ops(sandbox, networks),
            route_op(sandbox.netns, sandbox.endpoints, networks, fresh=True),
            *publish_ops(sandbox, networks),
        )
        failpoint.hit("network.prepare.kernel")
        if ground.learn(results):
            sandbox = self._reread(sandbox)
        self._admit(sandbox, networks)
        failpoint.hit("network.prepare.rules")
        ground.tell_up(sandbox)
        return sandbox

    def _publish(self, sandbox: Sandbox, networks: Mapping[str, Network]) -> Sandbox:
        """Take the host's ports, and note which."""
        requests: Sequence[PortRequest] = sandbox.request.ports
        if not requests:
            return sandbox
        target = port_target(sandbox.endpoints, networks)
        if not target.ip4 and not target.ip6:
            if sandbox.request.mode == "none" or not sandbox.endpoints:
                return sandbox
            names = ", ".join(item.network_name for item in sandbox.endpoints)
            _log.warning("ports are not published: no network reaches outside", container=sandbox.name, networks=names)
            return sandbox
        requests = on_bound_addresses(requests, sandbox.endpoints, networks)
        with claim(requests, target, self._ground.store.published) as claimed:
            self._ground.store.publish(sandbox, claimed.ports)
            self._ground.holder.hold(owner_of(sandbox), claimed)
        return self._reread(sandbox)

    def _reread(self, sandbox: Sandbox) -> Sandbox:
        found = self._ground.store.sandbox(*sandbox.key)
        if found is None:
            raise NotFound("network of container", sandbox.container)
        return found

    def _admit(self, sandbox: Sandbox, networks: Mapping[str, Network]) -> None:
        """Rules for the published ports; senders of datagrams that come already are led there too."""
        if not sandbox.ports:
            return
        self._ground.firewall.change({owner_of(sandbox): self._ground.sandbox_elements(sandbox, networks)})
        self._ground.agent.run(*_forget_ops(sandbox))

    # The end

    def released(self, namespace: str, id: str) -> None:
        """The task has ended, or never came to be: ports and namespace go, addresses stay. Idempotent, never raises."""
        with quietly("network of a container is not released", namespace=namespace, container=id), self._ground.lock:
            sandbox = self._ground.store.sandbox(namespace, id)
            if sandbox is None or not sandbox.active or not self._recovered:
                return  # before ``recover`` it is not known what the packet filter holds
            self._end(sandbox)
            if not self._recorded(namespace, id):
                self._ground.store.close(namespace, id)

    def _end(self, sandbox: Sandbox) -> None:
        """Take everything of a life away; each step is tried, whatever became of those before it."""
        ground, about = self._ground, {"namespace": sandbox.namespace, "container": sandbox.container}
        ground.tell_down(sandbox)
        if sandbox.ports:
            with quietly("rules of published ports are not removed", **about):
                ground.firewall.change({owner_of(sandbox): {}})
            with quietly("published ports are not given back", **about):
                ground.holder.drop(owner_of(sandbox))
        failpoint.hit("network.release.ports")
        with quietly("network namespace is not removed", **about):
            ops: list[Op] = []
            for endpoint in sandbox.endpoints:
                network = ground.store.get(sandbox.namespace, endpoint.network)
                ops += ground.driver(network).endpoint_end(network, endpoint, sandbox.netns)
            ground.agent.run(*ops, close_op(sandbox, ground.marks), *_forget_ops(sandbox))
        failpoint.hit("network.release.kernel")
        ground.store.deactivate(*sandbox.key)
        failpoint.hit("network.release.rows")

    def remove(self, namespace: str, id: str) -> None:
        """The record is gone: its addresses are free again. Idempotent; containers that are not ours are ignored."""
        with self._ground.lock:
            sandbox = self._ground.store.sandbox(namespace, id)
            if sandbox is not None and not sandbox.active:  # else ``released`` sees that there is no record any more
                self._ground.store.close(namespace, id)

    def renamed(self, namespace: str, id: str) -> None:
        """The row has the container's new name: tell the watchers, if it runs. Never raises."""
        with quietly("new name of a container is not told", namespace=namespace, container=id), self._ground.lock:
            sandbox = self._ground.store.sandbox(namespace, id)
            if sandbox is not None and sandbox.active and self._recovered:
                self._ground.tell_up(sandbox)

    def _recorded(self, namespace: str, id: str) -> bool:
        try:
            self._containers.get(namespace, id)
        except NotFound:
            return False
        return True

    # After a start

    def recover(self, running: Iterable[tuple[str, str]]) -> None:
        """Make kernel and rows agree, given the (namespace, id) of the tasks that live; what fails is logged."""
        with quietly("networks are not recovered"), self._ground.lock:
            self._recovered = True
            self._settle_rows(set(running))
            listed = self._ground.store.list()
            if listed or os.path.isdir(self._ground.netns_directory):
                self._recover(listed, self._ground.store.sandboxes(active=True))

    def _recover(self, listed: Sequence[Network], active: Sequence[Sandbox]) -> None:
        ground = self._ground
        networks = [network for network in listed if not network.removing]
        links, paths = ground.agent.run({"op": "links"}, {"op": "netns.list", "directory": ground.netns_directory})
        present = {link["alias"]: link["name"] for link in links if link["alias"].startswith(ground.marks.prefix)}
        self._sweep(networks, active, present, paths)
        failpoint.hit("network.recover.swept")
        self._finish_removals(network for network in listed if network.removing)
        self._start_filter(networks, active)
        failpoint.hit("network.recover.rules")
        for network in networks:
            with quietly("network is not brought up", network=network.name):
                ground.bring_up(network)
        for sandbox in active:
            with quietly("network of a container is not recovered", container=sandbox.container):
                self._repair(sandbox, present, paths)
        ground.tell_recovered(active)
        self.hold_again(active)

    def _finish_removals(self, networks: Iterable[Network]) -> None:
        for network in networks:
            with quietly("network is not removed", network=network.name):
                self._ground.take_down(network)
                self._ground.store.delete(network)

    def _settle_rows(self, alive: set[tuple[str, str]]) -> None:
        """Lives that ended unheard end now in the rows; what the kernel has of them is swept after."""
        store = self._ground.store
        for sandbox in store.sandboxes():
            if sandbox.active and sandbox.key not in alive:
                store.deactivate(*sandbox.key)
            if sandbox.key not in alive and not self._recorded(*sandbox.key):
                store.close(*sandbox.key)

    def _sweep(
        self,
        networks: Iterable[Network],
        active: Iterable[Sandbox],
        present: Mapping[str, str],
        paths: Iterable[str],
    ) -> None:
        """Remove links and namespaces without a row."""
        ground = self._ground
        wanted = {ground.marks.network(network.id): network.link for network in networks}
        wanted |= {ground.marks.endpoint(item.id): item.link for box in active for item in box.endpoints}
        ops: list[Op] = [
            {"op": "unlink", "name": name, "alias": alias}
            for alias, name in present.items()
            if wanted.get(alias) != name and not ("/" in alias and alias.partition("/")[0] in wanted)
        ]
        named = {sandbox.netns for sandbox in active}
        ops += [{"op": "netns.delete", "path": path} for path in paths if path not in named]
        for op in ops:
            with quietly("left-over of a network is not removed", **{key: str(value) for key, value in op.items()}):
                ground.agent.run(op)

    def _repair(self, sandbox: Sandbox, present: Mapping[str, str], paths: Iterable[str]) -> None:
        """Make endpoints that a running container lacks. A namespace that is gone cannot be made again."""
        ground = self._ground
        networks = ground.networks_of(sandbox)
        links = {ground.marks.endpoint(item.id): item.link for item in sandbox.endpoints if networks[item.network].link}
        try:
            if sandbox.netns in paths and links.items() <= present.items():
                return
            ground.agent.run(
                {"op": "netns.check", "path": sandbox.netns},
                *ground.endpoint_ops(sandbox, networks),
                route_op(sandbox.netns, sandbox.endpoints, networks),
                *publish_ops(sandbox, networks),
            )
        finally:
            ground.tell_up(sandbox)

    def _start_filter(self, networks: Iterable[Network], active: Iterable[Sandbox]) -> None:
        """All rules, in one transaction."""
        ground = self._ground
        owners = {network.id: ground.elements(network) for network in networks}
        for sandbox in active:
            owners[owner_of(sandbox)] = ground.sandbox_elements(sandbox, ground.networks_of(sandbox))
        with quietly("packet filter is not set up"):
            ground.firewall.start(owners)

    def hold_again(self, active: Iterable[Sandbox] | None = None) -> None:
        """Bring what the port keeper holds in line with the rows: after a start, and when a keeper has died."""
        ground = self._ground
        with ground.lock:
            boxes = ground.store.sandboxes(active=True) if active is None else active
            wanted = {owner_of(sandbox): sandbox for sandbox in boxes if sandbox.ports}
            held = ground.holder.held()
            for key in held.keys() - wanted.keys():
                ground.holder.drop(key)
            for key in wanted.keys() - held.keys():
                with quietly("ports are not taken again", container=key):
                    self._hold_one(wanted[key])

    def _hold_one(self, sandbox: Sandbox) -> None:
        requests = [
            PortRequest(port.container_port, port.host_port, 0, port.host_ip, port.proto) for port in sandbox.ports
        ]
        target = port_target(sandbox.endpoints, self._ground.networks_of(sandbox))
        with claim(requests, target, self._ground.store.published) as claimed:
            self._ground.holder.hold(owner_of(sandbox), claimed)


def _forget_ops(sandbox: Sandbox) -> list[Op]:
    """Flows of datagrams that were translated before the ports changed."""
    entries = [[port.proto, port.host_port] for port in sandbox.ports if port.proto == "udp"]
    return [{"op": "forget", "entries": entries, "addresses": []}] if entries else []
