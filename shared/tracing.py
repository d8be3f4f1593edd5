"""The trace that what is done now belongs to; nothing is recorded unless a process was told to (``telemetry``).

A trace is named by a traceparent, as W3C Trace Context has it. A message keeps that of the request which enqueued it,
so that its delivery, in another process and perhaps hours later, continues the same trace.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

# Version 00 alone: what a later one means, a later release may know (W3C Trace Context §3.2.2).
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Facts = Mapping[str, str | int]


class Span(Protocol):
    """Something under way."""

    traceparent: str

    def end(self, facts: Facts, *, has_failed: bool) -> None:
        """Say how it ended."""


class Recorder(Protocol):
    """Who takes down what happens."""

    def begin(self, name: str, parent: str | None) -> Span:
        """Begin something; without a parent it begins a trace."""

    def record(self, name: str, parent: str | None, seconds: float, facts: Facts, *, has_failed: bool = False) -> None:
        """Take down what has ended just now and took so long."""


_present: ContextVar[str | None] = ContextVar("traceparent", default=None)
_recorder: Recorder | None = None


def traceparent_in(header: str | None) -> str | None:
    """Return a client's header, if it is a traceparent to the letter; else None."""
    return header if header and _TRACEPARENT.fullmatch(header) else None


def present_traceparent() -> str | None:
    """Return the traceparent of what this thread or task is doing, if it has one."""
    return _present.get()


def set_traceparent(traceparent: str | None) -> None:
    """Say to which trace belongs what this thread or task does from now on."""
    _present.set(traceparent)


def recorder() -> Recorder | None:
    """Return who takes down what happens, or None: then nobody need find out how long it took."""
    return _recorder


def record_with(taker: Recorder | None) -> None:
    """Have that recorder take down what happens from now on."""
    global _recorder  # noqa: PLW0603 - one for the process, as its log is
    _recorder = taker
