"""Running CNI plugins, in the agent: a chain of them for one interface, and a memory of what each chain has made.

    cni.add     list, attachment, plugins, cache, endpoint    → {"endpoint", "ip4", "ip6", "mac", "result"}
    cni.del     attachment, plugins, cache
    cni.check   attachment, plugins, cache
    cni.sweep   plugins, cache, keep: [[container, interface]]    everything else that is remembered is deleted

``list`` is a configuration list, ``attachment`` the fields of ``core.cni.Attachment``, ``plugins`` the directories of
programs, ``cache`` the directory of the memory. What has been added is written there before the first plugin runs, and
once more with the result: so a chain that was cut off is taken back before it is tried again, DEL and CHECK get the
configuration that ADD had, and what was left behind can be found after a crash or a reboot.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pycontainerd.core import cni
from pycontainerd.core.cni import Attachment, CniError, ConfigList
from pycontainerd.linux import fds, process
from pycontainerd.network import namespaces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.network.agent import Agent

    Json = dict[str, Any]

PLUGIN_DIRECTORIES = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
CONFIG_DIRECTORIES = ("/etc/cni/net.d",)
TIMEOUT = 50.0
"""Seconds one plugin may take; less than the daemon waits for the agent."""
_LIMIT = 1 << 20


class Chains:
    """Configuration lists, run."""

    def __init__(self, plugins: Sequence[str], cache: str) -> None:
        self._plugins, self._cache = tuple(plugins), cache

    def add(self, config: ConfigList, attachment: Attachment) -> Json:
        """Run all plugins; answer the last result. What is there already for this namespace is not made again.

        Raises CniError, and OSError when a plugin is missing; whatever was made before is then taken back.
        """
        life = namespaces.life(attachment.netns)
        known = self._remembered(attachment)
        if known is not None and known.get("result") is not None and known["life"] == life:
            result: Json = known["result"]
            return result
        if known is not None:
            with suppress(OSError, CniError):
                self.delete(attachment)
        programs = [self._find(str(plugin["type"])) for plugin in config.plugins]
        self._remember(config, attachment, life, None)
        previous: Json | None = None
        try:
            for plugin, program in zip(config.plugins, programs, strict=True):
                output = self._run(program, "ADD", config, plugin, attachment, previous)
                previous = cni.read_result(output, str(plugin["type"]))
        except (OSError, CniError):
            with suppress(OSError, CniError):
                self.delete(attachment)
            raise
        assert previous is not None
        self._remember(config, attachment, life, previous)
        return previous

    def delete(self, attachment: Attachment) -> None:
        """Run all plugins in reverse, as they were when they were added; every one, even when others fail.

        Raises the first CniError or OSError; what failed stays remembered. Nothing remembered is nothing to do.
        """
        known = self._remembered(attachment)
        if known is None:
            return
        config = cni.read_config(known["list"], "cache")
        netns = attachment.netns if namespaces.life(attachment.netns) == known["life"] else ""
        attachment = Attachment(**{**known["attachment"], "netns": netns})
        previous = known.get("result") if config.version in cni.CHECK_SINCE else None
        failed: CniError | OSError | None = None
        for plugin in reversed(config.plugins):
            try:
                self._run(self._find(str(plugin["type"])), "DEL", config, plugin, attachment, previous)
            except (CniError, OSError) as error:
                failed = failed or error
        if failed is not None:
            raise failed
        with suppress(FileNotFoundError):
            os.unlink(self._path(attachment))

    def check(self, attachment: Attachment) -> None:
        """Have every plugin check what it made. Raises CniError, also for what was never added."""
        known = self._remembered(attachment)
        if known is None or known.get("result") is None:
            raise CniError("chain", "CHECK", f"container {attachment.container} has no {attachment.interface} by CNI")
        config = cni.read_config(known["list"], "cache")
        if config.disable_check or config.version not in cni.CHECK_SINCE:
            return
        attachment = Attachment(**{**known["attachment"], "netns": attachment.netns})
        for plugin in config.plugins:
            self._run(self._find(str(plugin["type"])), "CHECK", config, plugin, attachment, known["result"])

    def sweep(self, keep: set[tuple[str, str]]) -> list[str]:
        """Delete what is remembered of others; answers what could not be deleted, in sentences."""
        failed = []
        for name in os.listdir(self._cache) if os.path.isdir(self._cache) else ():
            known = self._read(f"{self._cache}/{name}")
            if known is None:
                continue
            attachment = Attachment(**known["attachment"])
            if (attachment.container, attachment.interface) in keep:
                continue
            try:
                self.delete(attachment)
            except (CniError, OSError) as error:
                failed.append(str(error))
        return failed

    # Programs

    def _find(self, kind: str) -> str:
        for directory in self._plugins:
            path = f"{directory}/{kind}"
            if os.access(path, os.X_OK):
                return path
        where = ", ".join(self._plugins)
        raise FileNotFoundError(2, f"CNI plugin {kind} is in none of {where}; Debian has containernetworking-plugins")

    def _run(
        self,
        program: str,
        command: str,
        config: ConfigList,
        plugin: Any,
        attachment: Attachment,
        previous: Json | None,
    ) -> bytes:
        data = cni.plugin_input(config, plugin, attachment, previous)
        env = {**os.environ, **cni.environment(command, attachment, self._plugins)}
        env.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        done = process.run([program], input=data, env=env, cwd="/", timeout=TIMEOUT)
        if done.code:
            raise cni.failure(str(plugin["type"]), command, done.stdout, done.text)
        return done.stdout

    # Memory

    def _path(self, attachment: Attachment) -> str:
        return f"{self._cache}/{attachment.container}@{attachment.interface}.json"

    def _remembered(self, attachment: Attachment) -> Json | None:
        return self._read(self._path(attachment))

    @staticmethod
    def _read(path: str) -> Json | None:
        try:
            known = json.loads(fds.read_file(path, _LIMIT))
        except (OSError, ValueError):
            return None
        return known if isinstance(known, dict) and "list" in known and "attachment" in known else None

    def _remember(self, config: ConfigList, attachment: Attachment, life: str, result: Json | None) -> None:
        os.makedirs(self._cache, mode=0o700, exist_ok=True)
        known = {"list": config.to_json(), "attachment": asdict(attachment), "life": life, "result": result}
        fds.replace_file(self._path(attachment), json.dumps(known).encode(), 0o600)


def add(agent: Agent, op: dict[str, Any]) -> Json:
    """See the module. Raises OSError."""
    chains, attachment = _read_op(op)
    result = _told(lambda: chains.add(cni.read_config(op["list"], "request"), attachment))
    return {
        "endpoint": op.get("endpoint", ""),
        **asdict(cni.addresses_of(result, attachment.interface)),
        "result": result,
    }


def delete(agent: Agent, op: dict[str, Any]) -> None:
    """See the module. Raises OSError."""
    chains, attachment = _read_op(op)
    _told(lambda: chains.delete(attachment))


def check(agent: Agent, op: dict[str, Any]) -> None:
    """See the module. Raises OSError."""
    chains, attachment = _read_op(op)
    _told(lambda: chains.check(attachment))


def sweep(agent: Agent, op: dict[str, Any]) -> list[str]:
    """See the module."""
    return Chains(op["plugins"], op["cache"]).sweep({(container, interface) for container, interface in op["keep"]})


def _read_op(op: dict[str, Any]) -> tuple[Chains, Attachment]:
    return Chains(op["plugins"], op["cache"]), Attachment(**op["attachment"])


def _told(run: Any) -> Any:
    """The agent answers with error numbers: a plugin's failure travels as an input/output error."""
    try:
        return run()
    except CniError as error:
        raise OSError(11 if error.code == cni.RETRY_LATER else 5, str(error)) from error


OPERATIONS = {"cni.add": add, "cni.del": delete, "cni.check": check, "cni.sweep": sweep}
