"""Log one JSON line per event to standard error: a fixed phrase and its fields.

If standard error is systemd's journal, each line begins with its priority (sd-daemon(3)), which the journal removes.

Lines contain no addresses, phone numbers, tokens, codes or payloads. Events of libraries that use ``logging`` have the
same form, from warnings up.
"""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from traceback import walk_tb
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

ROOT = Path(__file__).parents[1]
PACKAGES = ("api_service", "outbox_relay", "operator_console", "receiver", "shared", "migrations", "tenants")
MAX_TRACE_LINES = 8
PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
"""syslog(3)."""


def configure_logging(service: str, level: str) -> None:
    """Write all of this process's log events to standard error."""
    stamps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _stamped_with(service),
    ]
    output: list[Processor] = [_without_traceback_values, structlog.processors.JSONRenderer()]
    if is_journal(sys.stderr):
        output.append(_with_priority)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamps,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *output],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    writer = LineWriter(sys.stderr)
    # Signpost's own events bypass ``logging``, whose records and handlers double the cost of a line.
    structlog.configure(
        processors=[*stamps, *output],
        logger_factory=lambda *_name: writer,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a component."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def is_journal(stream: TextIO | None) -> bool:
    """Return whether the stream leads to the journal: JOURNAL_STREAM has its device and inode (systemd.exec(5))."""
    if stream is None:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def print_error(line: str) -> None:
    """Print a line about the start of the process to standard error."""
    prefix = f"<{PRIORITIES['error']}>" if is_journal(sys.stderr) else ""
    sys.stderr.write(f"{prefix}{line}\n")


class LineWriter:
    """Write whole lines. A closed or broken stream is ignored."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = Lock()  # with unbuffered output, Python writes a long line in parts

    def write(self, line: str) -> None:
        """Write the line. Standard error is flushed at each line end."""
        if self._stream is None:  # closed before this process started
            return
        with suppress(OSError, ValueError), self._lock:
            self._stream.write(f"{line}\n")

    debug = info = warning = error = critical = write


def _with_priority(_logger: object, level: str, line: Any) -> Any:
    return f"<{PRIORITIES[level]}>{line}"


def _stamped_with(service: str) -> Processor:
    def stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return stamp


def _without_traceback_values(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its class and trace. Its text may quote a row or an address."""
    error = _error_of(event.pop("exc_info", None))
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["trace"] = _lines_passed(error)
    return event


def _error_of(exc_info: object) -> object:
    """Return the exception from any form of ``exc_info`` that ``logging`` accepts."""
    match exc_info:
        case True:
            return sys.exc_info()[1]
        case (_, error, _):
            return error
        case _:
            return exc_info


def _lines_passed(error: BaseException) -> list[str]:
    """Return the trace lines in Signpost's code, and the innermost line."""
    frames = list(walk_tb(error.__traceback__))
    ours = [frame for frame in frames if _is_ours(Path(frame[0].f_code.co_filename))]
    passed = ours[-MAX_TRACE_LINES:] + [frame for frame in frames[-1:] if frame not in ours]
    return [f"{frame.f_code.co_filename.removeprefix(f'{ROOT}/')}:{line}" for frame, line in passed]


def _is_ours(path: Path) -> bool:
    # Installed, these packages are next to libraries. In a checkout, the virtual environment is below ROOT.
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES
