import pytest

from bench.report import (
    AT_LEAST,
    AT_MOST,
    GOALS,
    MISSED,
    NOT_MEASURED,
    REACHED,
    Goal,
    Report,
    goals_as_text,
    judge,
    report_as_text,
)

RATIO = Goal("drain ÷ peer", AT_LEAST, 8)
COST = Goal("CPU, ms", AT_MOST, 4)


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        (RATIO, 8, REACHED),
        (RATIO, 7.99, MISSED),
        (COST, 4, REACHED),
        (COST, 4.01, MISSED),
        (COST, 0.0, REACHED),
    ],
)
def test_a_goal_is_reached_at_its_limit_and_not_beyond(goal: Goal, value: float, verdict: str) -> None:
    [judgement] = judge({goal.figure: value}, [goal])
    assert (judgement.value, judgement.verdict) == (value, verdict)


def test_a_goal_without_a_figure_is_not_measured() -> None:
    reports: tuple[Report, ...] = ({}, {RATIO.figure: "failed"}, {RATIO.figure: {"p50": 9.0}})
    assert {judge(report, [RATIO])[0].verdict for report in reports} == {NOT_MEASURED}


def test_each_goal_has_a_line_with_its_limit_its_value_and_the_verdict() -> None:
    lines = goals_as_text(judge({RATIO.figure: 9.5}, [RATIO, COST])).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "goal limit measured",
        "drain ÷ peer ≥ 8 9.5 reached",
        "CPU, ms ≤ 4 not measured",
    ]


def test_figures_have_only_significant_digits() -> None:
    text = report_as_text({"peer": "not installed", "relay": {"messages/s": 12_345.6, "MB": 70.06}})
    assert text.splitlines() == ["peer   not installed", "relay  messages/s 12,346 · MB 70.1"]


def test_each_goal_has_its_own_figure() -> None:
    assert len({goal.figure for goal in GOALS}) == len(GOALS)
