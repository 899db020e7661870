"""What ``.Field`` is when a document does not have it: an empty value, nothing, or a mistake that is told.

Docker looks fields up in types of Go first and in the JSON then: a mistyped field is an error there, one that is merely
left out when empty is not, and the names in the types differ from those of the JSON in capitals (``.ID``, ``Id``).
"""

from __future__ import annotations

from ctr.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOT = "."
"""The parent of the fields of a whole document."""
UNKNOWN = ""
"""The parent of fields of a value that came from a pipeline, a variable or a ``range``."""

_MAPS = frozenset(
    "Annotations Attributes AuxiliaryAddresses BadBindings Containers Data DeviceOpts DriverOpts"
    " ExposedPorts Labels Networks Options PortBindings Ports Runtimes StorageOpt Sysctls Tmpfs"
    " Volumes".split()
)
"""Fields that are maps of the user's own keys: what is not in them is nothing."""
_TEXTS = frozenset(
    "Author BaseLayer Comment Container ContainerIDFile CpusetCpus CpusetMems DockerVersion Domainname Driver Error"
    " From LogPath MacAddress Mode Name OsVersion Parent Propagation Runtime Scope Source Status StopSignal"
    " Variant".split()
)
_NOTHING = frozenset(
    "Aliases ClusterVolume ConfigFrom ConfigOnly ContainerConfig DNSNames DriverStatus ExecIDs Health Healthcheck"
    " Identity Init IPAMConfig Isolation LinkLocalIPs Links Manifests MaskedPaths Mounts NetworkDisabled Node OnBuild"
    " Peers Platform ReadonlyPaths Services Shell SizeRootFs SizeRw StopTimeout UsageData".split()
)


class UnknownField(Failure):
    """Raised for a field that no document of this kind has."""

    def __init__(self, name: str) -> None:
        super().__init__(f'template: map has no entry for key "{name}"', "--format json shows what there is")


def look_up(value: dict[str, Any], name: str, parent: str) -> Any:
    """The field ``name`` of a document; ``parent`` is the name of the field that the document is the value of.

    Raises UnknownField.
    """
    if name in value:
        return value[name]
    if parent in _MAPS:
        return None
    if name in _NOTHING or name in _MAPS:
        return None
    if name in _TEXTS:
        return ""
    same = next((key for key in value if key.lower() == name.lower()), None)
    if same is not None:
        return value[same]
    if parent == UNKNOWN:
        return None
    raise UnknownField(name)


def look_up_row(value: dict[str, Any], name: str, _parent: str) -> Any:
    """The field ``name`` of a row of a listing. Raises UnknownField."""
    if name not in value:
        raise UnknownField(name)
    return value[name]


def look_up_anything(value: dict[str, Any], name: str, _parent: str) -> Any:
    """The value of a key, None when it is not there."""
    return value.get(name)
