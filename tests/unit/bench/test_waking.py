from pathlib import Path

import pytest

from bench import waking
from bench.waking import Turn, costs_of, moments_in, pairs_of_turns


def test_a_turn_counts_what_was_committed_in_it() -> None:
    moments = [0.99, 1.0, 1.2, 1.49, 1.5]

    assert Turn(1.0, 1.5).rate(moments) == pytest.approx(3 / 0.5)


def test_each_turn_with_wake_ups_is_held_against_the_one_beside_it() -> None:
    woken, unwoken, stalled = Turn(0, 1), Turn(1, 2), Turn(2, 3)
    commits = [*(number / 90 for number in range(90)), *(1 + number / 100 for number in range(100))]

    costs = costs_of([(woken, unwoken), (unwoken, unwoken), (stalled, unwoken)], commits)

    assert costs.unwoken == 100
    assert costs.after_commit == pytest.approx([10, 0, 100])


def test_a_pair_in_which_the_disk_stood_still_neither_ends_it_nor_tells_of_a_cost() -> None:
    commits = [number / 100 for number in range(100)]

    assert costs_of([(Turn(0, 1), Turn(0, 1)), (Turn(2, 3), Turn(2, 3))], commits).after_commit == [0, 0]


def test_wake_ups_come_in_the_first_of_two_turns_as_often_as_in_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "TURN_SECONDS", 0.03)
    woken_at: list[float] = []
    pairs = list(pairs_of_turns(lambda: woken_at.append(waking.time.time()), 6))

    assert sum(woken.began < unwoken.began for woken, unwoken in pairs) == 3
    for woken, unwoken in pairs:
        assert [moment for moment in woken_at if began(woken) <= moment < woken.ended]
        assert not [moment for moment in woken_at if began(unwoken) <= moment < unwoken.ended]


def began(turn: Turn) -> float:
    return turn.began - waking.LEFT_OVER_SECONDS


def test_the_moments_of_all_threads_are_read(tmp_path: Path) -> None:
    (tmp_path / "log.1").write_text("0 1 3213 0 1700000000 500000\n1 1 4000 0 1700000001 0\n")
    (tmp_path / "log.1.1").write_text("2 1 100 0 1700000000 750000\n")

    assert sorted(moments_in(tmp_path)) == [1700000000.5, 1700000000.75, 1700000001.0]
