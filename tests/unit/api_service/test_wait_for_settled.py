from collections.abc import Callable
from itertools import count
from threading import Event, Thread
from uuid import UUID

import pytest

from api_service.outbox_signals.wait_for_settled import Bells, WaitingRoom, ids_in, preferred_seconds
from tests.support.bells import ring_for
from tests.support.eventually import eventually

MESSAGE = UUID(int=1)


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
        ("wait=" + "0" * 1_000_000 + "x", 0),  # for hours, were each zero tried in two places
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

    assert room_of(2).wait_until_settled(lambda: None if next(looks) == 3 else MESSAGE, seconds=20)
    assert next(looks) == 4


def test_whoever_waits_is_woken_by_its_own_message_and_by_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api_service.outbox_signals.wait_for_settled.LISTENING_LOOK_SECONDS", 20)
    bells, looks, is_settled = Bells(), count(), Event()
    bells.feed(is_fed=True)
    room = WaitingRoom(2, bells)

    def unsettled() -> UUID | None:
        next(looks)
        return None if is_settled.is_set() else MESSAGE

    waiting = Thread(target=room.wait_until_settled, args=(unsettled, 20))
    waiting.start()
    eventually(lambda: ring_for(bells, MESSAGE))
    bells.ring({UUID(int=2)})
    is_settled.set()
    bells.ring({MESSAGE})
    waiting.join(10)

    assert not waiting.is_alive()
    assert next(looks) <= 3


def test_while_nobody_rings_those_who_wait_look_themselves() -> None:
    bells, is_settled = Bells(), Event()
    room = WaitingRoom(2, bells)
    waiting = Thread(target=room.wait_until_settled, args=(lambda: None if is_settled.is_set() else MESSAGE, 20))
    waiting.start()
    eventually(lambda: ring_for(bells, MESSAGE))
    is_settled.set()
    waiting.join(10)

    assert not waiting.is_alive()


def test_at_most_half_of_the_threads_wait() -> None:
    room, may_leave = room_of(5), Event()
    held_up = [Thread(target=room.wait_until_settled, args=(until(may_leave), 20)) for _ in range(2)]
    for thread in held_up:
        thread.start()
    eventually(lambda: room.taken == 2)

    assert room.wait_until_settled(lambda: None, seconds=20) is False
    may_leave.set()
    for thread in held_up:
        thread.join()
    assert room.wait_until_settled(lambda: None, seconds=20) is True


def test_with_a_single_thread_nobody_waits() -> None:
    assert room_of(1).wait_until_settled(lambda: None, seconds=20) is False


def test_a_seat_is_free_again_after_a_failure() -> None:
    room = room_of(2)

    def fail() -> UUID | None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        room.wait_until_settled(fail, seconds=20)
    assert room.taken == 0


@pytest.mark.parametrize("payload", ["", ",", "no id", "\0", f"x,{MESSAGE.hex}", f"{MESSAGE},{'9' * 4000}"])
def test_of_a_notification_only_what_is_an_id_is_taken(payload: str) -> None:
    assert ids_in(payload) <= {MESSAGE}
    assert (MESSAGE in ids_in(payload)) == (MESSAGE.hex in payload or str(MESSAGE) in payload)


def until(over: Event) -> Callable[[], UUID | None]:
    return lambda: None if over.is_set() else MESSAGE


def room_of(threads: int) -> WaitingRoom:
    return WaitingRoom(threads, Bells())
