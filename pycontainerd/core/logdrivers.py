"""Log drivers as a Docker user chooses them: which there are, their options, and the stdio URI for the shim.

The options of ``--log-opt`` and their messages are Docker's. ``labels``, ``env``, their ``-regex`` forms and ``tag``
become attributes of each line (json-file) or fields of each journal entry (journald).
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.units import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Json = dict[str, Any]

DRIVERS = ("json-file", "cri", "journald", "none")
DEFAULT = "json-file"
BOUNDS = {"max-size": "10m", "max-file": "5", "compress": "true"}
"""Logs are bounded unless somebody says otherwise (Docker's own default has no bound)."""

_FILES = {"json-file": "-json.log", "cri": "-cri.log"}
_ATTRIBUTES = ("labels", "labels-regex", "env", "env-regex", "tag")
_POLICY = ("mode", "max-buffer-size")
_OPTIONS = {
    "json-file": (*BOUNDS, *_ATTRIBUTES, *_POLICY),
    "cri": (*BOUNDS, "max-line", *_POLICY),
    "journald": (*_ATTRIBUTES, *_POLICY),
    "none": (),
}
_ELSEWHERE = {
    "local": "json-file is bounded and compressed here",
    "syslog": "use journald, which can forward to syslog",
}
_COLLECT = "there are json-file, cri, journald and none; let a collector read the files or the journal"
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-.~,"


def check(driver: str, options: Mapping[str, str]) -> None:
    """Raise InvalidArgument, in Docker's words, for a driver that is not there or an option it does not take."""
    if driver not in DRIVERS:
        hint = _ELSEWHERE.get(driver, _COLLECT)
        raise InvalidArgument(f"logger: no log driver named '{driver}' is registered", hint=hint)
    for key in options:
        if key not in _OPTIONS[driver]:
            known = ", ".join(_OPTIONS[driver]) or "none"
            raise InvalidArgument(f"unknown log opt '{key}' for {driver} log driver", hint=f"it takes: {known}")
    for key, value in options.items():
        if key in _CHECKS:
            _CHECKS[key](value)
    mode = options.get("mode") or "blocking"
    if "max-buffer-size" in options and mode != "non-blocking":
        raise InvalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    if "max-file" in options and int(options["max-file"]) < 2 and options.get("compress") in _TRUE:
        raise InvalidArgument(
            "compress cannot be true when max-file is less than 2 or max-size is not set", hint="raise max-file"
        )
    if options.get("max-file", "1") != "1" and options.get("max-size") == "-1":
        raise InvalidArgument("max-file requires max-size", hint="give max-size a value such as 10m")


def _check_size(text: str) -> None:
    if text == "-1":
        return
    if _size(text, "max-size") <= 0:
        raise InvalidArgument("max-size must be a positive number", hint="give 10m, or -1 for no limit")


def _check_buffer(text: str) -> None:
    if _size(text, "max-buffer-size") <= 0:
        raise InvalidArgument("max-buffer-size must be a positive number", hint="give 4m")


def _size(text: str, key: str) -> int:
    try:
        return parse_bytes(text)
    except InvalidArgument:
        raise InvalidArgument(f"invalid size: '{text}' for log opt '{key}'", hint="give 10m or 512k") from None


def _check_files(text: str) -> None:
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise InvalidArgument(f"invalid number '{text}' for log opt 'max-file'", hint="give 5")
    if int(text) < 1:
        raise InvalidArgument("max-file cannot be less than 1", hint="give 5")


def _check_flag(text: str) -> None:
    if text not in (*_TRUE, *_FALSE):
        raise InvalidArgument(f"invalid value '{text}' for log opt 'compress'", hint="give true or false")


def _check_line(text: str) -> None:
    if text != "-1" and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise InvalidArgument(f"invalid number '{text}' for log opt 'max-line'", hint="give bytes, such as 16384")


def _check_mode(text: str) -> None:
    if text not in ("", "blocking", "non-blocking"):
        raise InvalidArgument(f"logger: logging mode not supported: {text}", hint="give blocking or non-blocking")


def _check_pattern(text: str) -> None:
    _matcher(text)


def _check_tag(text: str) -> None:
    tag(text, {})


_CHECKS: dict[str, Callable[[str], None]] = {
    "max-size": _check_size,
    "max-file": _check_files,
    "max-line": _check_line,
    "max-buffer-size": _check_buffer,
    "compress": _check_flag,
    "mode": _check_mode,
    "labels-regex": _check_pattern,
    "env-regex": _check_pattern,
    "tag": _check_tag,
}


def file_name(driver: str, id: str) -> str:
    """What the log of a container is called, "" when the driver writes no file."""
    return id + _FILES[driver] if driver in _FILES else ""


def uri(document: Json, id: str = "") -> str:
    """The stdio URI for a container's settings (see ``core.settings``). Raises InvalidArgument."""
    log = document["HostConfig"].get("LogConfig") or {}
    options: dict[str, str] = {key: str(value) for key, value in (log.get("Config") or {}).items()}
    driver = log.get("Type") or DEFAULT
    path = document.get("LogPath") or ""
    query: list[tuple[str, str]] = []
    if driver in _FILES and path:
        query = _bounds(options)
        if driver == "cri" and "max-line" in options:
            query.append(("max-line", options["max-line"]))
    elif driver != "journald":
        return "none:"
    query += _policy(options)
    if driver != "cri":
        query += [(f"attr.{key}", value) for key, value in _attributes(driver, options, document, id).items()]
    head = f"{driver}://{quote(path)}" if path else f"{driver}:"
    return head + ("?" + "&".join(f"{quote(key)}={quote(value)}" for key, value in query) if query else "")


def _bounds(options: Mapping[str, str]) -> list[tuple[str, str]]:
    given = {**BOUNDS, **{key: options[key] for key in BOUNDS if options.get(key)}}
    size = given["max-size"]
    compress = "true" if given["compress"] in _TRUE else "false"
    return [
        ("max-size", size if size == "-1" else str(_size(size, "max-size"))),
        ("max-file", given["max-file"]),
        ("compress", compress),
    ]


def _policy(options: Mapping[str, str]) -> list[tuple[str, str]]:
    if options.get("mode") != "non-blocking":
        return []
    size = options.get("max-buffer-size", "1m")
    return [("mode", "non-blocking"), ("max-buffer-size", str(_size(size, "max-buffer-size")))]


def _attributes(driver: str, options: Mapping[str, str], document: Json, id: str) -> dict[str, str]:
    """What is recorded with each line: chosen labels and variables, the tag, and for the journal who it was."""
    config = document["Config"]
    variables = dict(item.split("=", 1) for item in config.get("Env") or () if "=" in item)
    chosen = _chosen(config.get("Labels") or {}, options, "labels")
    chosen.update(_chosen(variables, options, "env"))
    facts = _facts(document, id)
    if driver == "journald":
        word = tag(options.get("tag") or "{{.ID}}", facts)
        chosen.update(
            {
                "CONTAINER_ID": facts["ID"],
                "CONTAINER_ID_FULL": facts["FullID"],
                "CONTAINER_NAME": facts["Name"],
                "CONTAINER_TAG": word,
                "SYSLOG_IDENTIFIER": word,
                "IMAGE_NAME": facts["ImageName"],
            }
        )
    elif options.get("tag"):
        chosen["tag"] = tag(options["tag"], facts)
    return chosen


def _chosen(values: Mapping[str, str], options: Mapping[str, str], key: str) -> dict[str, str]:
    """Those named, comma-separated, by the option ``key``, or matching its ``-regex`` form."""
    names = [name for name in options.get(key, "").split(",") if name]
    result = {name: values[name] for name in names if name in values}
    pattern = options.get(f"{key}-regex")
    if pattern:
        matches = _matcher(pattern)
        result.update({name: value for name, value in values.items() if matches(name)})
    return result


def _matcher(pattern: str) -> Callable[[str], bool]:
    from pycontainerd.core.regexp import compile_re2  # seldom used, and slow to import

    compiled = compile_re2(pattern)
    if compiled is None:
        raise InvalidArgument(f"error parsing regexp: {pattern}", hint="write it as Go's regexp package takes it")
    return lambda text: compiled.search(text) is not None


def _facts(document: Json, id: str) -> dict[str, str]:
    """What a tag may be made of, by Docker's names."""
    config = document["Config"]
    image = str(document.get("Image") or "")
    command = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    return {
        "ID": id[:12],
        "FullID": id,
        "Name": str(document.get("Name") or ""),
        "ImageID": image.removeprefix("sha256:")[:12],
        "ImageFullID": image,
        "ImageName": str(config.get("Image") or ""),
        "Command": " ".join(command),
        "DaemonName": "pycontainerd",
    }


_TAG_FIELDS = ("ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "Command", "DaemonName")


def tag(template: str, facts: Mapping[str, str]) -> str:
    """A tag with its ``{{.Field}}`` filled in. Raises InvalidArgument for anything else in braces."""
    head, *others = template.split("{{")
    result = [head]
    for part in others:
        inside, closing, rest = part.partition("}}")
        field = inside.strip().removeprefix(".")
        if not closing or not inside.strip().startswith(".") or field not in _TAG_FIELDS:
            hint = "it may hold " + " ".join("{{." + name + "}}" for name in _TAG_FIELDS)
            raise InvalidArgument(f"log opt 'tag': cannot use '{template}'", hint=hint)
        result += [facts.get(field, ""), rest]
    return "".join(result)


def quote(text: str) -> str:
    """Percent encoding, as the shim undoes it."""
    return "".join(char if char in _SAFE else "".join(f"%{byte:02X}" for byte in char.encode()) for char in text)
