from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operator_console.web.chart import HEIGHT, Hour, bar_height, draw_chart, round_up

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)


def hours(*counts: int) -> list[Hour]:
    return [Hour(MIDNIGHT + timedelta(hours=number), count) for number, count in enumerate(counts)]


@pytest.mark.parametrize(
    ("number", "top"), [(0, 1), (1, 1), (2, 2), (7, 8), (9, 10), (11, 20), (67, 80), (2003, 3000), (100_001, 200_000)]
)
def test_the_top_of_the_scale_is_a_round_number(number: int, top: int) -> None:
    assert round_up(number) == top


@given(st.integers(0, 10**9))
def test_every_bar_fits_the_drawing_and_is_visible(number: int) -> None:
    top = round_up(max(number, 1))
    assert number <= top
    assert 0 < bar_height(1, top) <= HEIGHT
    assert bar_height(number, top) <= HEIGHT
    assert bar_height(0, top) == 0


def test_bars_start_at_the_bottom_in_the_order_of_hours() -> None:
    chart = draw_chart(hours(0, 5, 10))
    assert [(bar.x, bar.y, bar.height) for bar in chart.bars] == [(0, 100, 0), (1, 50, 50), (2, 0, 100)]
    assert (chart.top, chart.total, chart.width) == (10, 15, 3)
    assert chart.highest == Hour(MIDNIGHT + timedelta(hours=2), 10)


def test_every_sixth_hour_of_the_clock_is_labelled() -> None:
    assert [bar.x for bar in draw_chart(hours(*[1] * 24)).bars if bar.is_labelled] == [0, 6, 12, 18]


def test_no_hour_is_highest_if_all_counts_are_zero() -> None:
    assert draw_chart(hours(0, 0)).highest is None
    assert draw_chart([]).top == 1
