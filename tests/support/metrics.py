"""Values of metrics in this process."""

from typing import Any


def value_of(metric: Any) -> float:
    """Return the value of a counter with its labels."""
    [family] = metric.collect()
    [value] = [sample.value for sample in family.samples if sample.name.endswith("_total")]
    return float(value)
