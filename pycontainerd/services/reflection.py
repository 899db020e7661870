"""grpc.reflection.v1 and v1alpha: the descriptors of what is served, for grpcurl and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool

from pycontainerd.api.grpc.reflection.v1 import reflection_pb2 as v1
from pycontainerd.api.grpc.reflection.v1alpha import reflection_pb2 as v1alpha
from pycontainerd.rpc.service import Service
from pycontainerd.wire.codes import INVALID_ARGUMENT, NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import ModuleType

    from google.protobuf.descriptor import FileDescriptor

    from pycontainerd.rpc.call import Call


NAMES = tuple(str(module.DESCRIPTOR.services_by_name["ServerReflection"].full_name) for module in (v1, v1alpha))
"""Full names of the two services; most tools still ask the older one first."""


class ReflectionService(Service):
    """The reflection service of one version; both differ by their package name alone."""

    def __init__(self, module: ModuleType, services: Sequence[str]) -> None:
        self.SERVICE = module.DESCRIPTOR.services_by_name["ServerReflection"]
        self._pb: Any = module
        self._services = sorted({*services, *NAMES})
        self._pool = descriptor_pool.Default()

    async def ServerReflectionInfo(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
        """One answer a question; what is unknown is an answer too, not a failure of the stream."""
        sent: set[str] = set()
        async for request in requests:
            response = self._pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
            try:
                self._answer(request, response, sent)
            except KeyError as error:
                response.error_response.error_code = NOT_FOUND
                response.error_response.error_message = f"{error.args[0] if error.args else 'symbol'}: not found"
            yield response

    def _answer(self, request: Any, response: Any, sent: set[str]) -> None:
        kind = request.WhichOneof("message_request")
        if kind == "list_services":
            response.list_services_response.service.extend(self._pb.ServiceResponse(name=n) for n in self._services)
        elif kind == "file_by_filename":
            self._files(self._pool.FindFileByName(request.file_by_filename), response, sent)
        elif kind == "file_containing_symbol":
            self._files(self._file_of(request.file_containing_symbol), response, sent)
        elif kind == "file_containing_extension":
            wanted = request.file_containing_extension
            message = self._pool.FindMessageTypeByName(wanted.containing_type)
            extension: Any = self._pool.FindExtensionByNumber(message, wanted.extension_number)
            self._files(extension.file, response, sent)
        elif kind == "all_extension_numbers_of_type":
            message = self._pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
            numbers = response.all_extension_numbers_response
            numbers.base_type_name = message.full_name
            numbers.extension_number.extend(sorted(e.number for e in self._pool.FindAllExtensions(message)))
        else:
            response.error_response.error_code = INVALID_ARGUMENT
            response.error_response.error_message = "the request asks nothing"

    def _file_of(self, symbol: str) -> FileDescriptor:
        """The file that declares a symbol; the pool itself does not know methods. Raises KeyError."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            found = self._pool.FindServiceByName(service) if service else None
            if found is None or method not in found.methods_by_name:
                raise
            return found.file

    @staticmethod
    def _files(file: FileDescriptor, response: Any, sent: set[str]) -> None:
        """The file and all it imports, each once a stream; the one asked for always."""
        pending, found = [file], {}
        while pending:
            item = pending.pop()
            if item.name not in found and (item is file or item.name not in sent):
                found[item.name] = item
                pending.extend(item.dependencies)
        sent.update(found)
        for item in found.values():
            proto = descriptor_pb2.FileDescriptorProto()
            item.CopyToProto(proto)
            response.file_descriptor_response.file_descriptor_proto.append(proto.SerializeToString())


def reflection_services(services: Sequence[str]) -> list[ReflectionService]:
    """Both versions, for a server that serves ``services``."""
    return [ReflectionService(v1, services), ReflectionService(v1alpha, services)]
