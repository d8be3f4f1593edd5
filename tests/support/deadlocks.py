"""A request that always loses a deadlock, however busy the machine is."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

from werkzeug.test import TestResponse

from tests.support.api import ApiUnderTest
from tests.support.eventually import eventually

Statement = tuple[LiteralString, Sequence[Any]]


def after_a_deadlock(
    api: ApiUnderTest, request: Callable[[], TestResponse], *, waits_for: Statement, locks: Statement
) -> TestResponse:
    """Deadlock the request with two sessions, and return its response.

    The request waits for rows that ``waits_for`` locks, and holds rows that ``locks`` asks for.
    """
    with api.database.connect() as first, api.database.connect() as second, ThreadPoolExecutor(2) as waiting:
        with second.transaction():
            # PostgreSQL cancels the session that detects the deadlock, so this session never checks for one.
            second.execute("set local deadlock_timeout = '1h'")
            with first.transaction():
                first.execute(*waits_for)
                second.execute(*waits_for)
                response = waiting.submit(request)
                eventually(lambda: api.count_waiting() == 1)  # the request waits for the first session
                locked = waiting.submit(second.execute, *locks)
                eventually(lambda: api.count_waiting() == 2)
            # A session checks for a deadlock once in each wait. The request now waits again, for the second session.
            locked.result(60)
        return response.result(60)
