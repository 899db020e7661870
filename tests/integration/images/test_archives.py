"""Importing and exporting: our own archives, those of other tools, and broken ones."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.core.content import ContentInfo
from pycontainerd.core.errors import Cancelled, InvalidArgument, NotFound, Unimplemented
from pycontainerd.core.transfer import ExportOptions, ImageReference, ImageTarget, Progress, Unpack
from pycontainerd.core.values import Platform
from tests.support import images as make
from tests.support.engines import NAMESPACE, Engines
from tests.support.images import Layer, Member

pytestmark = pytest.mark.root

AMD64 = Platform("linux", "amd64")
UNPACK = ImageTarget(unpacks=(Unpack(AMD64),))
NAME = "docker.io/library/app:1"


def load(made: Engines, data: bytes, target: ImageTarget = UNPACK, **more: Any) -> list[str]:
    images = made.transfers.import_archive(NAMESPACE, io.BytesIO(data), target, **more)
    return [image.name for image in images]


def save(made: Engines, *names: str, namespace: str = NAMESPACE, **options: Any) -> bytes:
    out = io.BytesIO()
    more = tuple(ImageReference(name) for name in names[1:])
    source = ImageTarget(names[0], extra_references=more)
    made.transfers.export_archive(namespace, source, out, options=ExportOptions(**options))
    return out.getvalue()


def two_layers() -> make.Built:
    return make.build([Layer.of([Member("a", data=b"a")]), Layer.of([Member("b", data=b"b"), Member(".wh.a")], "zstd")])


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: (archive.extractfile(m) or io.BytesIO()).read() for m in archive if m.isreg()}


@pytest.mark.parametrize("pack", [lambda d: d, gzip.compress, lambda d: make.compress(d, "zstd")])
def test_an_oci_archive(made: Engines, pack: Any) -> None:
    image = two_layers()
    seen: list[Progress] = []
    assert load(made, pack(make.oci_archive({NAME: image})), progress=seen.append) == [NAME]
    stored = made.images.get(NAMESPACE, NAME)
    assert (stored.target.digest, stored.target.annotations) == (image.digest, ())
    labels = made.content.info(NAMESPACE, image.config).labels
    with made.mounted("overlayfs", labels["containerd.io/gc.ref.snapshot.overlayfs"]) as root:
        assert os.listdir(root) == ["b"]
    assert made.content.info(NAMESPACE, image.digest).labels["containerd.io/gc.ref.content.config"] == image.config
    assert [seen[0].event, seen[-2].event, seen[-1].event] == ["Importing", "saved", "Completed import"]
    assert not made.leases.list(NAMESPACE)
    assert not made.content.statuses(NAMESPACE)


def test_an_archive_read_twice(made: Engines) -> None:
    data = make.oci_archive({NAME: two_layers()})
    assert load(made, data) == load(made, data) == [NAME]


@pytest.mark.parametrize("compress", [False, True])
def test_an_old_docker_archive(made: Engines, compress: bool) -> None:
    layer, again = Layer.of([Member("a", data=b"x" * 4000)]), Layer.of([Member("a", data=b"x" * 4000)])
    image = make.build([layer, Layer.of([Member("b")]), again])
    found = load(made, make.docker_archive(image, ["app:1", "app:two"]), compress=compress)
    assert found == [NAME, "docker.io/library/app:two"]
    manifest = json.loads(made.content.read(NAMESPACE, made.images.get(NAMESPACE, NAME).target.digest))
    kind = "application/vnd.docker.image.rootfs.diff.tar" + (".gzip" if compress else "")
    assert [each["mediaType"] for each in manifest["layers"]] == [kind] * 3
    assert manifest["config"]["digest"] == image.config
    assert "containerd.io/gc.ref.snapshot.overlayfs" in made.content.info(NAMESPACE, image.config).labels


def test_a_plain_layer_is_replaced_by_the_compressed_one_that_is_here(made: Engines) -> None:
    image = make.build([Layer.of([Member("a", data=b"x" * 4000)])])
    load(made, make.oci_archive({"docker.io/library/first:1": image}))
    load(made, make.docker_archive(image, ["second:1"]), ImageTarget())
    target = made.images.get(NAMESPACE, "docker.io/library/second:1").target
    (layer,) = json.loads(made.content.read(NAMESPACE, target.digest))["layers"]
    assert layer["digest"] == make.digest(image.layers[0].blob)


def test_names_by_prefix_and_digest(made: Engines) -> None:
    image = two_layers()
    prefix = ImageReference("import-1", is_prefix=True, allow_overwrite=True, add_digest=True)
    target = ImageTarget("docker.io/library/whole:1", {"l": "1"}, extra_references=(prefix,))
    found = load(made, make.oci_archive({NAME: image}), target)
    assert found == ["docker.io/library/whole:1", NAME, f"import-1@{image.digest}"]
    assert made.images.get(NAMESPACE, NAME).labels == {"l": "1"}
    assert made.images.get(NAMESPACE, found[0]).target.media_type == make.OCI_INDEX


def test_an_archive_of_several_platforms_unpacks_ours(made: Engines) -> None:
    images = [make.build([Layer.of([Member(name)])], architecture=name) for name in ("arm64", "amd64")]
    load(made, make.oci_archive({NAME: make.build_index(images)}))
    assert "containerd.io/gc.ref.snapshot.overlayfs" in made.content.info(NAMESPACE, images[1].config).labels
    assert len(list(made.snapshotters["overlayfs"].list(NAMESPACE))) == 1


def test_what_is_exported_is_imported_the_same(made: Engines) -> None:
    first, second = two_layers(), make.busybox()
    load(made, make.oci_archive({NAME: first, "quay.io/b/b:2": second}))
    data = save(made, NAME, "quay.io/b/b:2")
    assert data == save(made, NAME, "quay.io/b/b:2")
    other = made.transfers.import_archive("other", io.BytesIO(data), UNPACK)
    assert {image.name: image.target.digest for image in other} == {
        NAME: first.digest,
        "quay.io/b/b:2": second.digest,
    }
    assert save(made, NAME, "quay.io/b/b:2", namespace="other") == data


def test_an_exported_archive_is_a_docker_archive_too(made: Engines) -> None:
    load(made, make.oci_archive({NAME: two_layers()}))
    found = members(save(made, NAME))
    (entry,) = json.loads(found["manifest.json"])
    assert entry["RepoTags"] == ["app:1"]
    assert all(path in found for path in (entry["Config"], *entry["Layers"]))
    assert "manifest.json" not in members(save(made, NAME, skip_compatibility_manifest=True))


def test_an_exported_archive_says_where_the_image_came_from(made: Engines) -> None:
    image = two_layers()
    load(made, make.oci_archive({NAME: image}))
    label = "containerd.io/distribution.source.quay.io"
    made.content.update(NAMESPACE, ContentInfo(image.digest, labels={label: "a/b", "x": "y"}), ["labels"])
    (entry,) = json.loads(members(save(made, NAME))["index.json"])["manifests"]
    assert entry["annotations"].pop(label) == "a/b"
    assert entry["annotations"].keys() == {"io.containerd.image.name", "org.opencontainers.image.ref.name"}


def test_exports_by_platform(made: Engines) -> None:
    images = [make.build([Layer.of([Member(name)])], architecture=name) for name in ("arm64", "amd64")]
    load(made, make.oci_archive({NAME: make.build_index(images)}))

    def has(found: dict[str, bytes]) -> list[bool]:
        return [f"blobs/sha256/{image.digest.removeprefix('sha256:')}" in found for image in images]

    assert has(members(save(made, NAME))) == [False, True]
    assert has(members(save(made, NAME, all_platforms=True))) == [True, True]
    assert has(members(save(made, NAME, platforms=(Platform("linux", "arm64"),)))) == [True, False]


def test_export_before_anything_is_written_checks_that_all_is_here(made: Engines) -> None:
    image = two_layers()
    load(made, make.oci_archive({NAME: image}))
    made.content.delete(NAMESPACE, make.digest(image.layers[0].blob))
    out = io.BytesIO()
    with pytest.raises(NotFound):
        made.transfers.export_archive(NAMESPACE, ImageTarget(NAME), out)
    assert not out.getvalue()
    with pytest.raises(NotFound, match="nosuch"):
        save(made, "nosuch")
    with pytest.raises(Unimplemented):
        made.transfers.export_archive(
            NAMESPACE, ImageTarget(extra_references=(ImageReference("a", is_prefix=True),)), out
        )


def test_tags(made: Engines) -> None:
    image = two_layers()
    load(made, make.oci_archive({NAME: image}))
    tagged = made.transfers.tag(NAMESPACE, ImageTarget(NAME), ImageTarget("docker.io/library/new:2"))
    assert [(each.name, each.target.digest) for each in tagged] == [("docker.io/library/new:2", image.digest)]
    with pytest.raises(NotFound):
        made.transfers.tag(NAMESPACE, ImageTarget("nosuch"), ImageTarget("x"))
    with pytest.raises(InvalidArgument):
        made.transfers.tag(NAMESPACE, ImageTarget(NAME), ImageTarget())


def archive(**changes: bytes | None) -> bytes:
    """A valid archive with members changed or (None) left out."""
    found: dict[str, bytes | None] = dict(members(make.oci_archive({NAME: two_layers()})))
    found |= {
        key.replace("__", "/").replace("_", "-").replace("index-json", "index.json"): v for key, v in changes.items()
    }
    return make.make_tar([Member(name, data=data) for name, data in found.items() if data is not None])


GOOD = make.oci_archive({NAME: two_layers()})
BROKEN: dict[str, bytes] = {
    "empty": b"",
    "noise": b"this is no archive, whatever it is" * 100,
    "empty tar": bytes(1024),
    "no layout, no manifest": make.make_tar([Member("x")]),
    "layout of the future": archive(oci_layout=b'{"imageLayoutVersion":"9.9.9"}'),
    "layout that is no object": archive(oci_layout=b"[]"),
    "no index": archive(index_json=None),
    "index that is no json": archive(index_json=b"{"),
    "index that is an image": archive(index_json=b'{"schemaVersion":2,"config":{},"layers":[]}'),
    "blob with another digest": make.make_tar([Member("blobs/sha256/" + "0" * 64, data=b"x")]) ,
    "truncated": GOOD[: len(GOOD) // 3],
    "truncated gzip": gzip.compress(GOOD)[:-20],
    "climbing name": make.make_tar([Member("../x")]),
    "docker: no images": make.make_tar([Member("manifest.json", data=b"[]")]),
    "docker: not a list": make.make_tar([Member("manifest.json", data=b'{"a":1}')]),
    "docker: missing config": make.make_tar([Member("manifest.json", data=b'[{"Config":"c","Layers":[]}]')]),
    "docker: odd tags": make.make_tar([Member("manifest.json", data=b'[{"Config":"c","Layers":[],"RepoTags":[1]}]')]),
    "docker: link loop": make.make_tar([
        Member("a", "symlink", link="b"), Member("b", "symlink", link="a"),
        Member("manifest.json", data=b'[{"Config":"a","Layers":[],"RepoTags":[]}]'),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_archives_are_refused_and_leave_nothing(made: Engines, case: str) -> None:
    with pytest.raises(InvalidArgument, match=r"archive|oci-layout|manifest|index") as caught:
        load(made, BROKEN[case])
    assert "\n" not in str(caught.value)
    assert not made.images.list(NAMESPACE)
    assert not made.leases.list(NAMESPACE)
    assert not list(made.snapshotters["overlayfs"].list(NAMESPACE))


def test_an_archive_that_names_nothing(made: Engines) -> None:
    with pytest.raises(NotFound, match="names none"):
        load(made, make.docker_archive(two_layers_gzip(), []))
    assert load(made, make.docker_archive(two_layers_gzip(), []), ImageTarget("docker.io/library/given:1")) == [
        "docker.io/library/given:1"
    ]


def two_layers_gzip() -> make.Built:
    return make.build([Layer.of([Member("a")]), Layer.of([Member("b")])])


def test_a_bad_tag_is_named(made: Engines) -> None:
    with pytest.raises(InvalidArgument, match="bad tag"):
        load(made, make.docker_archive(two_layers_gzip(), ["app:bad tag"]))


def test_an_import_can_be_given_up(made: Engines) -> None:
    def report(progress: Progress) -> None:
        if progress.progress:
            raise Cancelled("enough")

    image = make.build([Layer.of([Member("f", data=os.urandom(8 << 20))])])
    with pytest.raises(Cancelled):
        load(made, make.oci_archive({NAME: image}), progress=report)
    assert not made.leases.list(NAMESPACE)


# -- other tools --


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_skopeo_reads_what_we_write_and_we_what_it_writes(made: Engines, tmp_path: Path, form: str) -> None:
    image = make.busybox()
    load(made, make.oci_archive({NAME: image}))
    ours, theirs = tmp_path / "ours.tar", tmp_path / "theirs.tar"
    ours.write_bytes(save(made, NAME))
    run("skopeo", "--insecure-policy", "copy", f"{form}:{ours}", f"{form}:{theirs}:docker.io/library/back:3")
    names = made.transfers.import_archive("second", io.BytesIO(theirs.read_bytes()), UNPACK)
    assert [each.name for each in names] == ["docker.io/library/back:3"]
    (snapshot,) = made.snapshotters["overlayfs"].list("second")
    assert snapshot.name == image.layers[0].diff_id


def test_umoci_unpacks_the_same_tree(made: Engines, tmp_path: Path) -> None:
    from tests.support.trees import tree

    layers = [
        make.busybox_layer(),
        Layer.of([Member("etc/", "dir", mode=0o750), Member("etc/.wh.group"), Member("new/", "dir"), Member("new/a")]),
        Layer.of([Member("tmp/", "dir", mode=0o1777), Member("tmp/x", uid=7, pax={"SCHILY.xattr.user.k": "v"}),
                  Member("tmp/y", "link", link="tmp/x"), Member(".wh.new")]),
    ]  # fmt: skip
    image = make.build(layers)
    load(made, make.oci_archive({"latest": image}), ImageTarget(NAME, unpacks=(Unpack(AMD64),)))
    layout, bundle = tmp_path / "layout", tmp_path / "bundle"
    (tmp_path / "x.tar").write_bytes(make.oci_archive({"latest": image}))
    layout.mkdir()
    run("tar", "-xf", tmp_path / "x.tar", "-C", layout)
    run("umoci", "unpack", "--image", f"{layout}:latest", bundle)
    chain = made.content.info(NAMESPACE, image.config).labels["containerd.io/gc.ref.snapshot.overlayfs"]
    theirs = tree(bundle / "rootfs")
    with made.mounted("overlayfs", chain) as root:
        ours = tree(root)
    assert ours.keys() == theirs.keys()
    for path, looks in ours.items():
        # the time of a directory in which a whiteout removed something is nobody's to say
        skip = 4 if path in {"etc"} else len(looks)
        assert looks[:skip] == theirs[path][:skip], path


def test_gnu_tar_extracts_a_single_layer_the_same(made: Engines, tmp_path: Path) -> None:
    from tests.support.trees import tree

    source = tmp_path / "source"
    source.mkdir()
    run("cp", "-a", "/usr/lib/python3/dist-packages", source / "lib")
    with (source / "sparse").open("wb") as file:
        file.truncate(5_000_000)
        file.seek(2_000_000)
        file.write(b"middle")
    os.link(source / "sparse", source / "again")
    os.mkfifo(source / "pipe")
    os.mknod(source / "null", 0o20666, os.makedev(1, 3))
    for number, form in enumerate(("gnu", "pax", "ustar")):
        tar = tmp_path / f"{form}.tar"
        sparse = ["--sparse"] if form != "ustar" else []
        run("tar", f"--format={form}", *sparse, "--numeric-owner", "-cf", tar, "-C", source, ".")
        layer = Layer.of(tar.read_bytes())
        digest = made.add(layer.blob)
        mounts = made.snapshotters["overlayfs"].prepare(NAMESPACE, f"k{number}")
        from pycontainerd.core.values import Descriptor

        applied = made.differ.apply(NAMESPACE, Descriptor(layer.media_type, digest, len(layer.blob)), mounts)
        assert applied.digest == layer.diff_id
        theirs = tmp_path / f"theirs-{form}"
        theirs.mkdir()
        run("tar", "-xpf", tar, "-C", theirs)
        assert tree(mounts[0].source) == tree(theirs)
