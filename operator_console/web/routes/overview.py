"""/: the state of the outbox on one page."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response

from operator_console.actions.tokens import Scope
from operator_console.views import HourView, Stats
from operator_console.web.access import requires
from operator_console.web.chart import Hour, draw_chart
from operator_console.web.pages import page
from operator_console.web.services import services

blueprint = Blueprint("overview", __name__)

CAUSES_SHOWN = 6
REFRESH_SECONDS = 5
"""While counting is cheap."""


@dataclass(frozen=True)
class TotalBacklog:
    """The backlog of all channels; ``later`` messages are pending and not due."""

    due: int
    later: int
    is_capped: bool
    lag_seconds: float
    oldest_pending_seconds: float


@blueprint.get("/")
@requires(Scope.READ)
def get_overview() -> Response:
    """Show backlog, lag, the last 24 hours, dead letters by cause, and the providers."""
    cached, found = services().stats.get(), services().causes.get().value
    now = cached.value
    sent, dead = hourly_totals(now.hours, "sent"), hourly_totals(now.hours, "dead")
    return page(
        "overview.html",
        refresh_after=cached.refresh_after(REFRESH_SECONDS),
        now=now,
        backlog=total_backlog(now),
        relays_by_channel=Counter(channel for relay in now.relays for channel in relay.channels),
        sent_last_hour=sent[-1].count,
        dead_last_hour=dead[-1].count,
        sent=draw_chart(sent),
        dead=draw_chart(dead),
        found=found,
        causes=found.causes[:CAUSES_SHOWN],
        bounces=services().bounce_causes.get().value.causes,
        most_bounces=CAUSES_SHOWN,
        providers=now.providers,
        pauses=now.pauses,
    )


def total_backlog(now: Stats) -> TotalBacklog:
    """Add up the channels' backlogs; the lag and the age are the highest."""
    due = sum(one.due for one in now.backlog)
    return TotalBacklog(
        due=due,
        later=sum(one.pending for one in now.backlog) - due,
        is_capped=any(one.is_capped for one in now.backlog),
        lag_seconds=max((one.lag_seconds for one in now.backlog), default=0),
        oldest_pending_seconds=max((one.oldest_pending_seconds for one in now.backlog), default=0),
    )


def hourly_totals(hours: tuple[HourView, ...], status: str) -> list[Hour]:
    """Add up the channels of each hour, in the order of hours."""
    counts: dict[datetime, int] = {}
    for one in hours:
        counts[one.hour] = counts.get(one.hour, 0) + getattr(one, status)
    return [Hour(hour, count) for hour, count in counts.items()]
