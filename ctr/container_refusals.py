"""What ``run`` and ``create`` do not do: flags that are known so that they can be answered, and unknown modes."""

from __future__ import annotations

from ctr.errors import Failure, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.flags import Values


def check(values: Values) -> None:
    """Raises Failure for what is not offered, UsageError for what is wrong."""
    _refuse(values)
    _check_modes(values)


def _refuse(values: Values) -> None:
    """Raises Failure for flags that are known, so that they can be answered, but that nothing here carries out."""
    for name, hint in _REFUSED:
        if values.given(name) and values.text(name) not in ("", "0", "default"):
            raise Failure(f"--{name} {values.text(name)} is not offered", hint)


_WINDOWS = "it is for containers of Windows only"
_REFUSED = (
    ("cpu-count", f"{_WINDOWS}: give --cpus"),
    ("cpu-percent", f"{_WINDOWS}: give --cpus"),
    ("cpu-rt-period", "give --cap-add SYS_NICE and --ulimit rtprio=N for real-time scheduling"),
    ("cpu-rt-runtime", "give --cap-add SYS_NICE and --ulimit rtprio=N for real-time scheduling"),
    ("gpus", "hand the device files in with --device, or choose the vendor's OCI runtime with --runtime"),
    ("io-maxbandwidth", f"{_WINDOWS}: give --device-read-bps and --device-write-bps"),
    ("io-maxiops", f"{_WINDOWS}: give --device-read-iops and --device-write-iops"),
    ("isolation", f"{_WINDOWS}: leave it out"),
    ("kernel-memory", "kernels since 5.4 have no such limit: --memory counts the kernel's memory, too"),
    ("link-local-ip", "give --ip or --ip6 with an address of the network"),
)


def _check_modes(values: Values) -> None:
    """Raises UsageError, in Docker's words, for a namespace's mode that there is not."""
    for name, plain, joins in _MODES:
        mode = values.text(name)
        if mode not in ("", *plain) and not (joins and mode.startswith("container:") and len(mode) > 10):
            known = ", ".join([*plain, "container:NAME"] if joins else plain)
            word = name.upper() if len(name) == 3 else name.removesuffix("ns").upper()
            raise UsageError(f"--{name}: invalid {word} mode: {mode}", f"there are {known}")


_MODES = (
    ("cgroupns", ("host", "private"), False),
    ("ipc", ("none", "private", "shareable", "host"), True),
    ("pid", ("private", "host"), True),
    ("userns", ("host",), False),
    ("uts", ("private", "host"), False),
)
