"""What was measured, and how it is laid out: figures by name, those that belong together on one line."""

import statistics
from collections.abc import Iterable, Mapping

WHOLE_FROM = 100

Figure = float | str
Report = dict[str, Figure | dict[str, float]]


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: list[float], percent: int) -> float:
    """Return the value that so many per cent of them do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def as_text(report: Report) -> str:
    """Lay the figures out in two columns."""
    width = max(map(len, report)) + 2
    return "\n".join(f"{name:<{width}}{_told(found)}" for name, found in report.items())


def figure(value: Figure) -> str:
    """Write a figure with as many digits as mean something."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= WHOLE_FROM else f"{value:,.3g}"


def _told(found: Figure | Mapping[str, float]) -> str:
    if isinstance(found, Mapping):
        return " · ".join(f"{name} {figure(value)}" for name, value in found.items())
    return figure(found)
