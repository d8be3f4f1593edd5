"""A message's life in the order in which it happened, put together from what is kept of it. Decides; does no IO."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from operator_console.views import ActionView, AttemptView, TimelineEntry
from shared.vocabulary import Status


def timeline_of(
    message: Row[Any], attempts: Sequence[AttemptView], actions: Sequence[ActionView], fell_back_at: datetime | None
) -> tuple[TimelineEntry, ...]:
    """Return what happened to the message, the first first.

    That it settled before somebody requeued it stands in its attempts and in the audit row's ``before``.
    """
    entries = [TimelineEntry(message.created_at, "enqueued", detail=message.channel)]
    entries += [TimelineEntry(one.ended_at, one.outcome, one.provider, one.error) for one in attempts]
    entries += [TimelineEntry(one.acted_at, one.action, one.operator, one.reason) for one in actions]
    entries += _falling_back(message, fell_back_at)
    entries += _settling(message)
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _falling_back(message: Row[Any], fell_back_at: datetime | None) -> Iterator[TimelineEntry]:
    if fell_back_at:
        yield TimelineEntry(fell_back_at, "fell_back", detail=message.fallback_channel)


def _settling(message: Row[Any]) -> Iterator[TimelineEntry]:
    if message.settled_at:
        is_dead = message.status == Status.DEAD
        yield TimelineEntry(
            message.settled_at, message.status, message.provider, message.dead_reason if is_dead else None
        )
