"""Slow counts run once for all requests, and their result is cached."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from flask.testing import FlaskClient

from operator_console.web import cache
from operator_console.web.services import EXTENSION
from tests.support.consoles import ConsoleUnderTest, console_on
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.outbox import Outbox

DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "token_id": "null"}
WAITING = "select count(*) from pg_stat_activity where usename = 'console' and wait_event_type = 'Lock'"
HELD_UP_SECONDS = 1.1


def counted(browser: FlaskClient) -> tuple[str, int]:
    """Return the count of the only cause, and the page's refresh interval."""
    text = browser.get("/messages/causes").text
    [count], [seconds] = re.findall(r'"count">(\d+)<', text), re.findall(r"every (\d+)s", text)
    return count, int(seconds)


def test_a_slow_count_runs_once_is_cached_and_slows_auto_refresh(
    console: ConsoleUnderTest, outbox: Outbox, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.put(count=2, **DEAD)
    browsers = [console.signed_in(token) for _ in range(3)]
    assert counted(browsers[0]) == ("2", 10)
    monkeypatch.setattr(cache, "EXPENSIVE_SECONDS", 1)
    with ThreadPoolExecutor(3) as many, console.database.connect() as owner:
        with owner.transaction():
            owner.execute("lock table outbox_messages")
            responses = [many.submit(counted, one) for one in browsers]
            eventually(lambda: outbox.number(WAITING) > 0)
            owner.execute("select pg_sleep(%s)", [HELD_UP_SECONDS])
            assert outbox.number(WAITING) == 1
        [(count, seconds)] = {response.result() for response in responses}
    assert count == "2"
    assert seconds > 10
    outbox.put(**DEAD)
    assert counted(browsers[0]) == (count, seconds)
    assert console.ask("GET", "/v1/messages/groups", token).json["causes"][0]["messages"] == 2


def test_a_quick_count_is_not_cached(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    browser = console.signed_in(token)
    for number in range(1, 5):
        outbox.put(**DEAD)
        assert counted(browser) == (str(number), 10)


def test_while_all_permitted_threads_count_the_process_still_responds(database: Database, token: str) -> None:
    with console_on(database, CONSOLE_THREADS="3") as console, ExitStack() as counting:
        browser = console.signed_in(token)
        for _ in range(2):  # one thread stays free
            counting.enter_context(console.app.extensions[EXTENSION].count_permits.hold())
        busy = browser.get("/bulk/new?status=dead")
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "5")
        assert console.app.test_client().get("/sign-in").status_code == 200
