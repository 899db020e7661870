from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from pycontainerd.core.containers import Container
from pycontainerd.core.errors import NotFound
from pycontainerd.core.images import Image
from pycontainerd.core.values import Descriptor
from pycontainerd.images.labels import LabelScreen
from tests.support.images import Built, Layer, Member, build, build_index

STATUS, LOG = "containerd.io/restart.status", "containerd.io/restart.loguri"
EVIL = {STATUS: "running", LOG: "binary:///bin/sh", "maintainer": "x"}
NOW = datetime(2024, 1, 1, tzinfo=UTC)


class Stores:
    """One image, and its blobs."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self.reads = 0

    def get(self, _namespace: str, name: str) -> Image:
        if name != "there":
            raise NotFound("image", name)
        target = self.built.descriptor
        return Image(name, Descriptor(target["mediaType"], target["digest"], target["size"]))

    def read(self, _namespace: str, digest: str, _limit: int) -> bytes:
        self.reads += 1
        if digest not in self.built.blobs:
            raise NotFound("content", digest)
        return self.built.blobs[digest]


def screened(built: Built, labels: dict[str, str], image: str = "there") -> tuple[dict[str, str], int]:
    stores = Stores(built)
    screen = LabelScreen(cast("Any", stores), cast("Any", stores))
    return dict(screen("n", Container("c", labels=labels, image=image, runtime="r")).labels), stores.reads


def image(labels: Any) -> Built:
    return build([Layer.of([Member("a")])], config={"Labels": labels})


def test_what_the_image_brings_goes() -> None:
    assert screened(image(EVIL), {**EVIL, "a": "b"})[0] == {"maintainer": "x", "a": "b"}


def test_what_the_user_says_stays() -> None:
    mine = {STATUS: "running", LOG: "file:///var/log/x"}
    assert screened(image({}), mine)[0] == mine
    assert screened(image(EVIL), mine)[0] == {LOG: mine[LOG]}
    assert screened(image(EVIL), mine, image="gone")[0] == mine


def test_no_blob_is_read_without_need() -> None:
    assert screened(image(EVIL), {"maintainer": "x"}) == ({"maintainer": "x"}, 0)


def test_every_platform_of_an_index_counts_and_missing_ones_do_not_hide_others() -> None:
    other = build([Layer.of([Member("b")])], config={"Labels": EVIL}, architecture="arm64")
    index = build_index([other, image({})])
    del index.blobs[image({}).digest]
    assert screened(index, dict(EVIL))[0] == {"maintainer": "x"}


@pytest.mark.parametrize("labels", [None, [], "x", {STATUS: 5}, {STATUS: None}])
def test_odd_configs(labels: Any) -> None:
    assert STATUS in screened(image(labels), dict(EVIL))[0]
