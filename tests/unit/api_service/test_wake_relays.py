from datetime import timedelta

from api_service.outbox_signals.wake_relays import LONGEST_PAUSE, SHORTEST_PAUSE, next_pause


def test_the_notifier_rests_longer_while_wake_ups_come_faster() -> None:
    pauses = [SHORTEST_PAUSE]
    while pauses[-1] < LONGEST_PAUSE:
        pauses.append(next_pause(pauses[-1], is_due=True))
    assert pauses == sorted(set(pauses))
    assert next_pause(LONGEST_PAUSE, is_due=True) == LONGEST_PAUSE == timedelta(milliseconds=20)


def test_a_wake_up_that_comes_alone_ends_the_long_rests() -> None:
    assert next_pause(LONGEST_PAUSE, is_due=False) == SHORTEST_PAUSE
