"""``pycontainerd``: the daemon, and the small commands around it.

Imports only what the command at hand needs: ``publish`` runs for each event of some shims and must start fast.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from pycontainerd.core.errors import PycontainerdError
from pycontainerd.core.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.daemon.config import Config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except PycontainerdError as error:
        sys.stderr.write(f"pycontainerd: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"pycontainerd: {error}; the daemon needs root and a writable root and state directory\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pycontainerd", description="A container daemon that speaks containerd's API.", allow_abbrev=False
    )
    parser.set_defaults(run=_serve)
    parser.add_argument("--version", action="version", version=f"pycontainerd {VERSION}")
    parser.add_argument("-c", "--config", metavar="FILE", help="configuration file (TOML)")
    parser.add_argument("--root", metavar="DIR", help="where data lives (default /var/lib/pycontainerd)")
    parser.add_argument("--state", metavar="DIR", help="where running state lives (default /run/pycontainerd)")
    parser.add_argument("-a", "--address", metavar="SOCK", help="gRPC socket (default <state>/containerd.sock)")
    parser.add_argument("-l", "--log-level", metavar="LEVEL", help="debug, info, warn or error")
    commands = parser.add_subparsers(metavar="COMMAND")
    config = commands.add_parser("config", help="show the configuration").add_subparsers(metavar="WHAT", required=True)
    config.add_parser("default", help="print the built-in configuration").set_defaults(run=_config_default)
    config.add_parser("dump", help="print the configuration in effect").set_defaults(run=_config_dump)
    publish = commands.add_parser("publish", help="publish an event whose Any is on stdin (used by shims)")
    publish.add_argument("--topic", required=True)
    publish.add_argument("--namespace", required=True)
    publish.set_defaults(run=_publish)
    return parser


def _config(options: argparse.Namespace) -> Config:
    from pycontainerd.daemon.config import load

    given = {
        "root": options.root,
        "state": options.state,
        "address": options.address,
        "log.level": options.log_level,
    }
    return load(options.config, {key: value for key, value in given.items() if value is not None})


def _config_default(options: argparse.Namespace) -> int:
    from pycontainerd.daemon.config import Config, dump

    sys.stdout.write(dump(Config()))
    return 0


def _config_dump(options: argparse.Namespace) -> int:
    from pycontainerd.daemon.config import dump

    sys.stdout.write(dump(_config(options)))
    return 0


def _publish(options: argparse.Namespace) -> int:
    from pycontainerd.daemon.publish import publish

    # Shims get the ttrpc address in their environment as well; what the command line says goes first.
    address = options.address or os.environ.get("TTRPC_ADDRESS", "").removesuffix(".ttrpc") or _config(options).socket
    publish(address, options.namespace, options.topic, sys.stdin.buffer.read())
    return 0


def _serve(options: argparse.Namespace) -> int:
    config = _config(options)
    # What the caller had open is none of ours, nor of any container's.
    os.closerange(3, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536)
    from pycontainerd.daemon.serve import serve

    return serve(config, lambda: _config(options))


if __name__ == "__main__":
    sys.exit(main())
