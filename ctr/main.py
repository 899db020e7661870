"""pyctr: find the verb, import its module, run it, and turn whatever goes wrong into one line and an exit code.

Starting up is a feature: the common verbs reach their first request within 25 ms. So this module and what the common
verbs import use neither protobuf nor gRPC nor asyncio, and of the standard library only what costs nothing.
"""

from __future__ import annotations

import os
import sys

from ctr import verbs
from ctr.context import Context
from ctr.errors import Exited, Failure, UsageError, command_code, describe
from ctr.flags import BOOL, LIST, OPTIONAL, STRING, Values, check_count, flag, help_text, parse
from pycontainerd.core.errors import PycontainerdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ctr.flags import Command

GLOBAL_FLAGS = (
    flag(
        "address", "", STRING, "Socket of the daemon (also PYCTR_ADDRESS)", default="/run/pycontainerd/containerd.sock"
    ),
    flag("config", "", STRING, "Directory of a client's configuration: there is none, and it is not looked at"),
    flag("context", "c", STRING, "Context to use: there is default, which is --address", metavar="string"),
    flag("host", "H", LIST, "The same as --address (unix://PATH)"),
    flag("log-level", "l", STRING, "debug is the same as --debug, the others say nothing", default="info"),
    flag("namespace", "n", STRING, "Namespace to work in (also PYCTR_NAMESPACE)", default="default"),
    flag("debug", "D", BOOL, "Show the whole story when something goes wrong"),
    flag("trace", "", OPTIONAL, "Show where the time of this command went (tree or json)", metavar="tree"),
    flag("version", "v", BOOL, "Print version information and quit"),
)
INTERRUPTED = 130
_RUN_COMMANDS = ("run", "exec")
"""Verbs that tell by 126 and 127 that there was nothing to run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    context = Context()
    program = _Program(context)
    try:
        code = program.run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except Exited as error:
        code = error.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = _quiet_stdout()
    except Exception as error:  # noqa: BLE001 - the one place where anything becomes a line and a code
        code = program.report(error)
    context.close()
    if context.trace:
        from ctr import trace

        trace.show(context)
    return code


class _Program:
    """One run: remembers the verb, so that a failure can be told in its terms."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.command: Command | None = None

    def run(self, words: list[str]) -> int:
        values, rest = parse(GLOBAL_FLAGS, words, interspersed=False)
        self._apply(values)
        if rest[:1] == ["__complete"]:
            return self._complete(rest[1:])
        if self.context.trace and rest[:1] and rest[0] in ("tree", "json"):  # `--trace tree` reads better than `=`
            self.context.trace = rest.pop(0)
        if values.on("version"):
            rest = ["version", "--short"]
        if rest[:1] == ["help"] and len(rest) > 1:
            rest = [*rest[1:], "--help"]
        verb, spelling, rest = verbs.find(rest)
        if verb is None:
            return self._no_verb(rest, asked=values.given("help"))
        module: Any = __import__("ctr." + verb.module, None, None, ["run"])
        command: Command = module.COMMAND
        self.command = command
        self.context.spelling = spelling
        verb_values, arguments = parse(command.flags, rest, interspersed=command.interspersed)
        if verb_values.given("help"):
            sys.stdout.write(help_text(command, verb.spellings))
            return 0
        try:
            check_count(command, arguments)
        except UsageError as error:
            error.code = 1  # with every verb: nothing was tried
            raise
        if self.context.trace:
            from ctr import trace

            trace.begin(self.context)
        code: int = module.run(self.context, verb_values, arguments)
        return code

    def _complete(self, words: list[str]) -> int:
        """For the shell: what the last word can become."""
        from ctr import completing

        for word, what in completing.candidates(self.context, GLOBAL_FLAGS, words):
            print(f"{word}\t{what}")
        return 0

    def _apply(self, values: Values) -> None:
        context = self.context
        for name in ("host", "address"):
            if values.given(name):
                context.address = values.text(name) or context.address
        if values.text("context") not in ("", "default"):
            raise Failure(f"--context {values.text('context')} is not offered", "there is default: see --address")
        if "://" in context.address.removeprefix("unix://"):
            raise Failure(
                f"--address {context.address} is no socket of this host", "give unix://PATH, or the path alone"
            )
        if values.given("namespace"):
            context.namespace = values.text("namespace")
        if context.address.startswith("unix://"):
            context.address = context.address.removeprefix("unix://")
        if not context.address.startswith("@"):
            context.address = os.path.abspath(context.address)
        context.debug = values.on("debug") or values.text("log-level") == "debug"
        if values.given("trace"):
            context.trace = values.text("trace") or "tree"

    def _no_verb(self, words: list[str], *, asked: bool) -> int:
        from ctr import usage

        group = words[0] if words else ""
        if group in verbs.GROUPS:
            if len(words) > 1 and not words[1].startswith("-"):
                raise UsageError(f"'{words[1]}' is not a command of 'pyctr {group}'", f"see 'pyctr {group} --help'")
            sys.stdout.write(usage.group_text(group))
            return 0
        if words and words != ["help"]:
            raise UsageError(f"'{group}' is not a pyctr command", usage.suggestion(group))
        sys.stdout.write(usage.text(GLOBAL_FLAGS))
        return 0 if asked or words else 1

    def report(self, error: Exception) -> int:
        """Say what went wrong on stderr; return the exit code."""
        cause, hint = describe(error)
        name = self.command.name if self.command else ""
        if self.context.debug:
            import traceback

            traceback.print_exception(error)
        line = f"pyctr: {cause}" + (f"\n  {hint}" if hint else "")
        if isinstance(error, UsageError):
            line += f"\nSee 'pyctr {name} --help'.".replace("pyctr  --", "pyctr --")
        for name, value in self.context.metadata:
            if name == "traceparent":
                line += f"\n  trace {value.split('-')[1]}"
        try:
            sys.stdout.flush()
            print(line, file=sys.stderr)
        except BrokenPipeError:
            _quiet_stdout()
        return self._code(error)

    def _code(self, error: Exception) -> int:
        if isinstance(error, Failure) and error.code:
            return error.code
        if self.command is None:
            return 1
        if isinstance(error, UsageError) or self.command.name not in _RUN_COMMANDS:
            return self.command.failure
        return (isinstance(error, PycontainerdError) and command_code(error)) or self.command.failure


def _quiet_stdout() -> int:
    # The reader of a pipe went away (`pyctr ps | head -1`): the interpreter must not try to flush once more at exit.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    return 141
