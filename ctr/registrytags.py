"""The tags of a repository, asked of its registry (OCI distribution specification, "Listing Tags").

The daemon pulls; which names there are is asked from here, as ``pyctr search`` does, without a login.
"""

from __future__ import annotations

from ctr.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from email.message import Message
    from typing import Any

    from pycontainerd.core.reference import Reference

_PATIENCE = 30
_HUB = "registry-1.docker.io"
_PAGES = 1000
_LARGEST = 16 << 20


def tags(reference: Reference, *, plain: bool = False) -> list[str]:
    """All tags, in the registry's order. Raises Failure when it does not tell them."""
    host = _HUB if reference.domain == "docker.io" else reference.domain
    base = f"{'http' if plain or _is_loopback(host) else 'https'}://{host}"
    path, token, found = f"/v2/{reference.path}/tags/list?n=1000", "", list[str]()
    for _ in range(_PAGES):
        document, headers, token = _ask(base + path, reference, token)
        found += [str(tag) for tag in document.get("tags") or ()]
        path = _next(headers.get("Link") or "", base)
        if not path:
            return found
    raise Failure(f"{reference.domain} lists more tags of {reference.path} than can be", "pull the ones you need")


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name in ("localhost", "[::1]") or name.startswith("127.")


def _next(link: str, base: str) -> str:
    """The path of the next page out of a Link header, empty for none. It stays with the registry that was asked."""
    target, _, kind = link.partition(">")
    target = target.strip().removeprefix("<").removeprefix(base)
    return target if 'rel="next"' in kind and target.startswith("/") else ""


def _ask(url: str, reference: Reference, token: str) -> tuple[dict[str, Any], Message, str]:
    """The document at an address, the headers of the answer, and the token it took."""
    from http.client import HTTPException
    from json import loads
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    name = f"tags of {reference.domain}/{reference.path}"
    try:
        for _ in range(2):
            request = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
            try:
                with urlopen(request, timeout=_PATIENCE) as answer:
                    document = loads(answer.read(_LARGEST))
                    return document if isinstance(document, dict) else {}, answer.headers, token
            except HTTPError as error:
                realm = error.headers.get("WWW-Authenticate") or ""
                if error.code != 401 or token or not realm.lower().startswith("bearer "):
                    raise
                with urlopen(_token_url(realm[7:]), timeout=_PATIENCE) as answer:
                    given = loads(answer.read(_LARGEST))
                token = str(given.get("token") or given.get("access_token") or "")
    except HTTPError as error:
        hint = "is the name right?" if error.code == 404 else "does it need a login?"
        raise Failure(f"the {name} are not told: {error.code} {error.reason}", hint) from error
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Failure(f"{reference.domain} cannot be reached: {reason}", "is there a way to it from here?") from error
    except (ValueError, AttributeError) as error:
        raise Failure(f"{reference.domain} does not answer as a registry does", "is the name right?") from error
    raise Failure(f"the {name} are not told", "does it need a login?")


def _token_url(challenge: str) -> str:
    """Where a token is had without a name, from the parameters of a Bearer challenge. Raises ValueError."""
    import re
    from urllib.parse import urlencode

    given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not given.get("realm", "").startswith(("http://", "https://")):
        raise ValueError("a challenge without a realm")
    query = urlencode({key: given[key] for key in ("service", "scope") if given.get(key)})
    return f"{given['realm']}{'&' if '?' in given['realm'] else '?'}{query}"
