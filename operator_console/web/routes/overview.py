"""/: how the outbox stands, on one page."""

from collections import Counter
from dataclasses import dataclass

from flask import Blueprint, Response

from operator_console.operator_tokens import Scope
from operator_console.views import HourView, Stats
from operator_console.web.access import needs
from operator_console.web.chart import Hour, drawn
from operator_console.web.counting import causes_counted, stats_counted
from operator_console.web.pages import page

blueprint = Blueprint("overview", __name__)

CAUSES_SHOWN = 6
RENEWED_AFTER = 5
"""Seconds, where it is not dear to count."""


@dataclass(frozen=True)
class Waiting:
    """The backlog of all channels together; ``later`` are pending and not due."""

    due: int
    later: int
    is_more: bool
    lag_seconds: float


@dataclass(frozen=True)
class Tally:
    """What came of the messages of an hour, all channels together."""

    sent: int
    dead: int


@blueprint.get("/")
@needs(Scope.READ)
def get_overview() -> Response:
    """Show backlog, lag, the last hours, what died of what, and the providers."""
    standing, causes = stats_counted(), causes_counted()
    now, found = standing.value, causes.value.counted
    sent, dead = summed(now.hours, "sent"), summed(now.hours, "dead")
    return page(
        "overview.html",
        renewed_after=standing.renewed_after(RENEWED_AFTER),
        now=now,
        waiting=waiting_in(now),
        served=Counter(channel for relay in now.relays for channel in relay.channels),
        last_hour=Tally(sent[-1].count, dead[-1].count),
        sent=drawn(sent),
        dead=drawn(dead),
        found=found,
        counted_at=causes.value.at,
        causes=found.causes[:CAUSES_SHOWN],
        providers=now.providers,
    )


def waiting_in(now: Stats) -> Waiting:
    """Add the channels' backlogs up; the lag is the longest."""
    due = sum(one.due for one in now.backlog)
    return Waiting(
        due=due,
        later=sum(one.pending for one in now.backlog) - due,
        is_more=any(one.is_more for one in now.backlog),
        lag_seconds=max((one.lag_seconds for one in now.backlog), default=0),
    )


def summed(hours: tuple[HourView, ...], status: str) -> list[Hour]:
    """Add the channels of each hour up, in the order of hours."""
    counts: dict[object, Hour] = {}
    for one in hours:
        before = counts.get(one.hour, Hour(one.hour, 0)).count
        counts[one.hour] = Hour(one.hour, before + getattr(one, status))
    return list(counts.values())
