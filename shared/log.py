"""One JSON line per event on standard error: a fixed phrase and its fields.

No line ever holds an address, a number, a token, a code or a payload. Libraries that log through
Python's own module come out in the same form, and only from warnings up.
"""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor


def configure_logging(service: str, level: str) -> None:
    """Send everything that this process logs to standard error as JSON, one line each."""
    stamps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _stamped_with(service),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamps,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_traceback_values,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("signpost").setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *stamps,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of one part, under the project's own root."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(f"signpost.{name}")
    return logger


def _stamped_with(service: str) -> Processor:
    def stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return stamp


def _without_traceback_values(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Tell an exception by its class and the lines it passed; its text may quote a row or an address."""
    exc_info = event.pop("exc_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    if exc_info and exc_info[0]:
        event["error"] = exc_info[0].__name__
        event["trace"] = [f"{frame.f_code.co_filename}:{line}" for frame, line in _frames(exc_info[2])]
    return event


def _frames(traceback: Any) -> list[tuple[Any, int]]:
    frames = []
    while traceback is not None:
        frames.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames[-8:]
