"""The wire contract as sorted text: one line for each service method, field, enum value and extension.

The dump is committed, so that a change of the contract shows in review as a change of lines, and a test holds the
compiled descriptors against it. Columns are separated by tabs; file names are left out, since only full names travel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "proto/contract"
_F = descriptor_pb2.FieldDescriptorProto

# file -> (header, rows)
Tables = dict[str, tuple[tuple[str, ...], list[tuple[str, ...]]]]

_HEADERS = {
    "methods.tsv": ("service", "method", "request", "response", "client_streaming", "server_streaming"),
    "messages.tsv": ("message", "fields", "reserved"),
    "fields.tsv": ("message", "number", "field", "type", "label", "oneof", "deprecated"),
    "enums.tsv": ("enum", "number", "value", "deprecated"),
    "extensions.tsv": ("extension", "extendee", "number", "type"),
}


def write_contract(files: descriptor_pb2.FileDescriptorSet, out: Path) -> None:
    """Write the tables below `out`."""
    target = out / FOLDER
    target.mkdir(parents=True)
    for name, (header, rows) in tables(files).items():
        lines = ["\t".join(row) for row in (header, *rows)]
        (target / name).write_text("\n".join(lines) + "\n")


def tables(files: descriptor_pb2.FileDescriptorSet) -> Tables:
    """The contract by file name: header and sorted rows of text."""
    rows: dict[str, list[tuple[str, ...]]] = {name: [] for name in _HEADERS}
    for file in files.file:
        if file.name == "google/protobuf/descriptor.proto":
            continue
        for service in file.service:
            rows["methods.tsv"] += _methods(f"{file.package}.{service.name}", service)
        for enum in file.enum_type:
            rows["enums.tsv"] += _values(file.package, enum)
        rows["extensions.tsv"] += [
            (f"{file.package}.{item.name}", item.extendee[1:], str(item.number), _type(item)) for item in file.extension
        ]
        for message in file.message_type:
            for name, row in _message(file.package, message):
                rows[name].append(row)
    return {name: (header, sorted(rows[name], key=_order)) for name, header in _HEADERS.items()}


def _methods(service: str, descriptor: descriptor_pb2.ServiceDescriptorProto) -> list[tuple[str, ...]]:
    return [
        (
            service,
            method.name,
            method.input_type[1:],
            method.output_type[1:],
            str(int(method.client_streaming)),
            str(int(method.server_streaming)),
        )
        for method in descriptor.method
    ]


def _message(scope: str, message: descriptor_pb2.DescriptorProto) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(table, row) for the message and all that it holds."""
    name = f"{scope}.{message.name}"
    reserved = [f"{span.start}-{span.end - 1}" for span in message.reserved_range] + sorted(message.reserved_name)
    yield "messages.tsv", (name, str(len(message.field)), " ".join(reserved))
    maps = {f".{name}.{nested.name}": nested for nested in message.nested_type if nested.options.map_entry}
    for item in message.field:
        yield "fields.tsv", (name, str(item.number), item.name, *_form(item, message, maps))
    for enum in message.enum_type:
        for row in _values(name, enum):
            yield "enums.tsv", row
    for nested in message.nested_type:
        if not nested.options.map_entry:
            yield from _message(name, nested)


def _form(
    item: descriptor_pb2.FieldDescriptorProto,
    message: descriptor_pb2.DescriptorProto,
    maps: dict[str, descriptor_pb2.DescriptorProto],
) -> tuple[str, str, str, str]:
    """(type, label, oneof, deprecated) of a field, in the terms of the facts tables."""
    deprecated = str(int(item.options.deprecated))
    if item.type_name in maps:
        key, value = sorted(maps[item.type_name].field, key=lambda part: part.number)
        return "map", f"map<{_type(key)},{_type(value)}>", "", deprecated
    if item.label == _F.LABEL_REPEATED:
        return _type(item), "repeated", "", deprecated
    if item.proto3_optional:
        return _type(item), "optional", "", deprecated
    oneof = message.oneof_decl[item.oneof_index].name if item.HasField("oneof_index") else ""
    return _type(item), "singular", oneof, deprecated


def _type(item: descriptor_pb2.FieldDescriptorProto) -> str:
    return item.type_name[1:] or _F.Type.Name(item.type).removeprefix("TYPE_").lower()


def _values(scope: str, enum: descriptor_pb2.EnumDescriptorProto) -> list[tuple[str, ...]]:
    return [
        (f"{scope}.{enum.name}", str(value.number), value.name, str(int(value.options.deprecated)))
        for value in enum.value
    ]


def _order(row: tuple[str, ...]) -> tuple[str, int, tuple[str, ...]]:
    """By name, and by number within a message or enum."""
    number = row[1] if row[1].lstrip("-").isdigit() else "0"
    return row[0], int(number), row
