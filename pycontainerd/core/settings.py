"""What a container was created with, in Docker's vocabulary, as kept in the container record.

containerd's record has room for a spec and labels; restart policy, log options, the name and the rest of what a Docker
user says live in the extension ``EXTENSION`` as JSON: ``Name``, ``Created``, ``Image`` (digest), ``Config``,
``HostConfig`` and ``LogPath``. ``Config`` and ``HostConfig`` have the fields of Docker's API. How the container is, or
ended, is the supervisor's to know; whose name it is, the Names service's. The label is for filtering.
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Json = dict[str, Any]

EXTENSION = "io.pycontainerd.container"
TYPE_URL = "io.pycontainerd.v1/Container"
NAME_LABEL = "io.pycontainerd/name"
MAX_LABEL = 4096

RESTART_POLICIES = ("no", "always", "unless-stopped", "on-failure")


_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_REST = _FIRST + "_.-"


def check_name(name: str) -> str:
    """Return ``name`` without a leading slash; raise InvalidArgument for what Docker refuses too."""
    plain = name.removeprefix("/")
    if len(plain) < 2 or plain[0] not in _FIRST or plain.strip(_REST):
        raise InvalidArgument("container name", name, "only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed")
    if len(plain) > 255:
        raise InvalidArgument("container name", plain[:40] + "…", "it is longer than 255 characters")
    return plain


def labels_for_record(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of the container record: those that can be stored (not empty, key and value within 4096 bytes)."""
    kept = {key: value for key, value in labels.items() if value and len((key + value).encode()) <= MAX_LABEL}
    return {**kept, NAME_LABEL: name}


def parse_restart(text: str) -> Json:
    """``no``, ``always``, ``unless-stopped``, ``on-failure[:N]`` as Docker's RestartPolicy. Raises InvalidArgument."""
    policy, colon, count = text.partition(":")
    if policy not in RESTART_POLICIES:
        hint = "there are no, always, unless-stopped and on-failure[:max-retries]"
        raise InvalidArgument("restart policy", text, hint)
    if colon and (policy != "on-failure" or not count.isdigit()):
        raise InvalidArgument("restart policy", text, "only on-failure takes a number, such as on-failure:3")
    return {"Name": policy, "MaximumRetryCount": int(count or 0)}


def merge_image(config: Json, image: Json) -> Json:
    """The container's Config over the image's: what Docker does with ENTRYPOINT, CMD, ENV and the rest.

    An entrypoint from the command line drops the image's command; an empty one removes the image's entrypoint, too.
    """
    result = dict(config)
    given_entrypoint: Sequence[str] | None = config.get("Entrypoint")
    if given_entrypoint is None:
        result["Entrypoint"] = image.get("Entrypoint")
        if not config.get("Cmd"):
            result["Cmd"] = image.get("Cmd")
    elif list(given_entrypoint) == [""]:
        result["Entrypoint"] = None
    for key in ("User", "WorkingDir", "StopSignal"):
        result[key] = config.get(key) or image.get(key) or ""
    result["Env"] = merge_environment(image.get("Env") or (), config.get("Env") or ())
    result["Labels"] = {**(image.get("Labels") or {}), **(config.get("Labels") or {})}
    for key in ("ExposedPorts", "Volumes"):
        together = {**(image.get(key) or {}), **(config.get(key) or {})}
        if together:
            result[key] = together
    health = config.get("Healthcheck")
    if health or image.get("Healthcheck"):
        result["Healthcheck"] = {**(image.get("Healthcheck") or {}), **(health or {})}
    return result


def merge_environment(base: Sequence[str], given: Sequence[str]) -> list[str]:
    """``given`` first, then what ``base`` has beside; a bare ``NAME`` in ``given`` removes the variable."""
    names = {item.partition("=")[0] for item in given}
    return [item for item in given if "=" in item] + [item for item in base if item.partition("=")[0] not in names]


def stdio(document: Json, id: str) -> tuple[str, str, str, bool]:
    """The task's stdin, stdout, stderr and terminal for a settings document, as Tasks.Create takes them.

    Output goes to the log driver and to whoever attaches; input is held open for clients when it was asked for.
    ``id`` is the container's: some drivers record it. Raises InvalidArgument for log options that make no sense.
    """
    from pycontainerd.core import logdrivers  # most of what reads settings starts nothing

    config, output = document["Config"], logdrivers.uri(document, id)
    terminal = bool(config.get("Tty"))
    return "attach:" if config.get("OpenStdin") else "", output, "" if terminal else output, terminal
