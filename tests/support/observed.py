"""A response of the API with the database's work for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event
from werkzeug.test import TestResponse

from api_service.services import EXTENSION
from tests.support.api import ApiUnderTest


@dataclass
class Work:
    """The work for a response: its statements in order, and the rows that each wrote."""

    statements: list[str] = field(default_factory=list)
    rows_written: list[int] = field(default_factory=list)


def observed(api: ApiUnderTest, ask: Callable[[], TestResponse]) -> tuple[TestResponse, Work]:
    """Send the request, and record the database's work."""
    work = Work()

    def note(_connection: Any, cursor: Any, statement: str, *_more: Any) -> None:
        work.statements.append(statement)
        is_read = cursor.statusmessage.startswith("SELECT")
        work.rows_written.append(0 if is_read else cursor.rowcount)

    engine = api.app.extensions[EXTENSION].engine
    event.listen(engine, "after_cursor_execute", note)
    response = ask()
    event.remove(engine, "after_cursor_execute", note)
    return response, work


def shape(document: Any) -> Any:
    """Return a document's names and types, without its values."""
    if isinstance(document, dict):
        return {name: shape(value) for name, value in document.items()}
    return type(document)
