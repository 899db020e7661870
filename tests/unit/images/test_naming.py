from __future__ import annotations

from pycontainerd.core.manifest import IMAGE_NAME, REF_NAME
from pycontainerd.core.transfer import ImageReference, ImageTarget
from pycontainerd.core.values import Descriptor
from pycontainerd.images.naming import names_of_import, names_of_pull

D = "sha256:" + "1" * 64
PLAIN = Descriptor("x", D, 1)


def annotated(full: str = "", short: str = "") -> Descriptor:
    pairs = ([(IMAGE_NAME, full)] if full else []) + ([(REF_NAME, short)] if short else [])
    return Descriptor("x", D, 1, tuple(pairs))


def test_a_pull_takes_the_name_and_whole_references() -> None:
    more = (ImageReference("b:2"), ImageReference("c", add_digest=True), ImageReference("d", is_prefix=True))
    assert names_of_pull(ImageTarget("a:1", extra_references=more), PLAIN) == ["a:1", "b:2", f"c@{D}"]


def test_a_prefix_filters_full_names() -> None:
    target = ImageTarget(extra_references=(ImageReference("docker.io/library/a", is_prefix=True),))
    assert names_of_import(target, annotated("docker.io/library/a:1")) == ["docker.io/library/a:1"]
    assert names_of_import(target, annotated("docker.io/library/ab:1")) == []
    assert names_of_import(target, annotated(short="latest")) == ["docker.io/library/a:latest"]


def test_overwriting_lets_any_full_name_in() -> None:
    target = ImageTarget(extra_references=(ImageReference("import-x", is_prefix=True, allow_overwrite=True),))
    assert names_of_import(target, annotated("quay.io/b:1")) == ["quay.io/b:1"]
    assert names_of_import(target, annotated(short="quay.io/b:1")) == ["quay.io/b:1"]
    assert names_of_import(target, annotated(short="v1")) == ["import-x:v1"]


def test_digest_references_for_what_has_no_name() -> None:
    only = ImageReference("p", is_prefix=True, allow_overwrite=True, add_digest=True, skip_named_digest=True)
    always = ImageReference("p", is_prefix=True, allow_overwrite=True, add_digest=True)
    assert names_of_import(ImageTarget(extra_references=(only,)), annotated()) == [f"p@{D}"]
    assert names_of_import(ImageTarget(extra_references=(only,)), annotated("q/a:1")) == ["q/a:1"]
    assert names_of_import(ImageTarget(extra_references=(always,)), annotated("q/a:1")) == ["q/a:1", f"p@{D}"]


def test_a_target_without_any_name_takes_the_archives_own() -> None:
    assert names_of_import(ImageTarget(), annotated("q/a:1", "1")) == ["q/a:1"]
    assert names_of_import(ImageTarget(), annotated(short="latest")) == []
    assert names_of_import(ImageTarget("given"), annotated("q/a:1")) == []
