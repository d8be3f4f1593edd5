from collections.abc import Callable

import pytest

from bench.turns import TRIALS, Contestant, FailedError, best, take_turns


def contestant(name: str, *scores: float, rivals: str | None = "peers") -> Contestant[float]:
    return Contestant(name, lambda: 0.0, rivals=rivals, runs=list(scores))


def measured(*contestants: Contestant[float], rounds: int) -> dict[str, int]:
    take_turns(contestants, rounds, float, tell=lambda _: None)
    return {one.name: len(one.runs) for one in contestants}


def scoring(score: float) -> Callable[[], float]:
    return lambda: score


def failing() -> float:
    raise FailedError("it would not start")


def test_all_are_measured_in_turns_and_not_one_after_the_other() -> None:
    told: list[str] = []
    ours, peer = Contestant("ours", scoring(9)), Contestant("peer", scoring(3), rivals="peers")
    take_turns([ours, peer], 2, float, tell=told.append)
    assert told == ["round 1: ours: 9", "round 1: peer: 3", "round 2: ours: 9", "round 2: peer: 3"]


def test_a_rival_far_behind_the_best_of_its_kind_drops_out_after_the_trials() -> None:
    rounds = measured(
        Contestant("ours", scoring(1)),
        Contestant("quick", scoring(100), rivals="usual"),
        Contestant("nearly", scoring(70), rivals="usual"),
        Contestant("slow", scoring(69), rivals="usual"),
        Contestant("slow, but in another contest", scoring(10), rivals="nothing"),
        rounds=5,
    )
    assert rounds == {"ours": 5, "quick": 5, "nearly": 5, "slow": TRIALS, "slow, but in another contest": 5}


def test_who_is_wanted_for_one_turn_has_one_and_still_counts_for_its_rivals() -> None:
    rounds = measured(
        Contestant("once", scoring(100), rivals="usual", most=1),
        Contestant("slow", scoring(69), rivals="usual"),
        Contestant("ours", scoring(1)),
        rounds=3,
    )
    assert rounds == {"once": 1, "slow": TRIALS, "ours": 3}


def test_a_peer_that_fails_is_told_of_and_stops_nobody() -> None:
    broken = Contestant("broken", failing, rivals="peers")
    assert measured(broken, Contestant("ours", scoring(1)), rounds=3) == {"broken": 0, "ours": 3}
    assert broken.failure == "it would not start"


def test_a_failure_of_our_own_ends_the_run() -> None:
    with pytest.raises(FailedError):
        measured(Contestant("ours", failing), rounds=1)


def test_the_best_rival_is_the_one_with_the_highest_median() -> None:
    lucky, steady = contestant("lucky", 1, 1, 100), contestant("steady", 5, 6, 7)
    assert (
        best([lucky, steady, contestant("other", 50, rivals="others"), contestant("absent")], "peers", float) is steady
    )
    assert best([], "peers", float) is None
