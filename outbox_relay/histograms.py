"""Histograms that cost a message next to nothing; Prometheus is told their sums when it asks."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class Series:
    """The observations of one label's value, in seconds, counted by bucket."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * len(bounds)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one. Only one thread may: a lock each time is most of what prometheus-client's own costs."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds


class Histogram(Collector):
    """A histogram with one label, to be registered as it is."""

    def __init__(self, name: str, documentation: str, label: str, buckets: Sequence[float]) -> None:
        self.name = name
        self._documentation = documentation
        self.label = label
        self._bounds = (*map(float, buckets), float("inf"))
        self._series: dict[str, Series] = {}

    def of(self, value: str) -> Series:
        """Return the series of that value of the label."""
        return self._series.setdefault(value, Series(self._bounds))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield what was counted so far; asked from the health listener's thread."""
        family = HistogramMetricFamily(self.name, self._documentation, labels=[self.label])
        bounds = [*map(str, self._bounds[:-1]), "+Inf"]
        for value, series in list(self._series.items()):
            cumulative = [float(count) for count in accumulate(list(series.counts))]
            family.add_metric([value], list(zip(bounds, cumulative, strict=True)), series.total)
        yield family
