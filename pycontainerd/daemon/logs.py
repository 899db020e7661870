"""The daemon's log: structlog to stderr, JSON for machines or columns for people, with namespace and trace on it."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import structlog

from pycontainerd.rpc.call import current_call
from pycontainerd.rpc.tracing import current_trace_id

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from pycontainerd.daemon.config import LogConfig

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def configure(config: LogConfig) -> None:
    """Set up logging; may be called again to change the level."""
    level = _LEVELS[config.level]
    console = config.format == "console" or (config.format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _call_fields,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *_rendering(console),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # gRPC and asyncio speak through the standard library; their lines should look like ours.
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[_Bridge()], force=True)


def _rendering(console: bool) -> list[Any]:
    if console:
        return [structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ and sys.stderr.isatty())]
    return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]


def _call_fields(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say on whose behalf the line was written, as far as the line does not say so itself."""
    call = current_call.get()
    if call is not None and (namespace := call.optional_namespace):
        event.setdefault("namespace", namespace)
    if trace := current_trace_id():
        event.setdefault("trace", trace)
    return event


class _Bridge(logging.Handler):
    """Hands records of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        log = structlog.get_logger(record.name)
        write = log.error if record.levelno >= logging.ERROR else log.warning
        try:
            write(record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 - a log line must never take the daemon down
            self.handleError(record)
