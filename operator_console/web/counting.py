"""Counts of the whole outbox, which take as long as there is much of it: asked for once for all who want them."""

from operator_console.reading import list_causes_at, stats
from operator_console.views import CausesAt, Stats
from operator_console.web.kept import Answer
from operator_console.web.services import services


def causes_counted() -> Answer[CausesAt]:
    """Return what the dead died of, and when that was counted."""
    return services().causes.answer(_count_causes)


def stats_counted() -> Answer[Stats]:
    """Return how the outbox stood a moment ago."""
    return services().stats.answer(_count_stats)


def _count_causes() -> CausesAt:
    with services().sessions.begin() as session:
        return list_causes_at(session)


def _count_stats() -> Stats:
    with services().sessions.begin() as session:
        return stats(session)
