"""The bars of the chart of hourly counts. Pure functions of the counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

HEIGHT = 100
"""The drawing's height in its own units. CSS sets its size; labels are text outside the drawing."""
MIN_HEIGHT = 3
"""The height of the lowest bar above zero, so that one message among thousands is visible."""
HOURS_PER_LABEL = 6
STEPS = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Hour:
    """The count of the hour that starts at ``starts_at``."""

    starts_at: datetime
    count: int


@dataclass(frozen=True)
class Bar:
    """One hour's bar, from ``y`` down to the bottom of the drawing."""

    x: int
    y: float
    height: float
    hour: Hour
    is_labelled: bool


@dataclass(frozen=True)
class Chart:
    """Bars on a scale whose full height is the round number ``top``."""

    bars: list[Bar]
    top: int
    total: int

    @property
    def width(self) -> int:
        """The drawing's width in its own units, one for each hour."""
        return len(self.bars)

    @property
    def highest(self) -> Hour | None:
        """The hour with the highest count, or None if all are zero."""
        hours = [bar.hour for bar in self.bars if bar.hour.count]
        return max(hours, key=lambda hour: hour.count) if hours else None


def draw_chart(hours: Sequence[Hour]) -> Chart:
    """Return the chart of these hours, in their order."""
    top = round_up(max((hour.count for hour in hours), default=0))
    bars = [
        Bar(
            x=place,
            y=HEIGHT - (height := bar_height(hour.count, top)),
            height=height,
            hour=hour,
            is_labelled=hour.starts_at.hour % HOURS_PER_LABEL == 0,
        )
        for place, hour in enumerate(hours)
    ]
    return Chart(bars, top, sum(hour.count for hour in hours))


def bar_height(count: int, top: int) -> float:
    """Return the height of a bar, which is 0 only for a count of zero."""
    return max(MIN_HEIGHT, round(count / top * HEIGHT, 2)) if count else 0


def round_up(number: int) -> int:
    """Return the next number that is one of STEPS times a power of ten."""
    magnitude = 1
    while True:
        for step in STEPS:
            if step * magnitude >= number:
                return step * magnitude
        magnitude *= 10
