"""Transactions as parts of the request that they belong to, where traces are recorded."""

import time
from typing import Any

from sqlalchemy import Connection, Engine, event

from shared.tracing import present_traceparent, recorder

_BEGAN = "transaction began"


def trace_transactions(engine: Engine) -> None:
    """Have each transaction recorded; does nothing where no traces are."""
    if recorder() is None:
        return
    event.listen(engine, "begin", _begin)
    event.listen(engine, "commit", _committed)
    event.listen(engine, "rollback", _rolled_back)


def _begin(connection: Connection) -> None:
    connection.info[_BEGAN] = time.perf_counter()


def _committed(connection: Connection) -> None:
    _record(connection.info, "committed")


def _rolled_back(connection: Connection) -> None:
    _record(connection.info, "rolled back")


def _record(info: dict[Any, Any], outcome: str) -> None:
    # SQLAlchemy tells before it commits: the time of the commit itself is in the request's.
    began, taker, parent = info.pop(_BEGAN, None), recorder(), present_traceparent()
    if taker and parent and began is not None:
        taker.record("transaction", parent, time.perf_counter() - began, {"signpost.outcome": outcome})
