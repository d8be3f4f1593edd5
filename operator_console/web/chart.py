"""Counts by the hour as bars that people can read. Decides only: what is drawn follows from the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

HEIGHT = 100
"""Of the drawing, in units of its own; CSS gives it its size, and what is written stands beside it as text."""
LEAST_HEIGHT = 3
"""Of a bar that is not zero: one message among thousands is to be seen, too."""
LABELLED_HOURS = 6
"""One of so many of the clock has its label."""
STEPS = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Hour:
    """What was counted in the hour that begins at ``begins_at``."""

    begins_at: datetime
    count: int


@dataclass(frozen=True)
class Bar:
    """One hour's bar, ``x`` units from the left, hanging from ``y`` down to the ground."""

    x: int
    y: float
    height: float
    hour: Hour
    is_labelled: bool


@dataclass(frozen=True)
class Chart:
    """Bars under a round ``top``, the number that the full height stands for."""

    bars: list[Bar]
    top: int
    total: int

    @property
    def width(self) -> int:
        """Units of the drawing: one for each hour."""
        return len(self.bars)

    @property
    def highest(self) -> Hour | None:
        """The hour with the most; None where nothing was counted."""
        hours = [bar.hour for bar in self.bars if bar.hour.count]
        return max(hours, key=lambda hour: hour.count) if hours else None


def drawn(hours: Sequence[Hour]) -> Chart:
    """Draw the hours in their order."""
    top = round_above(max((hour.count for hour in hours), default=0))
    bars = [
        Bar(
            x=place,
            y=HEIGHT - (height := bar_height(hour.count, top)),
            height=height,
            hour=hour,
            is_labelled=hour.begins_at.hour % LABELLED_HOURS == 0,
        )
        for place, hour in enumerate(hours)
    ]
    return Chart(bars, top, sum(hour.count for hour in hours))


def bar_height(count: int, top: int) -> float:
    """Return how high a bar stands; what is not nothing is never invisible."""
    return max(LEAST_HEIGHT, round(count / top * HEIGHT, 2)) if count else 0


def round_above(number: int) -> int:
    """Return the lowest number of one digit and noughts, but 7 and 9, that is not below this one."""
    magnitude = 1
    while True:
        for step in STEPS:
            if step * magnitude >= number:
                return step * magnitude
        magnitude *= 10
