from collections.abc import Callable

import pytest

from bench.rounds import Candidate, PeerError, best, ratio, run_rounds


def peer(name: str, *results: float, group: str | None = "peers") -> Candidate[float]:
    return Candidate(name, lambda: 0.0, group, list(results))


def rounds_of(*candidates: Candidate[float], rounds: int) -> dict[str, int]:
    run_rounds(candidates, rounds, float)
    return {one.name: len(one.results) for one in candidates}


def scoring(score: float) -> Callable[[], float]:
    return lambda: score


def failing() -> float:
    raise PeerError("it did not start\nits log")


def test_candidates_are_measured_in_turns(capsys: pytest.CaptureFixture[str]) -> None:
    run_rounds([Candidate("relay", scoring(9)), Candidate("peer", scoring(3), "peers")], 2, float)
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert lines == ["round 1: relay: 9", "round 1: peer: 3", "round 2: relay: 9", "round 2: peer: 3"]


def test_a_peer_far_behind_the_best_of_its_group_drops_out_after_the_first_round() -> None:
    rounds = rounds_of(
        Candidate("relay", scoring(1)),
        Candidate("fast", scoring(100), "send"),
        Candidate("nearly as fast", scoring(50), "send"),
        Candidate("slow", scoring(49), "send"),
        Candidate("slow in another group", scoring(10), "noop"),
        rounds=5,
    )
    assert rounds == {"relay": 5, "fast": 5, "nearly as fast": 5, "slow": 1, "slow in another group": 5}


def test_a_peer_that_fails_does_not_stop_the_others() -> None:
    broken = Candidate("broken", failing, "peers")
    assert rounds_of(broken, Candidate("relay", scoring(1)), rounds=3) == {"broken": 0, "relay": 3}
    assert broken.failure == "it did not start"


def test_a_failure_of_signpost_stops_the_run() -> None:
    with pytest.raises(PeerError):
        rounds_of(Candidate("relay", failing), rounds=1)


def test_the_best_of_a_group_has_the_highest_median() -> None:
    lucky, steady = peer("lucky", 1, 1, 100), peer("steady", 5, 6, 7)
    assert best([lucky, steady, peer("other", 50, group="others"), peer("not measured")], "peers", float) is steady
    assert best([], "peers", float) is None


def test_a_ratio_compares_rounds_in_which_both_were_measured() -> None:
    assert ratio(peer("relay", 10, 20, 90), peer("peer", 5, 5), float) == 3
