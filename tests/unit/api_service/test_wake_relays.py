from datetime import timedelta

from api_service.outbox_signals.wake_relays import LONGEST_PAUSE, SHORTEST_PAUSE, next_pause


def test_the_notifier_pauses_longer_under_load() -> None:
    pauses = [SHORTEST_PAUSE]
    while pauses[-1] < LONGEST_PAUSE:
        pauses.append(next_pause(pauses[-1], is_due=True))
    assert pauses == sorted(set(pauses))
    assert next_pause(LONGEST_PAUSE, is_due=True) == LONGEST_PAUSE == timedelta(milliseconds=20)


def test_a_single_wake_up_ends_long_pauses() -> None:
    assert next_pause(LONGEST_PAUSE, is_due=False) == SHORTEST_PAUSE
