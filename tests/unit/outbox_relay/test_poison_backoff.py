from outbox_relay.delivery.poison_isolation import LONGEST_BACKOFF_SECONDS, SHORTEST_BACKOFF_SECONDS, Backoff
from outbox_relay.outbox.claim import FULL_SCAN_SECONDS


def test_suspects_take_only_a_small_share_of_the_time() -> None:
    assert Backoff().rest(round_seconds=0.0) == FULL_SCAN_SECONDS
    assert Backoff().rest(round_seconds=20.0) >= 80.0


def test_a_round_that_could_not_start_gets_twice_the_time_up_to_a_limit() -> None:
    backoff = Backoff()
    granted = []
    for _ in range(10):
        granted.append(backoff.seconds)
        backoff.timed_out()
    assert granted[:3] == [SHORTEST_BACKOFF_SECONDS * factor for factor in (1, 2, 4)]
    assert granted[-1] == LONGEST_BACKOFF_SECONDS


def test_a_round_that_started_resets_the_time_of_the_next() -> None:
    backoff = Backoff()
    backoff.timed_out()
    backoff.started()
    assert backoff.seconds == SHORTEST_BACKOFF_SECONDS
