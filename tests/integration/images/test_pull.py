"""Pulling and unpacking: with Debian's registry, and with one that misbehaves."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import pytest

from pycontainerd.core.errors import (
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PycontainerdError,
    Unavailable,
)
from pycontainerd.core.transfer import ImageReference, ImageTarget, Progress, RegistryOptions, Unpack
from pycontainerd.core.values import Platform
from tests.support import images as make
from tests.support.engines import NAMESPACE, Engines
from tests.support.fakeregistry import Answer, FakeRegistry, Request
from tests.support.images import Built, Layer, Member
from tests.support.registry import RegistryServer
from tests.support.trees import tree

pytestmark = pytest.mark.root

AMD64 = Platform("linux", "amd64")
NAME = "docker.io/library/app:1"


def target(*snapshotters: str, **more: object) -> ImageTarget:
    unpacks = tuple(Unpack(AMD64, name) for name in snapshotters)
    return ImageTarget(NAME, platforms=(AMD64,), unpacks=unpacks, **more)  # type: ignore[arg-type]


def pull(made: Engines, reference: str, to: ImageTarget, seen: list[Progress] | None = None) -> str:
    report = seen.append if seen is not None else lambda _: None
    (image, *_) = made.transfers.pull(NAMESPACE, reference, to, registry=RegistryOptions(), progress=report)
    return image.target.digest


def small() -> Built:
    return make.build([Layer.of([Member("a/", "dir"), Member("a/f", data=os.urandom(3000))])])


def nothing_is_left(made: Engines) -> None:
    assert not made.leases.list(NAMESPACE)
    for store in made.snapshotters.values():
        assert not [info.name for info in store.list(NAMESPACE) if info.name.startswith(("extract", "model"))]
    assert not os.path.exists(made.workers.scratch) or not os.listdir(made.workers.scratch)


@pytest.mark.parametrize("snapshotter", ["overlayfs", "native"])
@pytest.mark.parametrize("compression", ["gzip", "zstd", ""])
def test_busybox_from_a_real_registry(
    made: Engines, server: RegistryServer, snapshotter: str, compression: str
) -> None:
    image = make.busybox(compression)
    reference = server.push(image, "library/busybox", f"c{compression}")
    seen: list[Progress] = []
    assert pull(made, reference, target(snapshotter), seen) == image.digest
    stored = made.images.get(NAMESPACE, NAME)
    assert stored.target.digest == image.digest
    with made.mounted(snapshotter, image.layers[0].diff_id) as root:
        assert (root / "bin/busybox").read_bytes() == make.BUSYBOX.read_bytes()
    labels = made.content.info(NAMESPACE, image.config).labels
    assert labels[f"containerd.io/gc.ref.snapshot.{snapshotter}"] == image.layers[0].diff_id
    layer = next(key for key, data in image.blobs.items() if data == image.layers[0].blob)
    assert made.content.info(NAMESPACE, layer).labels == {
        "containerd.io/uncompressed": image.layers[0].diff_id,
        "containerd.io/distribution.source.127.0.0.1": "library/busybox",
    }
    manifest = made.content.info(NAMESPACE, image.digest).labels
    assert manifest["containerd.io/gc.ref.content.config"] == image.config
    assert manifest["containerd.io/gc.ref.content.l.0"] == layer
    events = [(p.event.partition(" from ")[0], p.name.partition("-")[0]) for p in seen]
    for event in (("Resolving", ""), ("downloading", "layer"), ("extracting", "layer"), ("extracted", "layer")):
        assert event in events
    assert (events[-2][0], events[-1][0]) == ("Completed pull", "saved")
    nothing_is_left(made)


def test_a_second_pull_fetches_nothing(made: Engines, fake: FakeRegistry) -> None:
    image = small()
    reference = fake.add(image, "app", "1")
    pull(made, reference, target("overlayfs"))
    fake.requests.clear()
    seen: list[Progress] = []
    pull(made, reference, target("overlayfs", "native"), seen)
    assert [request.method for request in fake.requests] == ["HEAD"]
    assert {p.event for p in seen if p.name.startswith("layer")} >= {"already exists", "extracted"}


CHAIN: list[list[Member]] = [
    [
        Member("etc/", "dir", mode=0o711),
        Member("etc/gone", data=b"1"),
        Member("etc/kept", data=b"1"),
        Member("dir/", "dir", mode=0o750, uid=5),
        Member("dir/old", data=b"1"),
        Member("deep/er/", "dir"),
        Member("link", "symlink", link="dir"),
    ],
    [
        Member("etc/.wh.gone"),
        Member("dir/", "dir", mode=0o700),
        Member("dir/.wh..wh..opq"),
        Member("dir/new", data=b"2"),
    ],
    [Member("etc/gone", data=b"3"), Member("dir/third", data=b"3"), Member("deep/er/implied/x", data=b"3")],
    [Member(".wh.dir"), Member("dir/", "dir", mode=0o755), Member("dir/fourth", data=b"4"), Member("deep/.wh.er")],
    [Member("a", data=b"5"), Member("b", "link", link="a"), Member("etc/kept", "symlink", link="gone")],
]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_many_layers_at_once_make_the_same_tree_as_one_after_the_other(
    made: Engines, fake: FakeRegistry, compression: str
) -> None:
    image = make.build([Layer.of(members, compression) for members in CHAIN])
    reference = fake.add(image, "chain")
    assert made.unpacker._rebasing == ["overlayfs"]
    pull(made, reference, target("overlayfs", "native"))
    label = made.content.info(NAMESPACE, image.config).labels
    chain = label["containerd.io/gc.ref.snapshot.overlayfs"]
    assert label["containerd.io/gc.ref.snapshot.native"] == chain
    with made.mounted("overlayfs", chain) as root:
        together = tree(root, times=False)
    with made.mounted("native", chain) as root:
        alone = tree(root, times=False)
    assert together == alone
    assert sorted(path for path in together if "/" not in path) == ["a", "b", "deep", "dir", "etc", "link"]
    assert sorted(path for path in together if path.startswith("dir/")) == ["dir/fourth"]
    nothing_is_left(made)


def test_implied_directories_take_the_parents_mode_in_parallel_too(made: Engines, fake: FakeRegistry) -> None:
    layers = [
        [Member("data/", "dir", mode=0o1777, uid=7, mtime=1000), Member("data/x")],
        [Member("data/y/z/f")],
        [Member("data/g"), Member("data/y/h")],
    ]
    image = make.build([Layer.of(members) for members in layers])
    pull(made, fake.add(image, "implied"), target("overlayfs"))
    chain = made.content.info(NAMESPACE, image.config).labels["containerd.io/gc.ref.snapshot.overlayfs"]
    with made.mounted("overlayfs", chain) as root:
        status = os.stat(root / "data")
        assert (status.st_mode & 0o7777, status.st_uid, status.st_mtime) == (0o1777, 7, 1000)


def test_the_best_platform_is_fetched_and_others_are_not(made: Engines, fake: FakeRegistry) -> None:
    layers = {name: Layer.of([Member(name)]) for name in ("amd64", "arm64", "386")}
    images = [make.build([layer], architecture=name) for name, layer in layers.items()]
    index = make.build_index(images)
    reference = fake.add(index, "multi")
    limited = target("overlayfs", manifest_limit=1)
    assert pull(made, reference, limited) == index.digest
    here = {info.digest for info in made.content.list(NAMESPACE)}
    assert images[0].digest in here
    assert images[0].config in here
    assert not {images[1].digest, images[2].digest} & here
    labels = made.content.info(NAMESPACE, index.digest).labels
    assert [labels[f"containerd.io/gc.ref.content.m.{n}"] for n in range(3)] == [image.digest for image in images]
    pull(made, reference, ImageTarget(NAME))
    assert {image.config for image in images} <= {info.digest for info in made.content.list(NAMESPACE)}


def test_a_platform_that_is_not_offered(made: Engines, fake: FakeRegistry) -> None:
    reference = fake.add(make.build_index([make.build([], architecture="s390x")]), "other")
    with pytest.raises(NotFound, match=r"want linux/amd64, it has linux/s390x"):
        pull(made, reference, target())
    nothing_is_left(made)


def test_all_metadata_of_other_platforms(made: Engines, fake: FakeRegistry) -> None:
    images = [make.build([Layer.of([Member(name)])], architecture=name) for name in ("amd64", "arm64")]
    index = make.build_index(images)
    seen: list[Progress] = []
    pull(made, fake.add(index, "meta"), target(all_metadata=True), seen)
    # Clients draw a tree of this: what names two parents is drawn twice.
    parents = {p.name: p.parents for p in seen if p.parents}
    assert [parents[f"manifest-{image.digest}"] for image in images] == [(f"index-{index.digest}",)] * 2
    assert parents[f"config-{images[1].config}"] == (f"manifest-{images[1].digest}",)
    here = {info.digest for info in made.content.list(NAMESPACE)}
    assert images[1].config in here
    assert not any(data == images[1].layers[0].blob for key, data in images[1].blobs.items() if key in here)


def test_more_names(made: Engines, fake: FakeRegistry) -> None:
    reference = fake.add(small(), "names")
    to = ImageTarget(NAME, {"k": "v"}, extra_references=(ImageReference("docker.io/x/y:2"),))
    made.transfers.pull(NAMESPACE, reference, to, registry=RegistryOptions())
    assert made.images.get(NAMESPACE, "docker.io/x/y:2").labels == {"k": "v"}
    made.transfers.pull(NAMESPACE, reference, ImageTarget(), registry=RegistryOptions())
    assert made.images.get(NAMESPACE, reference).name == reference


def flaky(fake: FakeRegistry, keep: int, times: int) -> list[Request]:
    """Blobs break off after ``keep`` bytes, ``times`` times."""
    broken: list[Request] = []

    def hook(request: Request) -> Answer | None:
        if "/blobs/" not in request.path or len(broken) >= times:
            return None
        data = fake.blobs[request.path.rpartition("/")[2]]
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        rest = data[start:]
        if len(rest) <= keep:
            return None
        broken.append(request)
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        return Answer(206 if start else 200, rest, headers, cut=len(rest) - keep)

    fake.hooks.append(hook)
    return broken


def test_broken_connections_are_taken_up_where_they_ended(made: Engines, fake: FakeRegistry) -> None:
    image = make.build([Layer.of([Member("f", data=os.urandom(300_000))])])
    reference = fake.add(image, "flaky")
    broken = flaky(fake, 40_000, 6)
    assert pull(made, reference, target("overlayfs")) == image.digest
    ranges = [request.headers.get("range", "") for request in broken]
    assert ranges[:3] == ["", "bytes=40000-", "bytes=80000-"]


def test_a_connection_that_never_gets_on_is_given_up(made: Engines, fake: FakeRegistry) -> None:
    reference = fake.add(small(), "dead")
    flaky(fake, 0, 1000)
    with pytest.raises(Unavailable):
        pull(made, reference, target("overlayfs"))
    nothing_is_left(made)


@pytest.mark.parametrize("bend", [lambda d: d[:-1] + bytes([d[-1] ^ 1]), lambda d: bytes(len(d))])
def test_wrong_bytes_are_never_kept(made: Engines, fake: FakeRegistry, bend: object) -> None:
    image = small()
    reference = fake.add(image, "wrong")
    layer = next(key for key, data in image.blobs.items() if data == image.layers[0].blob)
    fake.blobs[layer] = bend(fake.blobs[layer])  # type: ignore[operator]
    with pytest.raises(FailedPrecondition, match=layer[:20]):
        pull(made, reference, target("overlayfs"))
    assert layer not in {info.digest for info in made.content.list(NAMESPACE)}
    with pytest.raises(NotFound):
        made.images.get(NAMESPACE, NAME)
    assert not made.content.statuses(NAMESPACE)
    fake.blobs[layer] = image.layers[0].blob
    assert pull(made, reference, target("overlayfs")) == image.digest


def test_a_blob_longer_or_shorter_than_announced(made: Engines, fake: FakeRegistry) -> None:
    image = small()
    reference = fake.add(image, "sizes")
    layer = next(key for key, data in image.blobs.items() if data == image.layers[0].blob)
    fake.blobs[layer] = image.layers[0].blob + b"more"
    with pytest.raises(InvalidArgument, match="more than announced"):
        pull(made, reference, target())
    fake.blobs[layer] = image.layers[0].blob[:-4]
    with pytest.raises(PycontainerdError):
        pull(made, reference, target())
    nothing_is_left(made)


def test_a_manifest_with_another_digest(made: Engines, fake: FakeRegistry) -> None:
    image, other = small(), small()
    reference = fake.add(image, "lying")
    fake.manifests[f"lying/{image.digest}"] = other.blobs[other.digest]
    with pytest.raises((FailedPrecondition, InvalidArgument)):
        pull(made, reference, target())
    assert not list(made.content.list(NAMESPACE))


def test_a_layer_that_is_not_what_the_config_says(made: Engines, fake: FakeRegistry) -> None:
    layer = Layer.of([Member("f")])
    layer.diff_id = "sha256:" + "0" * 64
    with pytest.raises(InvalidArgument, match="its config says"):
        pull(made, fake.add(make.build([layer]), "diffid"), target("overlayfs"))
    nothing_is_left(made)
    assert not list(made.snapshotters["overlayfs"].list(NAMESPACE))


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_one_bad_layer_of_several_leaves_no_snapshot_behind(made: Engines, fake: FakeRegistry, bad: int) -> None:
    layers = [Layer.of([Member(f"f{n}")]) for n in range(3)]
    layers[bad] = Layer.of([Member("../escape")])
    with pytest.raises(InvalidArgument, match="leaves the root"):
        pull(made, fake.add(make.build(layers), "bad"), target("overlayfs"))
    nothing_is_left(made)
    assert len(list(made.snapshotters["overlayfs"].list(NAMESPACE))) <= bad


def test_unknown_names_and_snapshotters(made: Engines, fake: FakeRegistry) -> None:
    reference = fake.add(small(), "known")
    with pytest.raises(NotFound, match="unknown"):
        pull(made, f"{fake.host}/unknown:1", target())
    fake.requests.clear()
    with pytest.raises(NotFound, match="snapshotter"):
        pull(made, reference, target("zfs"))
    assert not fake.requests
    with pytest.raises(InvalidArgument, match="say which registry"):
        pull(made, "busybox", target())
    nothing_is_left(made)


def test_the_caller_may_give_up(made: Engines, fake: FakeRegistry) -> None:
    reference = fake.add(make.build([Layer.of([Member("f", data=os.urandom(200_000))])]), "cancel")

    def report(progress: Progress) -> None:
        if progress.event == "downloading":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        made.transfers.pull(NAMESPACE, reference, target(), registry=RegistryOptions(), progress=report)
    nothing_is_left(made)


def test_two_pulls_of_one_image_share_the_work(made: Engines, fake: FakeRegistry) -> None:
    image = make.build([Layer.of([Member(f"f{n}", data=os.urandom(100_000))]) for n in range(3)])
    reference = fake.add(image, "twice")
    results: list[object] = []

    def run() -> None:
        try:
            results.append(pull(made, reference, target("overlayfs")))
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [image.digest] * 4
    fetched = [request.path for request in fake.requests if "/blobs/" in request.path]
    assert len(fetched) == len(set(fetched))
    nothing_is_left(made)


def names(made: Engines) -> Sequence[str]:
    return [image.name for image in made.images.list(NAMESPACE)]


def test_a_login_is_asked_for_where_the_registry_wants_one(made: Engines, fake: FakeRegistry) -> None:
    from pycontainerd.core.transfer import AuthType, Credentials

    reference = fake.add(small(), "private")
    fake.hooks.append(
        lambda r: (
            None
            if r.headers.get("authorization", "").startswith("Basic ")
            else Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        )
    )
    options = RegistryOptions(authenticate=lambda _: Credentials(AuthType.CREDENTIALS, "u", "p"))
    made.transfers.pull(NAMESPACE, reference, target("overlayfs"), registry=options)
    assert names(made) == [NAME]
