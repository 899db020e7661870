"""``pyctr search``: images of a registry: by Docker Hub's search, or by the catalogue that other registries have."""

from __future__ import annotations

import os

from ctr.errors import Failure, UsageError
from ctr.flags import BOOL, INT, LIST, STRING, Command, flag
from ctr.output import Table, ellipsis

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values

    Row = dict[str, Any]

COMMAND = Command(
    "search",
    "[OPTIONS] TERM",
    "Search a registry for images",
    (
        flag("filter", "f", LIST, "Filter output (stars=N, is-official=true)", metavar="filter"),
        flag("format", "", STRING, "Format output: table, json, a Go template, or 'table TEMPLATE'"),
        flag("limit", "", INT, "Most results", default="25"),
        flag("no-trunc", "", BOOL, "Don't truncate output"),
    ),
    least=1,
    most=1,
    example="pyctr search busybox\npyctr search 127.0.0.1:5000/team",
    notes="A term that begins with a registry's name is looked for in that registry's catalogue.",
)
TABLE = Table(
    (("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL")),
    (("IsAutomated", "AUTOMATED"),),
)
_HUB = "https://index.docker.io"
_PATIENCE = 15


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    limit = values.number("limit")
    if not 1 <= limit <= 100:
        raise UsageError(f"limit {limit} is outside the range of [1, 100]")
    stars, official = _filters(values.items("filter"))
    rows = _found(arguments[0], limit)
    rows = [row for row in rows if int(row["StarCount"]) >= stars and (official is None or row["official"] is official)]
    for row in rows:
        if not values.on("no-trunc"):
            row["Description"] = ellipsis(row["Description"], 45)
    TABLE.print(
        [{key: value for key, value in row.items() if key != "official"} for row in rows], values.text("format")
    )
    return 0


def _filters(items: list[str]) -> tuple[int, bool | None]:
    stars, official = 0, None
    for item in items:
        key, _, value = item.partition("=")
        if key == "stars" and value.isdigit():
            stars = int(value)
        elif key == "is-official" and value in ("true", "false"):
            official = value == "true"
        elif key != "is-automated":
            raise UsageError(f"invalid filter '{item}'", "there are stars=N and is-official=true or false")
    return stars, official


def _found(term: str, limit: int) -> list[Row]:
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        local = first.partition(":")[0] in ("localhost", "127.0.0.1") or first.startswith("[::1]")
        document = _get(f"{'http' if local else 'https'}://{first}/v2/_catalog?n=1000", first)
        names = [name for name in document.get("repositories") or () if rest in name]
        return [_row(f"{first}/{name}", "", 0, official=False) for name in names[:limit]]
    from urllib.parse import quote

    hub = os.environ.get("PYCTR_SEARCH_URL") or _HUB
    document = _get(f"{hub}/v1/search?q={quote(term)}&n={limit}", "Docker Hub")
    return [
        _row(item["name"], item.get("description") or "", item.get("star_count") or 0, official=item.get("is_official"))
        for item in document.get("results") or ()
    ]


def _row(name: str, description: str, stars: int, *, official: object) -> Row:
    return {
        "Name": name,
        "Description": description.replace("\n", " "),
        "StarCount": str(stars),
        "IsOfficial": "[OK]" if official else "",
        "IsAutomated": "",
        "official": bool(official),
    }


def _get(url: str, name: str) -> dict[str, Any]:
    from http.client import HTTPException
    from json import loads
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_PATIENCE) as answer:
            document = loads(answer.read(16 << 20))
    except HTTPError as error:
        raise Failure(f"{name} refuses to search: {error.code} {error.reason}", "does it need a login?") from error
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Failure(f"{name} cannot be reached: {reason}", "is there a way to it from this host?") from error
    except ValueError as error:
        raise Failure(f"{name} does not answer as a registry does", "is the name right?") from error
    return document if isinstance(document, dict) else {}
