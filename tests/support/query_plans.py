"""Count the rows that statements read: each statement of a function runs again with EXPLAIN ANALYZE."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

EXPLAIN = "explain (analyze, timing off, format json) "


@dataclass(frozen=True)
class Reading:
    """One statement: its duration with planning, and the rows that its scans read."""

    statement: str
    milliseconds: float
    rows: int
    scans: frozenset[str]
    """The types of scans that read any rows."""


def readings_of(engine: Engine, work: Callable[[Session], object]) -> list[Reading]:
    """Return a reading for each statement that the work runs. Its writes are rolled back."""
    with Session(engine) as session, _noted(engine) as noted:
        work(session)
        session.rollback()
    with engine.connect() as connection:
        return [_explained(connection, statement, parameters) for statement, parameters in noted]


@contextmanager
def _noted(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    noted: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        noted.append((statement, parameters))

    event.listen(engine, "after_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(engine, "after_cursor_execute", note)


def _explained(connection: Connection, statement: str, parameters: Any) -> Reading:
    [(found,)] = connection.exec_driver_sql(f"{EXPLAIN}{statement}", parameters).all()
    [explained] = json.loads(found) if isinstance(found, str) else found
    scans = list(_scans_in(explained["Plan"]))
    return Reading(
        statement=statement,
        milliseconds=explained["Planning Time"] + explained["Execution Time"],
        rows=round(sum(_rows_looked_at(scan) for scan in scans)),
        scans=frozenset(scan["Node Type"] for scan in scans if _rows_looked_at(scan)),
    )


def _scans_in(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the executed nodes that read a table or an index."""
    is_read = "Relation Name" in plan or "Index Name" in plan
    if is_read and plan["Actual Loops"]:
        yield plan
    for part in plan.get("Plans", ()):
        yield from _scans_in(part)


def _rows_looked_at(scan: dict[str, Any]) -> float:
    removed = scan.get("Rows Removed by Filter", 0) + scan.get("Rows Removed by Index Recheck", 0)
    return float((scan["Actual Rows"] + removed) * scan["Actual Loops"])
