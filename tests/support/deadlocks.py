"""A request that meets a deadlock and is the one to give way, however busy the machine is."""

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
    """Return the response to a request that waits for what one statement locks and locks what the other asks for."""
    with api.database.connect() as first, api.database.connect() as second, ThreadPoolExecutor(2) as waiting:
        with second.transaction():
            # The session that looks for a deadlock is the one that gives way, so this one never looks.
            second.execute("set local deadlock_timeout = '1h'")
            with first.transaction():
                first.execute(*waits_for)
                second.execute(*waits_for)
                response = waiting.submit(request)
                eventually(lambda: api.count_waiting() == 1)  # the request waits for the first session
                locked = waiting.submit(second.execute, *locks)
                eventually(lambda: api.count_waiting() == 2)
            # A session looks once in each wait. The request begins another now, for the second session: a deadlock.
            locked.result(60)
        return response.result(60)
