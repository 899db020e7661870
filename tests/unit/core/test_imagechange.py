"""Dockerfile instructions on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.imagechange import apply

CASES: dict[str, Any] = {
    'CMD ["a", "b"]': {"Cmd": ["a", "b"]},
    "cmd a b": {"Cmd": ["/bin/sh", "-c", "a b"]},
    'ENTRYPOINT ["x"]': {"Entrypoint": ["x"]},
    'ENV A=1 B="two words"': {"Env": ["A=1", "B=two words"]},
    "ENV A one two": {"Env": ["A=one two"]},
    "LABEL k=v": {"Labels": {"k": "v"}},
    "EXPOSE 80 53/udp": {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}},
    "USER daemon": {"User": "daemon"},
    "VOLUME /a /b": {"Volumes": {"/a": {}, "/b": {}}},
    'VOLUME ["/a"]': {"Volumes": {"/a": {}}},
    "WORKDIR /srv": {"WorkingDir": "/srv"},
    "WORKDIR srv": {"WorkingDir": "/srv"},
    "STOPSIGNAL SIGINT": {"StopSignal": "SIGINT"},
    "ONBUILD RUN x": {"OnBuild": ["RUN x"]},
    "HEALTHCHECK NONE": {"Healthcheck": {"Test": ["NONE"]}},
    "HEALTHCHECK --interval=5s --retries=2 CMD true": {
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5 * 10**9, "Retries": 2}
    },
}


@pytest.mark.parametrize("text", CASES)
def test_instructions(text: str) -> None:
    config: dict[str, Any] = {}
    apply(config, text)
    assert config == CASES[text]


def test_later_ones_win() -> None:
    config: dict[str, Any] = {"Env": ["A=0", "B=0"], "Labels": {"k": "0"}}
    apply(config, "ENV A=1")
    apply(config, "LABEL k=1 l=2")
    assert config == {"Env": ["B=0", "A=1"], "Labels": {"k": "1", "l": "2"}}


@pytest.mark.parametrize("text", ["", "RUN x", "CMD", "EXPOSE http", "HEALTHCHECK SOMETIMES", 'ENV A="', "FROM x"])
def test_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        apply({}, text)
