"""A registry client (OCI distribution spec): resolve a reference, fetch manifests and blobs, resume by range.

Several endpoints (mirrors, then the registry itself) are asked in order. Redirects are followed here, so that
Authorization never travels to another host; answers are bounded; what fails for a moment is tried again.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import urllib3

from pycontainerd.core.digest import of_bytes, split_digest, validate_digest
from pycontainerd.core.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PycontainerdError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from pycontainerd.core.manifest import ACCEPT, INDEXES, MANIFESTS, MAX_DOCUMENT
from pycontainerd.core.values import Descriptor
from pycontainerd.core.version import VERSION
from pycontainerd.images.auth import Authorizer
from pycontainerd.images.hosts import PULL, RESOLVE, Endpoint, endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3.response import BaseHTTPResponse

    from pycontainerd.core.reference import Reference
    from pycontainerd.core.transfer import RegistryOptions

_T = TypeVar("_T")

USER_AGENT = f"pycontainerd/{VERSION}"
ATTEMPTS = 5
"""How often a request is tried that fails for a moment."""
READ_TIMEOUT = 60.0
"""Seconds without a byte after which a connection is given up."""
PIECE = 1 << 20
_REDIRECTS = {301, 302, 303, 307, 308}
_MAX_REDIRECTS = 10
_MAX_WAIT = 30.0
_MAX_ERROR = 4096
_OBJECT = re.compile(r"<?(?:urllib3[.\w]*|HTTPS?Connection\w*)(?:\(.*?\)| object at 0x[0-9a-f]+>?)(?:\))?: ")
_SPOKE_TLS = b"HTTP request to an HTTPS server"


class Registry:
    """The registry behind one reference. Thread-safe; ``close`` drops its connections."""

    def __init__(
        self,
        reference: Reference,
        options: RegistryOptions,
        *,
        proxy: Callable[[str], str] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.reference = reference
        self._endpoints = endpoints(reference.domain, options.host_dir, options.default_scheme)
        self._headers = {"User-Agent": USER_AGENT, **options.headers}
        self._proxy, self._sleep = proxy, sleep
        self._scheme = options.default_scheme
        self._upgraded: dict[str, Endpoint] = {}
        self._reached: set[str] = set()
        self._lock = threading.Lock()
        self._pools: dict[tuple[object, ...], urllib3.PoolManager] = {}
        scope = f"repository:{reference.path}:pull"
        self._authorizer = Authorizer(str(reference), scope, options.authenticate, self._send_plain)

    def close(self) -> None:
        """Drop the connections."""
        for pool in self._pools.values():
            pool.clear()

    def resolve(self) -> Descriptor:
        """What the reference means now. Raises NotFound and what ``fetch`` raises."""
        wanted = self.reference.object
        if not wanted:
            raise InvalidArgument("image reference", self.reference, "it needs a tag or a digest")
        path = f"manifests/{quote(wanted, safe=':')}"
        headers = {"Accept": ", ".join(ACCEPT)}
        return self._each_endpoint(RESOLVE, lambda endpoint: self._resolve(endpoint, path, headers, wanted))

    def _resolve(self, endpoint: Endpoint, path: str, headers: Mapping[str, str], wanted: str) -> Descriptor:
        response = self._ask(endpoint, "HEAD", path, headers)
        response.close()
        digest = response.headers.get("Docker-Content-Digest", "")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        size = response.headers.get("Content-Length", "")
        expected = self.reference.digest
        if not (digest or expected) or not size.isdigit() or media_type not in MANIFESTS | INDEXES:
            # a registry that tells little in answer to HEAD: look at the document itself
            response = self._ask(endpoint, "GET", path, headers)
            body = _bounded(response, wanted)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            digest, size = of_bytes(body, split_digest(expected)[0] if expected else "sha256"), str(len(body))
        if expected and digest and digest != expected:
            raise InvalidArgument("image", self.reference, f"the registry answered with {digest}")
        return Descriptor(media_type, validate_digest(expected or digest), int(size))

    def fetch(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a manifest or blob from ``offset`` on. They are not verified here.

        Raises NotFound, Unauthenticated, PermissionDenied, Unavailable (also in mid-stream: resume then).
        """
        is_manifest = descriptor.media_type in MANIFESTS | INDEXES
        path = f"{'manifests' if is_manifest else 'blobs'}/{descriptor.digest}"
        headers = {"Accept": f"{descriptor.media_type or '*/*'}, */*"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        response = self._each_endpoint(PULL, lambda endpoint: self._ask(endpoint, "GET", path, headers))
        skip = offset if response.status == 200 else 0  # a server that knows no ranges starts from the beginning
        if offset and response.status == 206:
            given = response.headers.get("Content-Range", f"bytes {offset}-").partition(" ")[2].partition("-")[0]
            if given != str(offset):
                response.close()
                raise Unavailable(
                    "registry", self.reference.domain, f"it answered another range of {descriptor.digest}"
                )
        return self._stream(response, skip)

    def _stream(self, response: BaseHTTPResponse, skip: int) -> Iterator[bytes]:
        try:
            while piece := response.read(PIECE):
                if skip:
                    piece, skip = piece[skip:], max(0, skip - len(piece))
                if piece:
                    yield piece
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable("registry", self.reference.domain, f"the connection broke: {_reason(error)}") from error
        finally:
            response.close()

    def _each_endpoint(self, capability: str, act: Callable[[Endpoint], _T]) -> _T:
        """Ask one endpoint after the other; the failure of the last, the registry itself, is the one that is told."""
        able = [endpoint for endpoint in self._endpoints if capability in endpoint.capabilities]
        if not able:
            raise Unavailable("registry", self.reference.domain, f"its hosts.toml lets nobody {capability}")
        for endpoint in able[:-1]:
            try:
                return act(endpoint)
            except PycontainerdError:
                continue  # what a mirror lacks or refuses, the next may have
        return act(able[-1])

    def _ask(self, endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """One request with retries and authorization; returns an answer of the 200s, unread."""
        endpoint = self._upgraded.get(endpoint.base, endpoint)
        challenged = failures = 0
        while True:
            sent = self._authorizer.header(endpoint.host)
            try:
                response = self._send(endpoint, method, path, {**headers, **({"Authorization": sent} if sent else {})})
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failures += 1
                if failures >= ATTEMPTS or not _passing(error, endpoint.host in self._reached):
                    raise Unavailable("registry", endpoint.host, _reason(error)) from error
                self._sleep(0.1 * 2**failures)
                continue
            self._reached.add(endpoint.host)
            if response.status < 300:
                return response
            body = _peek(response)
            if response.status == 401 and challenged < 2:
                challenged += 1
                challenges = tuple(response.headers.getlist("WWW-Authenticate"))
                if self._authorizer.challenged(endpoint.host, challenges, sent):
                    continue
            elif response.status == 400 and _SPOKE_TLS in body and self._may_upgrade(endpoint):
                endpoint = self._upgraded[endpoint.base]
                continue
            elif response.status == 429 or response.status >= 500:
                failures += 1
                if failures < ATTEMPTS:
                    self._sleep(_delay(response, failures))
                    continue
            raise self._refusal(endpoint, response, body, path)

    def _may_upgrade(self, endpoint: Endpoint) -> bool:
        """A registry on loopback that turns out to speak TLS is asked again so; its certificate proves nothing."""
        if self._scheme or not endpoint.base.startswith("http://"):
            return False
        secure = replace(endpoint, base="https" + endpoint.base[4:], skip_verify=True)
        self._upgraded[endpoint.base] = secure
        return True

    def _send(self, endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """One request, redirects followed. Raises urllib3's errors, OSError, Unavailable."""
        url = f"{endpoint.base}/{self.reference.path}/{path}"
        if endpoint.mirror_of and endpoint.host != endpoint.mirror_of:
            url += f"?ns={quote(endpoint.mirror_of)}"
        ours = {**self._headers, "Accept-Encoding": "identity", **endpoint.headers, **headers}
        for _ in range(_MAX_REDIRECTS):
            pool = self._pool(endpoint, url)
            response = pool.request(
                method, url, headers=ours, redirect=False, preload_content=False, retries=False, decode_content=False
            )
            target = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or not target:
                return response
            response.drain_conn()
            there = urljoin(url, target)
            here, new = urlsplit(url), urlsplit(there)
            if new.scheme not in {"http", "https"} or (here.scheme == "https" and new.scheme == "http"):
                raise Unavailable("registry", endpoint.host, f"it redirects to {new.scheme}://{new.netloc}")
            if new.netloc != here.netloc:
                kept = ("Accept", "Accept-Encoding", "Range", "User-Agent")
                ours = {key: value for key, value in ours.items() if key in kept}
            url = there
        raise Unavailable("registry", endpoint.host, "it redirects without end")

    def _send_plain(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        """A request to a token server."""
        pool = self._pool(self._endpoints[-1], url)
        try:
            response = pool.request(
                method, url, headers={"User-Agent": USER_AGENT, **headers}, body=body, redirect=False, retries=False,
                preload_content=False,
            )  # fmt: skip
            return response.status, response.read(MAX_DOCUMENT)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable("token server", urlsplit(url).netloc, _reason(error)) from error

    def _pool(self, endpoint: Endpoint, url: str) -> urllib3.PoolManager:
        """The connections for a URL; an endpoint's certificates serve its own host alone."""
        parts = urlsplit(url)
        own = parts.netloc == endpoint.host
        proxy = self._proxy(url) if self._proxy is not None else ""
        key = (own and endpoint.base, parts.scheme, proxy)
        with self._lock:
            found = self._pools.get(key)
            if found is None:
                context = _tls(endpoint if own else None) if parts.scheme == "https" else None
                timeout = urllib3.Timeout(connect=endpoint.dial_timeout, read=READ_TIMEOUT)
                make = partial(urllib3.ProxyManager, proxy) if proxy else urllib3.PoolManager
                found = make(num_pools=4, maxsize=16, timeout=timeout, ssl_context=context)
                self._pools[key] = found
            return found

    def _refusal(self, endpoint: Endpoint, response: BaseHTTPResponse, body: bytes, path: str) -> PycontainerdError:
        """The error for a status, with what the registry says of it."""
        said = _message(body)
        kind, _, what = path.partition("/")
        reference = self.reference
        if response.status == 404:
            if kind == "manifests" and what == reference.object:
                return NotFound("image", reference, said)
            return NotFound("content", what, f"registry {endpoint.host} does not have it")
        if response.status == 401:
            return Unauthenticated("image", reference, said or "it does not exist or the registry wants a login")
        if response.status == 403:
            return PermissionDenied("image", reference, said or f"registry {endpoint.host} denies access")
        if response.status == 429:
            return ResourceExhausted("registry", endpoint.host, said or "too many requests; log in or wait")
        return Unavailable("registry", endpoint.host, f"it answered {response.status}" + (f": {said}" if said else ""))


def _tls(endpoint: Endpoint | None) -> ssl.SSLContext:
    """The TLS settings of an endpoint. Raises InvalidArgument for a certificate file that cannot be read."""
    context = ssl.create_default_context()
    if endpoint is None:
        return context
    for path in (*endpoint.ca, *(part for pair in endpoint.client for part in pair if part)):
        if not os.access(path, os.R_OK):
            raise InvalidArgument("certificate file", path, "it cannot be read")
    try:
        for path in endpoint.ca:
            context.load_verify_locations(path)
        for certificate, key in endpoint.client:
            context.load_cert_chain(certificate, key or None)
    except (ssl.SSLError, OSError) as error:
        raise InvalidArgument("certificates of registry", endpoint.host, str(error)) from error
    if endpoint.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _bounded(response: BaseHTTPResponse, what: str) -> bytes:
    """The whole of a document. Raises InvalidArgument when it is too large."""
    parts: list[bytes] = []
    size = 0
    try:
        while piece := response.read(PIECE):
            parts.append(piece)
            size += len(piece)
            if size > MAX_DOCUMENT:
                raise InvalidArgument("image manifest", what, f"larger than {MAX_DOCUMENT} bytes")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable("registry", hint=f"the connection broke: {_reason(error)}") from error
    finally:
        response.close()
    return b"".join(parts)


def _peek(response: BaseHTTPResponse) -> bytes:
    """The start of an error's body."""
    try:
        return response.read(_MAX_ERROR) or b""
    except (urllib3.exceptions.HTTPError, OSError):
        return b""
    finally:
        response.close()


def _message(body: bytes) -> str:
    """What the registry says in its own words, fit for one line."""
    try:
        first = json.loads(body)["errors"][0]
        text = str(first.get("message") or first.get("code") or "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""
    return " ".join(text.split())[:200]


def _delay(response: BaseHTTPResponse, failures: int) -> float:
    after = response.headers.get("Retry-After", "")
    return min(float(after), _MAX_WAIT) if after.isdigit() else 0.2 * 2**failures


def _passing(error: Exception, reached: bool) -> bool:
    """Whether the failure may pass: not a bad certificate, not an unknown name, not a port where nobody ever was."""
    text = str(error)
    if not reached and "Connection refused" in text:
        return False
    return not any(mark in text for mark in ("CERTIFICATE_VERIFY", "Name or service not known", "WRONG_VERSION"))


def _reason(error: Exception) -> str:
    """The innermost reason, in one line and without the names of Python objects."""
    inner = getattr(error, "reason", None) or error
    text = _OBJECT.sub("", " ".join(str(inner).split()))
    return text[:200] or type(error).__name__
