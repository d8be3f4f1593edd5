from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as TheirHistogram

from outbox_relay.metrics import Histogram

BUCKETS = (0.002, 0.5, 1, 60)
OBSERVED = (0.0, 0.002, 0.0021, 0.5, 1.0, 59.9, 60.0, 61.0, 3600.0)


def told(registry: CollectorRegistry) -> set[tuple[str, float]]:
    """Return each bucket's bound, the count and the sum, but for when counting began, which ours leaves out."""
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {
        (f"{sample.name} {sample.labels}", sample.value) for sample in samples if not sample.name.endswith("_created")
    }


def test_a_histogram_tells_what_prometheus_clients_own_would() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("duration_seconds", "How long it took.", "provider", BUCKETS)
    ours.register(histogram)
    their_histogram = TheirHistogram(
        "duration_seconds", "How long it took.", ["provider"], buckets=BUCKETS, registry=theirs
    )
    for seconds in OBSERVED:
        histogram.of("smtp").observe(seconds)
        their_histogram.labels("smtp").observe(seconds)
    assert told(ours) == told(theirs)
    assert len(told(ours)) == len(BUCKETS) + 3


def test_each_value_of_the_label_is_counted_apart() -> None:
    histogram = Histogram("duration_seconds", "How long it took.", "provider", BUCKETS)
    histogram.of("first").observe(0.1)
    histogram.of("second").observe(0.1)
    histogram.of("first").observe(0.1)
    [family] = histogram.collect()
    counts = {sample.labels["provider"]: sample.value for sample in family.samples if sample.name.endswith("_count")}
    assert counts == {"first": 2, "second": 1}
