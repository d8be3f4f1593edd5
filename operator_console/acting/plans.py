"""What a bulk act is to do, to which messages: decided here, done in ``bulk``."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from operator_console.acting.audit import Action
from operator_console.acting.errors import NothingChosenError
from operator_console.filters import MessageFilter, found_by_index, looked_for
from shared.models import OutboxMessage
from shared.vocabulary import ERASED, DeadReason, Status

MOST_A_STEP = 200
"""Messages, whose rows are held for as long as the step takes: some hundredths of a second."""
HIGHEST_PER_MINUTE = 1_000_000
STEP_SECONDS = 2
"""How much of a rate is used at once: little, since a rate is meant to spare somebody."""


class BulkStatus(StrEnum):
    """How a bulk act stands."""

    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"


@dataclass(frozen=True)
class BulkPlan:
    """What to do to which messages, and how many a minute at most; ``is_all`` says that no filter is no slip."""

    action: Action
    wanted: MessageFilter
    per_minute: int | None = None
    is_all: bool = False


@dataclass(frozen=True)
class Bulk:
    """A bulk act as it stands, as it may be shown: the recipient in what was ``wanted`` is masked.

    ``wait`` is how long until its next step may be made.
    """

    id: UUID
    action: str
    operator: str
    reason: str
    wanted: dict[str, Any]
    per_minute: int | None
    status: str
    found: int
    acted: int
    skipped: int
    created_at: datetime
    ended_at: datetime | None
    wait: timedelta

    @property
    def done(self) -> int:
        """How many messages it has passed."""
        return self.acted + self.skipped


def only_dead(wanted: MessageFilter) -> MessageFilter:
    """Return the filter as it is for an act: nothing but what died can be requeued or discarded."""
    return replace(wanted, status=Status.DEAD)


def chosen_by(wanted: MessageFilter) -> list[ColumnElement[bool]]:
    """Return the conditions for a bulk act to take a message.

    What was replaced or erased is nobody's to act on, and what was discarded is closed unless it is asked for.
    """
    dead = only_dead(wanted)
    return [
        *found_by_index(dead),
        *looked_for(dead),
        OutboxMessage.dead_reason.not_in(closed_to(wanted)),
        OutboxMessage.recipient != ERASED,
    ]


def closed_to(wanted: MessageFilter) -> frozenset[DeadReason]:
    """Return what a bulk act takes no message that died of, whatever else the filter lets through."""
    return frozenset({DeadReason.SUPERSEDED} | ({DeadReason.DISCARDED} - {wanted.dead_reason}))


def step_size(per_minute: int | None) -> int:
    """Return how many messages a step takes at the most."""
    return MOST_A_STEP if per_minute is None else max(1, min(MOST_A_STEP, per_minute * STEP_SECONDS // 60))


def refuse_unless_meant(plan: BulkPlan) -> None:
    """Raise NothingChosenError for a plan without a filter that does not say that all is meant."""
    if plan.wanted.is_empty_but_for_dead and not plan.is_all:
        raise NothingChosenError


def count_chosen(session: Session, wanted: MessageFilter) -> int:
    """Return how many messages a bulk act would act on now."""
    return session.scalar(select(func.count()).select_from(OutboxMessage).where(*chosen_by(wanted))) or 0
