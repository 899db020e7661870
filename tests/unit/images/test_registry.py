from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from pycontainerd.core.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PycontainerdError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from pycontainerd.core.reference import parse
from pycontainerd.core.transfer import AuthChallenge, AuthType, Credentials, RegistryOptions
from pycontainerd.core.values import Descriptor
from pycontainerd.images.auth import parse_challenges
from pycontainerd.images.registry import Registry
from tests.support.fakeregistry import Answer, FakeRegistry, Request, fake_registry
from tests.support.images import Layer, Member, build

IMAGE = build([Layer.of([Member("a", data=b"1" * 5000)])])


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with fake_registry() as found:
        found.add(IMAGE, "lib/app", "1")
        yield found


def client(fake: FakeRegistry, name: str = "lib/app:1", **options: object) -> Registry:
    return Registry(parse(f"{fake.host}/{name}"), RegistryOptions(**options), sleep=lambda _: None)  # type: ignore[arg-type]


def layer() -> Descriptor:
    blob = IMAGE.layers[0].blob
    digest = next(key for key, data in IMAGE.blobs.items() if data == blob)
    return Descriptor(IMAGE.layers[0].media_type, digest, len(blob))


def test_resolve_and_fetch(fake: FakeRegistry) -> None:
    registry = client(fake)
    root = registry.resolve()
    assert (root.digest, root.media_type) == (IMAGE.digest, IMAGE.descriptor["mediaType"])
    assert b"".join(registry.fetch(root)) == IMAGE.blobs[root.digest]
    assert b"".join(registry.fetch(layer())) == IMAGE.layers[0].blob
    assert b"".join(registry.fetch(layer(), 10)) == IMAGE.layers[0].blob[10:]
    registry.close()


def test_a_registry_that_tells_little_to_head(fake: FakeRegistry) -> None:
    fake.hooks.append(lambda request: Answer(200) if request.method == "HEAD" else None)
    assert client(fake).resolve().digest == IMAGE.digest


def test_the_digest_asked_for_is_the_digest_that_comes(fake: FakeRegistry) -> None:
    other = "sha256:" + "0" * 64
    fake.manifests[f"lib/app/{other}"] = IMAGE.blobs[IMAGE.digest]
    with pytest.raises(InvalidArgument, match="answered with"):
        client(fake, f"lib/app@{other}").resolve()
    assert client(fake, f"lib/app:1@{IMAGE.digest}").resolve().digest == IMAGE.digest


def test_a_server_without_ranges_is_read_from_the_start(fake: FakeRegistry) -> None:
    fake.hooks.append(lambda r: Answer(200, fake.blobs[layer().digest]) if "blobs" in r.path else None)
    assert b"".join(client(fake).fetch(layer(), 100)) == IMAGE.layers[0].blob[100:]


def test_a_wrong_range_is_not_taken(fake: FakeRegistry) -> None:
    content = {"Content-Range": "bytes 0-5/6"}
    fake.hooks.append(lambda r: Answer(206, b"x", content) if "blobs" in r.path else None)
    with pytest.raises(Unavailable, match="another range"):
        client(fake).fetch(layer(), 100)


def test_a_cut_stream_is_an_error(fake: FakeRegistry) -> None:
    data = fake.blobs[layer().digest]
    fake.hooks.append(lambda r: Answer(200, data, cut=5) if "blobs" in r.path else None)
    with pytest.raises(Unavailable, match="broke"):
        b"".join(client(fake).fetch(layer()))


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotFound), (401, Unauthenticated), (403, PermissionDenied), (429, ResourceExhausted), (500, Unavailable),
     (503, Unavailable), (418, Unavailable)],
)  # fmt: skip
def test_statuses_become_errors(fake: FakeRegistry, status: int, error: type[PycontainerdError]) -> None:
    body = b'{"errors":[{"message":"the reason\\nin lines"}]}'
    fake.hooks.append(lambda _: Answer(status, body))
    with pytest.raises(error) as caught:
        list(client(fake).fetch(IMAGE_DESCRIPTOR))
    assert "\n" not in str(caught.value)


IMAGE_DESCRIPTOR = Descriptor(str(IMAGE.descriptor["mediaType"]), IMAGE.digest, 1)


def test_what_passes_is_tried_again(fake: FakeRegistry) -> None:
    failures = [Answer(503), Answer(429, headers={"Retry-After": "3"}), Answer(500)]
    waits: list[float] = []
    fake.hooks.append(lambda _: failures.pop() if failures else None)
    registry = Registry(parse(f"{fake.host}/lib/app:1"), RegistryOptions(), sleep=waits.append)
    assert registry.resolve().digest == IMAGE.digest
    assert waits[1] == 3.0


def test_a_closed_port_is_said_in_one_line() -> None:
    waits: list[float] = []
    registry = Registry(parse("127.0.0.1:1/a/b:1"), RegistryOptions(), sleep=waits.append)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1.*refused"):
        registry.resolve()
    assert waits == []  # nobody was ever there, so nobody is waited for


def token_hook(fake: FakeRegistry, seen: list[Request]) -> None:
    def hook(request: Request) -> Answer | None:
        if request.path.startswith("/token"):
            seen.append(request)
            return Answer(200, b'{"token":"sesame"}')
        if request.headers.get("authorization") != "Bearer sesame":
            challenge = f'Bearer realm="http://{fake.host}/token",service="svc",scope="repository:lib/app:pull"'
            return Answer(401, headers={"WWW-Authenticate": challenge})
        return None

    fake.hooks.append(hook)


def test_the_token_flow_for_anybody(fake: FakeRegistry) -> None:
    seen: list[Request] = []
    token_hook(fake, seen)
    registry = client(fake)
    assert registry.resolve().digest == IMAGE.digest
    assert b"".join(registry.fetch(layer())) == IMAGE.layers[0].blob
    assert len(seen) == 1
    assert seen[0].path == "/token?service=svc&scope=repository%3Alib%2Fapp%3Apull"
    assert "authorization" not in seen[0].headers


def test_the_token_flow_with_a_password(fake: FakeRegistry) -> None:
    seen: list[Request] = []
    asked: list[AuthChallenge] = []
    token_hook(fake, seen)

    def authenticate(challenge: AuthChallenge) -> Credentials:
        asked.append(challenge)
        return Credentials(AuthType.CREDENTIALS, "user", "pass")

    assert client(fake, authenticate=authenticate).resolve().digest == IMAGE.digest
    assert seen[0].headers["authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
    assert [(each.host, each.reference) for each in asked] == [(fake.host, f"{fake.host}/lib/app:1")]


def test_the_token_flow_with_an_identity_token(fake: FakeRegistry) -> None:
    seen: list[Request] = []
    token_hook(fake, seen)
    client(fake, authenticate=lambda _: Credentials(AuthType.REFRESH, "", "identity")).resolve()
    assert (seen[0].method, seen[0].headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")


def test_basic_authentication_and_ready_made_headers(fake: FakeRegistry) -> None:
    wanted = "Basic " + base64.b64encode(b"u:p").decode()

    def hook(request: Request) -> Answer | None:
        if request.headers.get("authorization") == wanted:
            return None
        return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    fake.hooks.append(hook)
    for right in (Credentials(AuthType.CREDENTIALS, "u", "p"), Credentials(AuthType.HEADER, "", wanted)):
        assert client(fake, authenticate=lambda _, right=right: right).resolve().digest == IMAGE.digest
    for wrong in (None, lambda _: None, lambda _: Credentials(AuthType.CREDENTIALS, "u", "no")):
        with pytest.raises(Unauthenticated):
            client(fake, authenticate=wrong).resolve()


def test_a_refused_login_says_so(fake: FakeRegistry) -> None:
    challenge = f'Bearer realm="http://{fake.host}/token"'
    fake.hooks.append(
        lambda r: Answer(401) if r.path.startswith("/token") else Answer(401, headers={"WWW-Authenticate": challenge})
    )
    with pytest.raises(Unauthenticated, match="log in again"):
        client(fake, authenticate=lambda _: Credentials(AuthType.CREDENTIALS, "u", "p")).resolve()


def test_redirects_lose_credentials_on_the_way_to_other_hosts(fake: FakeRegistry) -> None:
    with fake_registry() as other:
        other.blobs.update(fake.blobs)
        there = f"http://{other.host}/v2/x/blobs/{layer().digest}"

        def hook(request: Request) -> Answer | None:
            if request.headers.get("authorization") != "secret":
                return Answer(401, headers={"WWW-Authenticate": "Basic realm=x"})
            return Answer(307, headers={"Location": there}) if "blobs" in request.path else None

        fake.hooks.append(hook)
        registry = client(
            fake, authenticate=lambda _: Credentials(AuthType.HEADER, "", "secret"), headers={"X-Secret": "1"}
        )
        assert b"".join(registry.fetch(layer(), 3)) == IMAGE.layers[0].blob[3:]
        assert "authorization" not in other.requests[0].headers
        assert "x-secret" not in other.requests[0].headers
        assert other.requests[0].headers["range"] == "bytes=3-"


def test_redirects_without_end_and_to_other_schemes(fake: FakeRegistry) -> None:
    for target, said in (("/v2/lib/app/manifests/1", "without end"), ("file:///etc/passwd", "redirects to")):
        fake.hooks[:] = [lambda _, target=target: Answer(302, headers={"Location": target})]  # type: ignore[misc]
        with pytest.raises(Unavailable, match=said):
            client(fake).resolve()


def test_mirrors_are_asked_first_and_may_fail(fake: FakeRegistry, tmp_path_factory: pytest.TempPathFactory) -> None:
    certs = tmp_path_factory.mktemp("certs")
    directory = certs / f"{fake.host.replace(':', '_')}_"
    directory.mkdir()
    with fake_registry() as mirror:
        (directory / "hosts.toml").write_text(
            f'[host."http://127.0.0.1:1"]\n[host."http://{mirror.host}"]\ncapabilities = ["pull"]\n'
        )
        mirror.blobs.update(fake.blobs)
        registry = client(fake, host_dir=str(certs))
        assert registry.resolve().digest == IMAGE.digest
        assert b"".join(registry.fetch(layer())) == IMAGE.layers[0].blob
        assert [r.path for r in mirror.requests] == [
            f"/v2/lib/app/blobs/{layer().digest}?ns={fake.host.replace(':', '%3A')}"
        ]
        assert not [r for r in fake.requests if "blobs" in r.path]
        mirror.blobs.clear()
        assert b"".join(registry.fetch(layer())) == IMAGE.layers[0].blob


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Bearer realm="https://a/t",service="s"', [("bearer", {"realm": "https://a/t", "service": "s"})]),
        ("Basic realm=x", [("basic", {"realm": "x"})]),
        ('Negotiate, Basic realm="a, b"', [("negotiate", {}), ("basic", {"realm": "a, b"})]),
        ('Bearer realm="q\\"q" , error="e"', [("bearer", {"realm": 'q"q', "error": "e"})]),
        ('Basic realm="a", Bearer realm="b"', [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        ("", []),
        ('="', []),
    ],
)
def test_challenges(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert [(each.scheme, dict(each.parameters)) for each in parse_challenges(header)] == found
