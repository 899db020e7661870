"""Compile the `.proto` sources: the `_pb2` modules of `pycontainerd/api` and the descriptor set the other steps read.

No `_grpc` modules are made: the server builds its handlers from the service descriptors, and the client speaks ttrpc.
`google.rpc` is taken from googleapis-common-protos, which the OpenTelemetry exporter brings anyway: registering the
same full names from a file of our own would make the default descriptor pool refuse whichever comes second.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "proto"
PACKAGE = "pycontainerd/api"


class ProtocError(Exception):
    """protoc refused the sources; it has printed why on stderr."""


def proto_files() -> list[str]:
    """The `.proto` sources, relative to `proto/`, sorted."""
    return sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))


def compile_python(out: Path) -> None:
    """Write `_pb2.py` and `_pb2.pyi` files and package docstrings below `out`; raise `ProtocError`."""
    _run([f"--python_out={out}", f"--pyi_out={out}", *proto_files()])
    _write_packages(out / PACKAGE, out)


def descriptor_set(work: Path) -> descriptor_pb2.FileDescriptorSet:
    """Every file of the contract and what it imports, dependencies first; `work` is a scratch directory."""
    target = work / "descriptors.binpb"
    # The wire classes also cover what our files import, and the error details that no file of ours does.
    options = [f"--descriptor_set_out={target}", "--include_imports", "--include_source_info"]
    _run([*options, *proto_files(), *_foreign_files()])
    return descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())


def _foreign_files() -> list[str]:
    return [
        "google/protobuf/empty.proto",
        "google/protobuf/wrappers.proto",
        "google/rpc/code.proto",
        "google/rpc/error_details.proto",
    ]


def _run(arguments: list[str]) -> None:
    well_known = resources.files("grpc_tools") / "_proto"
    google_rpc = Path(str(resources.files("google.rpc") / "status.proto")).parents[2]
    paths = [f"-I{SOURCES}", f"-I{well_known}", f"-I{google_rpc}"]
    if protoc.main(["protoc", *paths, *arguments]) != 0:
        raise ProtocError("protoc refused the files in proto/; its message is above")


def _write_packages(top: Path, out: Path) -> None:
    """Put an `__init__.py` that holds a docstring into `top` and every folder below it."""
    for folder in [top, *sorted(path for path in top.rglob("*") if path.is_dir())]:
        source = folder.relative_to(out).as_posix()
        (folder / "__init__.py").write_text(f'"""Generated from `proto/{source}`; do not edit."""\n')
