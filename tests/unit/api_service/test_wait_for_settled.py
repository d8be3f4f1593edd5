from itertools import count
from threading import Event, Thread

import pytest

from api_service.outbox_signals.wait_for_settled import SettledWaiters, preferred_seconds
from tests.support.eventually import eventually


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=5", 5),
        ("Wait = 5", 5),
        ('wait="7"', 7),
        ("respond-async, wait=10; strictly", 10),
        ("wait=3, wait=9", 3),
        ("wait=21", 20),
        ("wait=999999999", 20),
        ("wait=99999999999", 20),
        ("wait=" + "9" * 8000, 20),
        ("wait=0000000000007", 7),
        ("wait=" + "0" * 1_000_000 + "x", 0),  # a backtracking pattern would take hours
        ('foo="a, wait=3"', 0),
        ('foo="a, wait=3", wait=4', 4),
        (r'foo="a\", wait=3", wait=4', 4),
        ('foo="a, wait=3', 0),
        ('foo; bar="a, wait=3", wait=5', 5),
        ('\\"' * 4000, 0),
        ("wait=0", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait=soon", 0),
        ("wait", 0),
        ("await=5", 0),
        ("foo=wait=5", 0),
    ],
)
def test_a_preference_is_parsed_as_in_rfc_7240(header: str | None, seconds: int) -> None:
    assert preferred_seconds(header) == seconds


def test_waiting_ends_when_the_message_has_settled() -> None:
    polls = count(1)

    assert SettledWaiters(2).wait_until_settled(lambda: next(polls) == 3, seconds=20)
    assert next(polls) == 4


def test_a_bounded_number_of_requests_waits() -> None:
    waiters, is_settled = SettledWaiters(2), Event()
    threads = [Thread(target=waiters.wait_until_settled, args=(is_settled.is_set, 20)) for _ in range(2)]
    for thread in threads:
        thread.start()

    eventually(lambda: waiters.wait_until_settled(lambda: True, seconds=20) is False)
    is_settled.set()
    for thread in threads:
        thread.join()
    assert waiters.wait_until_settled(lambda: True, seconds=20) is True


def test_a_failure_returns_the_permit() -> None:
    waiters = SettledWaiters(2)

    def fail() -> bool:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        waiters.wait_until_settled(fail, seconds=20)
    assert waiters.wait_until_settled(lambda: True, seconds=20) is True
