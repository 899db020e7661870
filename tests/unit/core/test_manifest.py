from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import manifest as m
from pycontainerd.core.errors import InvalidArgument, Unknown
from pycontainerd.core.values import Descriptor

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


def entry(media_type: str, digest: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": 7, **more}


def image(**changes: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": m.OCI_MANIFEST,
        "config": entry(m.OCI_CONFIG, A),
        "layers": [entry("application/vnd.oci.image.layer.v1.tar+gzip", B), entry(m.DOCKER_LAYER_GZIP, C)],
    }
    return json.dumps(document | changes).encode()


def index(**changes: Any) -> bytes:
    child = entry(m.OCI_MANIFEST, A, platform={"os": "linux", "architecture": "arm", "variant": "v7"})
    return json.dumps({"schemaVersion": 2, "mediaType": m.OCI_INDEX, "manifests": [child]} | changes).encode()


def test_an_image_names_its_config_and_layers() -> None:
    found = m.parse_document(image())
    assert isinstance(found, m.Manifest)
    assert [child.descriptor.digest for child in found.children] == [A, B, C]
    assert m.child_labels(found.children) == {
        "containerd.io/gc.ref.content.config": A,
        "containerd.io/gc.ref.content.l.0": B,
        "containerd.io/gc.ref.content.l.1": C,
    }


def test_an_index_names_manifests_with_platforms() -> None:
    found = m.parse_document(index())
    assert isinstance(found, m.Index)
    assert found.manifests[0].platform is not None
    assert found.manifests[0].platform.variant == "v7"
    assert m.child_labels(found.children) == {"containerd.io/gc.ref.content.m.0": A}


def test_a_document_without_media_type_is_known_by_what_it_lists() -> None:
    assert isinstance(m.parse_document(index(mediaType="")), m.Index)
    assert isinstance(m.parse_document(image(mediaType="")), m.Manifest)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b"nonsense", b"\xff", b"[" * 100_000,
        image(manifests=[]),
        index(layers=[]),
        index(config={}),
        image(mediaType=m.OCI_INDEX),
        index(mediaType=m.OCI_MANIFEST),
        image(schemaVersion=1),
        image(mediaType=7),
        image(config=None),
        image(layers={}),
        image(layers=[entry("x", "sha256:short")]),
        image(layers=[{"digest": A}]),
        image(layers=[{"digest": A, "size": -1}]),
        image(layers=[{"digest": A, "size": True}]),
        image(layers=[entry("x", A)] * (m.MAX_CHILDREN + 1)),
        b" " * (m.MAX_DOCUMENT + 1),
    ],
)  # fmt: skip
def test_ambiguous_and_broken_documents_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        m.parse_document(data)


def test_a_document_must_be_what_its_descriptor_says() -> None:
    with pytest.raises(InvalidArgument, match="announced"):
        m.parse_document(image(), m.OCI_INDEX)


def test_configs() -> None:
    found = m.parse_config(json.dumps({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": [A]}}).encode())
    assert (found.platform.architecture, found.diff_ids) == ("arm64", (A,))
    for bad in ({"rootfs": {"diff_ids": "x"}}, {"rootfs": {"diff_ids": ["x"]}}, {"rootfs": {"diff_ids": [1]}}):
        with pytest.raises(InvalidArgument):
            m.parse_config(json.dumps(bad).encode())


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("application/vnd.oci.image.layer.v1.tar", ""),
        ("application/vnd.oci.image.layer.v1.tar+gzip", "auto"),
        ("application/vnd.oci.image.layer.v1.tar+zstd", "auto"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "auto"),
        ("application/vnd.docker.image.rootfs.diff.tar", "auto"),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar", "auto"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "auto"),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "auto"),
    ],
)
def test_layer_types(media_type: str, kind: str) -> None:
    assert m.layer_compression(media_type) == kind
    assert m.is_layer(media_type)


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"])
def test_types_without_processor_stay_unmapped(media_type: str) -> None:
    with pytest.raises(Unknown, match="no processor"):
        m.layer_compression(media_type)


def test_ingest_refs_are_those_of_clients() -> None:
    kinds = {m.OCI_MANIFEST: "manifest", m.DOCKER_INDEX: "index", m.OCI_CONFIG: "config", m.DOCKER_LAYER: "layer"}
    for media_type, kind in kinds.items():
        assert m.ref_key(Descriptor(media_type, A, 1)) == f"{kind}-{A}"
    assert m.ref_key(Descriptor("x", A, 1)) == f"unknown-{A}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["mediaType", "layers", "config", "manifests", "digest", "size", "x"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_parsed_or_refused(value: object) -> None:
    data = json.dumps(value).encode()
    for parse in (m.parse_document, m.parse_config):
        try:
            parse(data)
        except InvalidArgument:
            pass
