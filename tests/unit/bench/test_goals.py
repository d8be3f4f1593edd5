import pytest

from bench.goals import GOALS, Bound, Goal, Verdict, goals_as_text, judge
from bench.report import Report

RATIO = Goal("drain ÷ peer", Bound.AT_LEAST, 8)
COST = Goal("CPU, ms", Bound.AT_MOST, 4)


@pytest.mark.parametrize(
    ("goal", "found", "verdict"),
    [
        (RATIO, 8, Verdict.REACHED),
        (RATIO, 7.99, Verdict.NOT_REACHED),
        (COST, 4, Verdict.REACHED),
        (COST, 4.01, Verdict.NOT_REACHED),
        (COST, 0.0, Verdict.REACHED),
    ],
)
def test_a_goal_is_reached_at_its_limit_and_not_beyond(goal: Goal, found: float, verdict: Verdict) -> None:
    [judgement] = judge({goal.figure: found}, [goal])
    assert (judgement.found, judgement.verdict) == (found, verdict)


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    reports: tuple[Report, ...] = ({}, {RATIO.figure: "absent"}, {RATIO.figure: {"p50": 9.0}})
    assert {judge(report, [RATIO])[0].verdict for report in reports} == {Verdict.NOT_MEASURED}


def test_each_goal_has_a_line_with_its_limit_what_was_found_and_the_verdict() -> None:
    lines = goals_as_text(judge({RATIO.figure: 9.5}, [RATIO, COST])).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "goal limit found",
        "drain ÷ peer ≥ 8 9.5 reached",
        "CPU, ms ≤ 4 not measured",
    ]


def test_no_figure_is_aimed_at_twice() -> None:
    assert len({goal.figure for goal in GOALS}) == len(GOALS)
