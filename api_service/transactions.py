"""Run work in a transaction, retry it after a deadlock, and record it in traces."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from shared.db.engine import was_rolled_back
from shared.tracing import current_traceparent, current_tracer

Result = TypeVar("Result")
MAX_TRIES = 3
"""Of two deadlocked transactions one succeeds, so losing three times in a row means heavy contention."""
RETRY_PAUSE_SECONDS = 0.02
"""Before a retry, so that the other transaction wakes up and takes the locks: else the two could deadlock again."""
_STARTED_AT = "transaction began"


def in_transaction(sessions: sessionmaker[Session], work: Callable[[Session], Result]) -> Result:
    """Run the work in a transaction; repeat it in a new one if PostgreSQL aborted it in a deadlock.

    All effects of the work must be in that transaction or be idempotent.
    """
    for _ in range(MAX_TRIES - 1):
        try:
            with sessions.begin() as session:
                return work(session)
        except DBAPIError as error:
            if not was_rolled_back(error):
                raise
        time.sleep(RETRY_PAUSE_SECONDS)
    with sessions.begin() as session:
        return work(session)


def trace_transactions(engine: Engine) -> None:
    """Record each transaction as a span, if traces are enabled."""
    if current_tracer() is None:
        return
    event.listen(engine, "begin", _started)
    event.listen(engine, "commit", lambda connection: _record(connection.info, "committed"))
    event.listen(engine, "rollback", lambda connection: _record(connection.info, "rolled back"))


def _started(connection: Connection) -> None:
    connection.info[_STARTED_AT] = time.perf_counter()


def _record(info: dict[Any, Any], outcome: str) -> None:
    # SQLAlchemy emits the event before it commits, so the span excludes the commit itself.
    started_at, tracer, parent = info.pop(_STARTED_AT, None), current_tracer(), current_traceparent()
    if tracer and parent and started_at is not None:
        tracer.record("transaction", parent, time.perf_counter() - started_at, {"signpost.outcome": outcome})
