"""How a command fails: one cause, one hint, an exit code, no traceback.

Docker's exit codes: 125 when ``run`` itself failed, 126 when the command in the container cannot be executed, 127 when
it cannot be found, otherwise the command's own (128 plus the number of the signal that ended it). Other verbs: 1, and
125 for a flag that is wrong.
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument, PycontainerdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

RUN_FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127


class Failure(Exception):
    """Raised by a verb that has said, in ``message`` and ``hint``, why it cannot go on. ``code`` 0: the verb's own."""

    def __init__(self, message: str, hint: str = "", code: int = 0) -> None:
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code


class UsageError(Failure):
    """Raised when the command line itself is wrong; the reader is pointed to ``--help``."""


class FlagError(UsageError):
    """Raised for a flag there is not, or one with a value it cannot have: ends with 125, whatever the verb."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, RUN_FAILED)


class Exited(Exception):
    """Raised to leave with an exit code and nothing more to say."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def describe(error: BaseException) -> tuple[str, str]:
    """Cause and hint of any error, each one line."""
    if isinstance(error, Failure):
        return error.message, error.hint
    if isinstance(error, PycontainerdError):
        return _told(error), error.hint
    if isinstance(error, OSError):
        path = f"{error.filename}: " if error.filename else ""
        return f"{path}{error.strerror or error}", ""
    return f"{type(error).__name__}: {error}", "this is a bug; --debug shows where"


def _told(error: PycontainerdError) -> str:
    """The message without its hint; a thing that was only named is told to be wrong, missing, in the way."""
    if error.which == "":  # a whole sentence, or the daemon's own words
        # What is only a name says nothing without the class's words, which the wire leaves to us.
        return f"{error.what}: {error.text}" if error.text and error.what.endswith('"') else error.what
    named = f'{error.what} "{error.which}"'
    if isinstance(error, InvalidArgument):
        return named if "invalid" in named else f"invalid {named}" if ":" not in error.what else f"{named} is invalid"
    return f"{named}: {error.text}" if error.text else named


def explained(error: Exception, command: Sequence[str] | None) -> Exception:
    """The error of a command that could not be started; runtimes do not tell an empty word from a directory."""
    if not isinstance(error, PycontainerdError) or not command or command[0] or not command_code(error):
        return error
    hint = "leave the empty word out to run what the image or the rest of the line says"
    return Failure('exec: "": executable file not found in $PATH', hint, NOT_FOUND)


def command_code(error: PycontainerdError) -> int:
    """126 or 127 when the runtime says that the command cannot be executed or found, else 0.

    Runtimes have no codes for it, so their words decide: crun's and runc's, and those of execve(2).
    """
    text = str(error).lower()
    if any(words in text for words in _MISSING):
        return NOT_FOUND
    if any(words in text for words in _REFUSED):
        return NOT_EXECUTABLE
    return 0


_MISSING = ("executable file not found", "executable file `", "no such file or directory: unknown", "stat no such file")
_REFUSED = (
    "open executable",
    "permission denied",
    "it is not executable",
    "is not a regular file",
    "is a directory",
    "exec format error",
    "not a directory",
)
