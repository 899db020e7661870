"""``--change`` of ``commit`` and ``import``: Dockerfile instructions applied to an image's configuration.

Those that Docker allows there: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR,
HEALTHCHECK NONE and HEALTHCHECK [options] CMD.
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.units import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]


def apply(config: Json, text: str) -> None:
    """Change ``config`` (an image's Config) by one instruction. Raises InvalidArgument."""
    word, _, rest = text.strip().partition(" ")
    act = _INSTRUCTIONS.get(word.upper())
    rest = rest.strip()
    if act is None:
        raise InvalidArgument("--change", text, f"{word or 'nothing'} is not one of {', '.join(_INSTRUCTIONS)}")
    if not rest:
        raise InvalidArgument("--change", text, f"{word.upper()} requires at least one argument")
    act(config, rest)


def _command(rest: str) -> list[str]:
    """The exec form (a JSON list), or the shell form."""
    if rest.startswith("["):
        from json import loads

        try:
            value = loads(rest)
        except ValueError:
            value = None
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
    return ["/bin/sh", "-c", rest]


def _pairs(rest: str) -> list[tuple[str, str]]:
    """``A=1 B="two words"``, or the old ``A 1``."""
    from shlex import split

    try:
        words = split(rest)
    except ValueError as error:
        raise InvalidArgument("--change", rest, str(error).lower()) from error
    if "=" not in words[0]:
        name, _, value = rest.partition(" ")
        return [(name, value.strip())]
    return [(word.partition("=")[0], word.partition("=")[2]) for word in words]


def _env(config: Json, rest: str) -> None:
    for name, value in _pairs(rest):
        kept = [item for item in config.get("Env") or () if item.partition("=")[0] != name]
        config["Env"] = [*kept, f"{name}={value}"]


def _label(config: Json, rest: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(rest))}


def _expose(config: Json, rest: str) -> None:
    ports = [port if "/" in port else port + "/tcp" for port in rest.split()]
    for port in ports:
        if not port.partition("/")[0].replace("-", "").isdigit():
            raise InvalidArgument("--change EXPOSE", port, "give a port, such as 80 or 53/udp")
    config["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **{port: {} for port in ports}}


def _volume(config: Json, rest: str) -> None:
    paths = _command(rest) if rest.startswith("[") else rest.split()
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}


def _workdir(config: Json, rest: str) -> None:
    base = config.get("WorkingDir") or "/"
    config["WorkingDir"] = rest if rest.startswith("/") else base.rstrip("/") + "/" + rest


def _entrypoint(config: Json, rest: str) -> None:
    config["Entrypoint"] = _command(rest)


def _cmd(config: Json, rest: str) -> None:
    config["Cmd"] = _command(rest)


def _user(config: Json, rest: str) -> None:
    config["User"] = rest


def _stopsignal(config: Json, rest: str) -> None:
    config["StopSignal"] = rest


def _onbuild(config: Json, rest: str) -> None:
    config["OnBuild"] = [*(config.get("OnBuild") or ()), rest]


_OPTIONS = {
    "--interval": "Interval", "--timeout": "Timeout", "--start-period": "StartPeriod",
    "--start-interval": "StartInterval",
}  # fmt: skip


def _healthcheck(config: Json, rest: str) -> None:
    result: Json = {}
    words = rest
    while words.startswith("--"):
        option, _, words = words.partition(" ")
        name, _, value = option.partition("=")
        words = words.lstrip()
        if name == "--retries" and value.isdigit():
            result["Retries"] = int(value)
        elif name in _OPTIONS:
            result[_OPTIONS[name]] = int(parse_duration(value) * 1e9)
        else:
            raise InvalidArgument("--change HEALTHCHECK", option, "there are --interval, --timeout, --retries, …")
    kind, _, command = words.partition(" ")
    if kind.upper() == "NONE":
        result["Test"] = ["NONE"]
    elif kind.upper() == "CMD" and command.strip():
        listed = _command(command.strip())
        shell = not command.strip().startswith("[")
        result["Test"] = ["CMD-SHELL", command.strip()] if shell else ["CMD", *listed]
    else:
        raise InvalidArgument("--change HEALTHCHECK", rest, "give NONE, or CMD and a command")
    config["Healthcheck"] = result


_INSTRUCTIONS: dict[str, Callable[[Json, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
