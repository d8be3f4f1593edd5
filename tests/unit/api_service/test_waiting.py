from itertools import count
from threading import Event, Thread

import pytest

from api_service.waiting import WaitingRoom, preferred_seconds
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
def test_a_preference_is_read_as_rfc_7240_writes_it(header: str | None, seconds: int) -> None:
    assert preferred_seconds(header) == seconds


def test_waiting_ends_when_there_is_something_to_tell() -> None:
    looks = count(1)

    assert WaitingRoom(threads=2).wait_until(lambda: next(looks) == 3, seconds=20)
    assert next(looks) == 4


def test_at_most_half_of_the_threads_wait() -> None:
    room, may_leave = WaitingRoom(threads=5), Event()
    inside = [Thread(target=room.wait_until, args=(may_leave.is_set, 20)) for _ in range(2)]
    for thread in inside:
        thread.start()
    eventually(lambda: room.taken == 2)

    assert room.wait_until(lambda: True, seconds=20) is False
    may_leave.set()
    for thread in inside:
        thread.join()
    assert room.wait_until(lambda: True, seconds=20) is True


def test_with_a_single_thread_nobody_waits() -> None:
    assert WaitingRoom(threads=1).wait_until(lambda: True, seconds=20) is False


def test_a_seat_is_free_again_after_a_failure() -> None:
    room = WaitingRoom(threads=2)

    def fail() -> bool:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        room.wait_until(fail, seconds=20)
    assert room.taken == 0
