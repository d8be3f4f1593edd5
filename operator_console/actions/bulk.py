"""Bulk actions: requeue or discard all messages that match a filter, in steps, at a rate, each message once.

A bulk action is a row. A step is one transaction: it locks the row, acts on the next messages, moves the cursor past
them and stores when the next step may run. So after a crash a bulk action continues at its cursor. Its rate is the same
however many processes run its steps, and it can be stopped between two steps.

Two callers run steps: the command that started the action (``operator_console/cli/actions.py``), and the thread of each
console (``operator_console/web/bulk_worker.py``), which also continues an action whose command was killed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from operator_console.actions.audit import Action, AuditContext, MessageRow
from operator_console.actions.discard import discard_locked
from operator_console.actions.locking import lock_messages
from operator_console.actions.requeue import requeue_locked, wake_relays
from operator_console.errors import ActionError, FilterRequiredError, UnknownBulkError
from operator_console.filters import MessageFilter, index_conditions, masked_json, row_conditions
from operator_console.views import from_row
from shared.db.engine import is_database_unavailable
from shared.db.errors import UNDEFINED, describe
from shared.log import get_logger
from shared.models import BulkActRow, OutboxMessage
from shared.vocabulary import ERASED, DeadReason, Status

MAX_STEP_SIZE = 200
"""Messages whose rows a step locks; it takes some hundredths of a second."""
MAX_PER_MINUTE = 1_000_000
STEP_SECONDS = 2
"""A step's share of the rate. Longer steps would send bursts to a provider that the rate protects."""
POSTPONEMENT = timedelta(minutes=1)

log = get_logger("console.bulk")

ActOnLocked = Callable[[Session, Sequence[MessageRow], AuditContext], int]
ACTIONS: Mapping[Action, ActOnLocked] = {Action.REQUEUE: requeue_locked, Action.DISCARD: discard_locked}


class BulkStatus(StrEnum):
    """The status of a bulk action."""

    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"


SWITCHES: Mapping[Action, tuple[BulkStatus, BulkStatus]] = {
    Action.STOP_BULK: (BulkStatus.RUNNING, BulkStatus.STOPPED),
    Action.RESUME_BULK: (BulkStatus.STOPPED, BulkStatus.RUNNING),
}
"""The status before and after."""


@dataclass(frozen=True)
class BulkPlan:
    """An action on all dead messages that match a filter; ``is_all`` confirms that an empty filter is intended."""

    action: Action
    wanted: MessageFilter
    per_minute: int | None = None
    is_all: bool = False


@dataclass(frozen=True)
class BulkAction:
    """A bulk action as shown to operators, with the recipient in its filter masked.

    ``wait`` is the time until its next step may run.
    """

    id: UUID
    action: str
    operator: str
    reason: str
    filter: dict[str, Any]
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
        """The number of messages it has passed."""
        return self.acted + self.skipped


def require_filter(plan: BulkPlan) -> None:
    """Raise FilterRequiredError for an empty filter without ``is_all``."""
    if plan.wanted.matches_all_dead and not plan.is_all:
        raise FilterRequiredError


def count_matching(session: Session, wanted: MessageFilter) -> int:
    """Return how many messages a bulk action would act on now."""
    return session.scalar(select(func.count()).select_from(OutboxMessage).where(*_conditions(wanted))) or 0


def excluded_reasons(wanted: MessageFilter) -> frozenset[DeadReason]:
    """Return the reasons whose messages a bulk action skips. It takes discarded ones only if the filter names them."""
    return frozenset({DeadReason.SUPERSEDED} | ({DeadReason.DISCARDED} - {wanted.dead_reason}))


def step_size(per_minute: int | None) -> int:
    """Return the number of messages in a step."""
    return MAX_STEP_SIZE if per_minute is None else max(1, min(MAX_STEP_SIZE, per_minute * STEP_SECONDS // 60))


def start_bulk(session: Session, plan: BulkPlan, audit: AuditContext) -> BulkAction:
    """Count the messages and add the row of a bulk action, which ``step_bulk`` then carries out.

    Raises FilterRequiredError. The caller commits.
    """
    require_filter(plan)
    row = BulkActRow(
        action=plan.action.value,
        operator=audit.operator,
        reason=audit.reason,
        wanted=_dead(plan.wanted).as_json(),
        per_minute=plan.per_minute,
        found=count_matching(session, plan.wanted),
    )
    session.add(row)
    session.flush()
    after = {"action": row.action, "filter": plan.wanted.masked(), "found": row.found, "per_minute": row.per_minute}
    session.add(replace(audit, bulk_id=row.id).row(Action.START_BULK, after=after))
    return find_bulk(session, row.id)


def step_bulk(session: Session, bulk_id: UUID) -> BulkAction:
    """Run the next step if it is due and no other process runs it; return the bulk action's state.

    The caller commits at once. Raises UnknownBulkError.
    """
    row = _lock_if_due(session, bulk_id)
    if row is not None:
        try:
            act_on, wanted = ACTIONS[Action(row.action)], MessageFilter.from_json(row.wanted)
        except (KeyError, ValueError):
            log.warning("bulk action not understood", bulk_id=str(bulk_id))  # a newer release started it
            postpone_bulk(session, bulk_id)
        else:
            _run_step(session, row, act_on, wanted)
    return find_bulk(session, bulk_id)


def postpone_bulk(session: Session, bulk_id: UUID) -> None:
    """Delay the next step by a minute, so that a step that fails does not block other bulk actions."""
    _update(session, bulk_id, next_step_at=func.now() + POSTPONEMENT)


def stop_bulk(session: Session, bulk_id: UUID, audit: AuditContext) -> BulkAction:
    """Stop a running bulk action. Raises UnknownBulkError. The caller commits."""
    return _switch(session, bulk_id, audit, Action.STOP_BULK)


def resume_bulk(session: Session, bulk_id: UUID, audit: AuditContext) -> BulkAction:
    """Resume a stopped bulk action at its cursor. Raises UnknownBulkError. The caller commits.

    A running bulk action stays unchanged, and the caller may run its next steps. This helps after its command was
    killed.
    """
    return _switch(session, bulk_id, audit, Action.RESUME_BULK)


def find_bulk(session: Session, bulk_id: UUID) -> BulkAction:
    """Return a bulk action. Raises UnknownBulkError."""
    row = session.execute(_bulk_rows().where(BulkActRow.id == bulk_id)).one_or_none()
    if row is None:
        raise UnknownBulkError
    return _view(row)


def list_bulks(session: Session, limit: int = 50) -> tuple[BulkAction, ...]:
    """Return the newest bulk actions, newest first."""
    return tuple(_view(row) for row in session.execute(_bulk_rows().order_by(BulkActRow.id.desc()).limit(limit)))


def next_running_bulk(session: Session) -> BulkAction | None:
    """Return the running bulk action whose next step is due first; its ``wait`` says when."""
    running = _bulk_rows().where(BulkActRow.status == BulkStatus.RUNNING).order_by(BulkActRow.next_step_at).limit(1)
    row = session.execute(running).one_or_none()
    return None if row is None else _view(row)


def _dead(wanted: MessageFilter) -> MessageFilter:
    return replace(wanted, status=Status.DEAD)


def _conditions(wanted: MessageFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of the messages that a bulk action takes."""
    return [
        *index_conditions(_dead(wanted)),
        *row_conditions(_dead(wanted)),
        OutboxMessage.dead_reason.not_in(excluded_reasons(wanted)),
        OutboxMessage.recipient != ERASED,
    ]


def _lock_if_due(session: Session, bulk_id: UUID) -> Row[Any] | None:
    """Lock the row if its next step is due. If another process has locked it, that process runs the step."""
    is_due = (BulkActRow.status == BulkStatus.RUNNING, BulkActRow.next_step_at <= func.now())
    query = select(*BulkActRow.__table__.columns).where(BulkActRow.id == bulk_id, *is_due)
    return session.execute(query.with_for_update(skip_locked=True)).one_or_none()


def _run_step(session: Session, row: Row[Any], act_on: ActOnLocked, wanted: MessageFilter) -> None:
    """Act on the messages after the cursor, and store the progress and the time of the next step."""
    # Messages that died after the start were not counted, so they are not included.
    conditions = [*_conditions(wanted), OutboxMessage.settled_at <= row.created_at]
    masked = {name: value for name, value in masked_json(row.wanted).items() if name != "status"}
    audit = AuditContext(row.operator, row.reason, row.id, masked)

    def act(ids: Sequence[UUID]) -> int:
        messages = lock_messages(session, ids, conditions, skip_locked=True)
        return act_on(session, messages, audit) if messages else 0

    size = step_size(row.per_minute)
    after_cursor = [] if row.cursor is None else [OutboxMessage.id > row.cursor]
    query = select(OutboxMessage.id).where(*conditions, *after_cursor).order_by(OutboxMessage.id).limit(size)
    ids = list(session.scalars(query))
    acted = _act_or_split(session, ids, act) if ids else 0
    pause = timedelta(minutes=len(ids) / row.per_minute) if row.per_minute else timedelta(0)
    _update(
        session,
        row.id,
        cursor=ids[-1] if ids else row.cursor,
        acted=BulkActRow.acted + acted,
        skipped=BulkActRow.skipped + len(ids) - acted,
        next_step_at=func.now() + pause,
    )
    if len(ids) < size:
        _finish(session, row)
    if acted:
        wake_relays(session)


def _act_or_split(session: Session, ids: Sequence[UUID], act: Callable[[Sequence[UUID]], int]) -> int:
    """Act on all messages at once. If that fails, act on each half, and so skip only the messages that fail alone."""
    try:
        with session.begin_nested():
            return act(ids)
    except ActionError:
        pass
    except DBAPIError as error:
        if is_database_unavailable(error) or describe(error)["sqlstate"] in UNDEFINED:
            raise
    middle = len(ids) // 2
    return sum(_act_or_split(session, half, act) for half in (ids[:middle], ids[middle:])) if middle else 0


def _finish(session: Session, row: Row[Any]) -> None:
    """Mark the bulk action as done. Messages that others changed before it reached them count as skipped.

    The stored filter keeps no address.
    """
    skipped = func.greatest(BulkActRow.skipped, BulkActRow.found - BulkActRow.acted)
    done = {"status": BulkStatus.DONE, "ended_at": func.clock_timestamp(), "skipped": skipped}
    _update(session, row.id, **done, wanted=masked_json(row.wanted))


def _update(session: Session, bulk_id: UUID, **values: Any) -> None:
    query = update(BulkActRow).where(BulkActRow.id == bulk_id).values(values)
    session.execute(query.execution_options(synchronize_session=False))


def _switch(session: Session, bulk_id: UUID, audit: AuditContext, action: Action) -> BulkAction:
    """Change the status as the action does, if it applies, with an audit row."""
    before, after = SWITCHES[action]
    changed = session.execute(
        update(BulkActRow)
        .where(BulkActRow.id == bulk_id, BulkActRow.status == before)
        .values(status=after)
        .returning(BulkActRow.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if changed:
        session.add(replace(audit, bulk_id=bulk_id).row(action))
    return find_bulk(session, bulk_id)


def _bulk_rows() -> Any:
    wait = func.greatest(BulkActRow.next_step_at - func.clock_timestamp(), timedelta(0)).label("wait")
    return select(*BulkActRow.__table__.columns, wait)


def _view(row: Row[Any]) -> BulkAction:
    return from_row(BulkAction, row, filter=masked_json(row.wanted))
