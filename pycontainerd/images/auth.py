"""Authorization at registries: challenges parsed, tokens fetched and kept (distribution spec, token authentication).

The client's credentials are asked for once a host, when the registry demands them. A token is fetched by GET with the
password as basic authentication, or by POST when the client gave an identity (refresh) token.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from pycontainerd.core.errors import PermissionDenied, Unauthenticated
from pycontainerd.core.transfer import AuthChallenge, Authenticate, AuthType, Credentials

_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))')
_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[A-Za-z0-9_-]+\s*=|\s*\Z|\s*,)")
_MAX_TOKEN = 1 << 20
CLIENT_ID = "pycontainerd"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way of the WWW-Authenticate header; ``scheme`` and parameter names are lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a WWW-Authenticate header (RFC 9110, 11.6.1); what does not parse is left out."""
    found: list[Challenge] = []
    position = 0
    while match := _SCHEME.match(header, position):
        position = match.end()
        parameters: dict[str, str] = {}
        while pair := _PARAMETER.match(header, position):
            quoted = pair.group(2)
            parameters[pair.group(1).lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else pair.group(3)
            position = pair.end()
        found.append(Challenge(match.group(1).lower(), parameters))
    return found


Send = Callable[[str, str, Mapping[str, str], bytes | None], tuple[int, bytes]]
"""``send(method, url, headers, body)`` → status and body: how tokens are fetched."""


class Authorizer:
    """Authorization of one pull: knows the client's credentials and the tokens fetched so far; thread-safe."""

    def __init__(self, reference: str, scope: str, authenticate: Authenticate | None, send: Send) -> None:
        self._reference, self._scope, self._authenticate, self._send = reference, scope, authenticate, send
        self._headers: dict[str, str] = {}
        self._credentials: dict[str, Credentials] = {}
        self._lock = threading.Lock()

    def header(self, host: str) -> str:
        """The Authorization header to send to ``host``; empty while none is known."""
        return self._headers.get(host, "")

    def challenged(self, host: str, headers: tuple[str, ...], sent: str) -> bool:
        """Answer a 401; True when a repetition may succeed. ``sent`` is the Authorization that was refused.

        Raises Unauthenticated, PermissionDenied with what the token server said.
        """
        with self._lock:
            if self._headers.get(host, "") != sent:
                return True  # another thread has fetched one meanwhile
            challenges = {each.scheme: each for header in headers for each in parse_challenges(header)}
            credentials = self._ask(host, headers)
            if credentials.kind is AuthType.HEADER and credentials.secret:
                value = credentials.secret
            elif "bearer" in challenges:
                value = f"Bearer {self._token(host, challenges['bearer'], credentials)}"
            elif "basic" in challenges and credentials.secret:
                value = _basic(credentials)
            else:
                return False
            if not value or value == sent:
                return False
            self._headers[host] = value
            return True

    def _ask(self, host: str, headers: tuple[str, ...]) -> Credentials:
        found = self._credentials.get(host)
        if found is None:
            found = Credentials()
            if self._authenticate is not None:
                found = self._authenticate(AuthChallenge(host, self._reference, headers)) or found
            self._credentials[host] = found
        return found

    def _token(self, host: str, challenge: Challenge, credentials: Credentials) -> str:
        realm = challenge.parameters.get("realm", "")
        parts = urlsplit(realm)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise Unauthenticated("registry", host, f"its token server {realm!r} is no URL")
        service = challenge.parameters.get("service", "")
        scope = challenge.parameters.get("scope", "") or self._scope
        if credentials.kind is AuthType.REFRESH and credentials.secret:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": credentials.secret,
                "service": service,
                "scope": scope,
                "client_id": CLIENT_ID,
            }
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._send("POST", realm, kind, urlencode(form).encode())
        else:
            query = [("service", service)] if service else []
            query += [("scope", each) for each in scope.split()]
            headers = {"Authorization": _basic(credentials)} if credentials.secret else {}
            separator = "&" if parts.query else "?"
            answer = self._send("GET", realm + separator + urlencode(query), headers, None)
        return _read_token(host, *answer)


def _read_token(host: str, status: int, body: bytes) -> str:
    if status == 401:
        raise Unauthenticated("registry", host, "its token server refuses the credentials; log in again")
    if status == 403:
        raise PermissionDenied("registry", host, "its token server denies access to this repository")
    try:
        document = json.loads(body[:_MAX_TOKEN]) if status == 200 else {}
    except ValueError:
        document = {}
    token = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
    if not isinstance(token, str) or not token or not token.isprintable():
        raise Unauthenticated("registry", host, f"its token server answered {status} and no token")
    return token


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.secret}".encode()
    return "Basic " + base64.b64encode(pair).decode()
