from __future__ import annotations

from pathlib import Path

import pytest

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.images.hosts import endpoints, is_loopback


@pytest.mark.parametrize(
    ("registry", "base"),
    [
        ("docker.io", "https://registry-1.docker.io/v2"),
        ("quay.io", "https://quay.io/v2"),
        ("localhost:5000", "http://localhost:5000/v2"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000/v2"),
        ("[::1]:5000", "http://[::1]:5000/v2"),
        ("localhost:443", "https://localhost:443/v2"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000/v2"),
    ],
)
def test_without_files_loopback_alone_is_plain(registry: str, base: str) -> None:
    assert [endpoint.base for endpoint in endpoints(registry)] == [base]


def test_the_scheme_can_be_given() -> None:
    assert endpoints("10.0.0.1:5000", default_scheme="http")[0].base == "http://10.0.0.1:5000/v2"
    assert endpoints("localhost:5000", default_scheme="https")[0].base == "https://localhost:5000/v2"


def write(root: Path, name: str, text: str) -> str:
    directory = root / name
    directory.mkdir(parents=True)
    (directory / "hosts.toml").write_text(text)
    return str(root)


def test_mirrors_come_first_in_their_order(tmp_path: Path) -> None:
    text = """
        server = "https://registry-1.docker.io"
        [host."https://mirror.example"]
          capabilities = ["pull"]
          ca = ["one.pem", "/abs/two.pem"]
          client = [["c.cert", "c.key"]]
          skip_verify = true
          [host."https://mirror.example".header]
            x-a = "1"
            x-b = ["2", "3"]
        [host."http://10.0.0.9:5000/v2/proxy"]
          override_path = true
          dial_timeout = "5s"
    """
    found = endpoints("docker.io", write(tmp_path, "docker.io", text))
    assert [endpoint.base for endpoint in found] == [
        "https://mirror.example/v2",
        "http://10.0.0.9:5000/v2/proxy",
        "https://registry-1.docker.io/v2",
    ]
    first, second, last = found
    directory = str(tmp_path / "docker.io")
    assert first.capabilities == {"pull"}
    assert first.ca == (f"{directory}/one.pem", "/abs/two.pem")
    assert first.client == ((f"{directory}/c.cert", f"{directory}/c.key"),)
    assert first.skip_verify
    assert dict(first.headers) == {"x-a": "1", "x-b": "2, 3"}
    assert (first.mirror_of, second.mirror_of, last.mirror_of) == ("docker.io", "docker.io", "")
    assert second.dial_timeout == 5.0


def test_settings_at_the_top_are_the_registrys_own(tmp_path: Path) -> None:
    (found,) = endpoints("r.example:5000", write(tmp_path, "r.example_5000_", 'skip_verify = true\nca = "ca.crt"\n'))
    assert found.base == "https://r.example:5000/v2"
    assert found.skip_verify
    assert found.ca == (f"{tmp_path}/r.example_5000_/ca.crt",)


def test_default_directory_and_docker_certificates(tmp_path: Path) -> None:
    write(tmp_path, "_default", '[host."https://all.example"]\n')
    assert len(endpoints("any.example", str(tmp_path))) == 2
    docker = tmp_path / "d.example"
    docker.mkdir()
    for name in ("ca.crt", "client.cert", "client.key"):
        (docker / name).touch()
    (found,) = endpoints("d.example", str(tmp_path))
    assert found.ca == (f"{docker}/ca.crt",)
    assert found.client == ((f"{docker}/client.cert", f"{docker}/client.key"),)


@pytest.mark.parametrize(
    "text",
    ["not toml", "unknown = 1", '[host."ftp://x"]', '[host."https://x"]\ncapabilities = ["fly"]', "host = 3",
     "server = 3", '[host."https://x"]\nca = [3]', '[host."https://x"]\ndial_timeout = "soon"'],
)  # fmt: skip
def test_mistakes_name_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"hosts\.toml"):
        endpoints("r.example", write(tmp_path, "r.example", text))


def test_a_registry_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    (tmp_path / "hosts.toml").write_text("unknown = 1")
    (tmp_path / "certs").mkdir()
    assert len(endpoints("..", str(tmp_path / "certs"))) == 1


@pytest.mark.parametrize(("name", "loopback"), [("127.9.9.9", True), ("::1", True), ("128.0.0.1", False), ("a", False)])
def test_loopback(name: str, loopback: bool) -> None:
    assert is_loopback(name) is loopback
