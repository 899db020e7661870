"""Programs of this host that a client asks something (``ps``)."""

from __future__ import annotations

from pycontainerd.linux.process import PIPE, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Output:
    """What a program said: its lines, its exit code, and its complaint when that is not 0."""

    __slots__ = ("code", "complaint", "lines")

    def __init__(self, code: int, lines: list[str], complaint: str) -> None:
        self.code, self.lines, self.complaint = code, lines, complaint


def output(argv: Sequence[str]) -> Output:
    """Run a program that ends by itself. Raises OSError when there is no such program."""
    process = spawn(argv, stdout=PIPE, stderr=PIPE)
    said, complained = process.communicate()
    lines = said.decode("utf-8", "replace").splitlines()
    complaint = complained.decode("utf-8", "replace").strip().partition("\n")[0]
    return Output(process.returncode, lines, complaint or f"exit status {process.returncode}")
