"""One JSON line per event on standard error: a fixed phrase and its fields.

No line ever holds an address, a number, a token, a code or a payload. Libraries that log through
Python's own module come out in the same form, and only from warnings up.
"""

import logging
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from traceback import walk_tb
from typing import TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

ROOT = Path(__file__).parents[1]
PACKAGES = ("api_service", "outbox_relay", "operator_console", "shared", "migrations", "tenants")
MOST_LINES = 8


def configure_logging(service: str, level: str) -> None:
    """Send everything that this process logs to standard error as JSON, one line each."""
    stamps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _stamped_with(service),
    ]
    told: list[Processor] = [_without_traceback_values, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamps,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *told],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    lines = Lines(sys.stderr)
    # Lines of our own go past Python's module, whose records and handlers are half of what a line costs.
    structlog.configure(
        processors=[*stamps, *told],
        logger_factory=lambda *_name: lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of one part."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


class Lines:
    """What is written line by line; a stream that takes none, as when nobody reads it any more, stops nothing else."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._turn = Lock()  # among threads: told to buffer nothing, Python writes a long line in parts

    def write(self, line: str) -> None:
        """Write the line, and see it off."""
        if self._stream is None:  # closed before we began
            return
        with suppress(OSError, ValueError), self._turn:
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = info = warning = error = critical = write


def _stamped_with(service: str) -> Processor:
    def stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return stamp


def _without_traceback_values(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Tell an exception by its class and the lines of ours that it passed; its text may quote a row or an address."""
    error = _error_of(event.pop("exc_info", None))
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["trace"] = _lines_passed(error)
    return event


def _error_of(exc_info: object) -> object:
    """Return the error that is meant, in whichever of the ways that Python's own module takes."""
    match exc_info:
        case True:
            return sys.exc_info()[1]
        case (_, error, _):
            return error
        case _:
            return exc_info


def _lines_passed(error: BaseException) -> list[str]:
    """Return where the error passed through our code, and where it came from, innermost last."""
    frames = list(walk_tb(error.__traceback__))
    ours = [frame for frame in frames if _is_ours(Path(frame[0].f_code.co_filename))]
    passed = ours[-MOST_LINES:] + [frame for frame in frames[-1:] if frame not in ours]
    return [f"{frame.f_code.co_filename.removeprefix(f'{ROOT}/')}:{line}" for frame, line in passed]


def _is_ours(path: Path) -> bool:
    # Installed, our packages lie among the others; in a checkout, the others lie below ours.
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES
