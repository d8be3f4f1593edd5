"""Bulk acts: all that a filter lets through is requeued or discarded, in steps, at a rate, and each message once.

A bulk act is a row. A step is one transaction: it takes the row, acts on the next messages as one set, moves the cursor
past them, and writes when the next step may be. So it goes on after any crash where it stood, at the same rate whoever
and however many carry it on, and can be stopped between two steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from operator_console.acting.audit import Act, Action, Change, MessageRow, note
from operator_console.acting.discarding import discard_locked
from operator_console.acting.errors import ActingError, UnknownBulkError
from operator_console.acting.messages import locked_messages
from operator_console.acting.plans import (
    Bulk,
    BulkPlan,
    BulkStatus,
    chosen_by,
    count_chosen,
    only_dead,
    refuse_unless_meant,
    step_size,
)
from operator_console.acting.requeueing import requeue_locked, wake_relays
from operator_console.filters import MessageFilter, masked_json
from shared.database import UNDEFINED, describe
from shared.engine import is_database_away
from shared.log import get_logger
from shared.models import BulkActRow, OutboxMessage

PAUSE = timedelta(minutes=1)

log = get_logger("console.bulk")

ActOnThese = Callable[[Session, Sequence[MessageRow], Act], int]
ACTS: Mapping[Action, ActOnThese] = {Action.REQUEUE: requeue_locked, Action.DISCARD: discard_locked}
SWITCHES: Mapping[Action, tuple[BulkStatus, BulkStatus]] = {
    Action.STOP_BULK: (BulkStatus.RUNNING, BulkStatus.STOPPED),
    Action.RESUME_BULK: (BulkStatus.STOPPED, BulkStatus.RUNNING),
}
"""From which status to which."""


@dataclass(frozen=True)
class Step:
    """What a step does, on whose behalf, and to which messages."""

    act_on: ActOnThese
    act: Act
    chosen: Sequence[ColumnElement[bool]]


def begin_bulk(session: Session, plan: BulkPlan, act: Act) -> Bulk:
    """Count, and add the row of a bulk act; ``step_bulk`` does the rest. Never commits.

    Raises NothingChosenError.
    """
    refuse_unless_meant(plan)
    row = BulkActRow(
        action=plan.action.value,
        operator=act.operator,
        reason=act.reason,
        wanted=only_dead(plan.wanted).as_json(),
        per_minute=plan.per_minute,
        found=count_chosen(session, plan.wanted),
    )
    session.add(row)
    session.flush()
    after = {"action": row.action, "filter": plan.wanted.masked(), "found": row.found, "per_minute": row.per_minute}
    note(session, Action.BEGIN_BULK, Act(act.operator, act.reason, row.id), Change(after=after))
    return find_bulk(session, row.id)


def step_bulk(session: Session, bulk_id: UUID) -> Bulk:
    """Act on the next messages, if it is time and nobody else does; return how the bulk act then stands.

    One transaction of the caller's, to be committed at once. Raises UnknownBulkError.
    """
    taken = _taken(session, bulk_id)
    if taken is not None:
        try:
            step = _step_of(taken)
        except (KeyError, ValueError):
            log.warning("bulk act not understood", bulk_id=str(bulk_id))  # a newer release began it
            put_off(session, bulk_id)
        else:
            _make(session, taken, step)
    return find_bulk(session, bulk_id)


def put_off(session: Session, bulk_id: UUID) -> None:
    """Have its next step wait for a minute: what cannot go on now must hold up no other. Never commits."""
    _write(session, bulk_id, next_step_at=func.now() + PAUSE)


def _make(session: Session, taken: Row[Any], step: Step) -> None:
    """Act on the next messages, and write how far that has come."""
    size = step_size(taken.per_minute)
    ids = _next_ids(session, taken, step, size)
    acted = _act_on(session, ids, step) if ids else 0
    _move(session, taken, ids, acted)
    if len(ids) < size:
        _finish(session, taken)
    if acted:
        wake_relays(session)


def stop_bulk(session: Session, bulk_id: UUID, act: Act) -> Bulk:
    """Have no further step made until it is resumed; one that is done stays so. Raises UnknownBulkError."""
    return _switch(session, bulk_id, Action.STOP_BULK, act)


def resume_bulk(session: Session, bulk_id: UUID, act: Act) -> Bulk:
    """Have a stopped one go on where it stood. Raises UnknownBulkError."""
    return _switch(session, bulk_id, Action.RESUME_BULK, act)


def find_bulk(session: Session, bulk_id: UUID) -> Bulk:
    """Return how a bulk act stands. Raises UnknownBulkError."""
    row = session.execute(_bulks().where(BulkActRow.id == bulk_id)).one_or_none()
    if row is None:
        raise UnknownBulkError
    return _view(row)


def list_bulks(session: Session, limit: int = 50) -> tuple[Bulk, ...]:
    """Return the newest bulk acts, the newest first."""
    return tuple(_view(row) for row in session.execute(_bulks().order_by(BulkActRow.id.desc()).limit(limit)))


def next_running_bulk(session: Session) -> Bulk | None:
    """Return the running bulk act whose next step is due first, for whoever carries them on; ``wait`` says when."""
    running = _bulks().where(BulkActRow.status == BulkStatus.RUNNING).order_by(BulkActRow.next_step_at).limit(1)
    row = session.execute(running).one_or_none()
    return None if row is None else _view(row)


def _taken(session: Session, bulk_id: UUID) -> Row[Any] | None:
    """Take the bulk act for this transaction if it is its turn; whoever else has it makes the step instead."""
    is_time = (BulkActRow.status == BulkStatus.RUNNING, BulkActRow.next_step_at <= func.now())
    query = select(*BulkActRow.__table__.columns).where(BulkActRow.id == bulk_id, *is_time)
    return session.execute(query.with_for_update(skip_locked=True)).one_or_none()


def _step_of(taken: Row[Any]) -> Step:
    """Read what is to be done to whom. What died after the beginning was not counted and is not meant."""
    chosen = chosen_by(MessageFilter.from_json(taken.wanted))
    return Step(
        ACTS[Action(taken.action)],
        Act(taken.operator, taken.reason, taken.id),
        (*chosen, OutboxMessage.settled_at <= taken.created_at),
    )


def _next_ids(session: Session, taken: Row[Any], step: Step, limit: int) -> list[UUID]:
    """Return the next messages behind the cursor."""
    query = select(OutboxMessage.id).where(*step.chosen)
    if taken.cursor is not None:
        query = query.where(OutboxMessage.id > taken.cursor)
    return list(session.scalars(query.order_by(OutboxMessage.id).limit(limit)))


def _act_on(session: Session, ids: Sequence[UUID], step: Step) -> int:
    """Act on those of the messages that are still meant and that nobody else holds, all at once; return how many.

    Where that is refused, on either half of them, and so on until what is odd is alone: it stops no other.
    """
    try:
        with session.begin_nested():
            messages = locked_messages(session, ids, step.chosen, waits=False)
            return step.act_on(session, messages, step.act) if messages else 0
    except ActingError:
        pass
    except DBAPIError as error:
        if is_database_away(error) or describe(error)["sqlstate"] in UNDEFINED:
            raise
    middle = len(ids) // 2
    return sum(_act_on(session, half, step) for half in (ids[:middle], ids[middle:])) if middle else 0


def _move(session: Session, taken: Row[Any], ids: list[UUID], acted: int) -> None:
    """Write how far it has come, and that the next step waits for as long as these messages are to take."""
    pause = timedelta(minutes=len(ids) / taken.per_minute) if taken.per_minute else timedelta(0)
    _write(
        session,
        taken.id,
        cursor=ids[-1] if ids else taken.cursor,
        acted=BulkActRow.acted + acted,
        skipped=BulkActRow.skipped + len(ids) - acted,
        next_step_at=func.now() + pause,
    )


def _finish(session: Session, taken: Row[Any]) -> None:
    """Write that nothing is left to do: what was counted and never met was others', and a filter keeps no address."""
    left_out = func.greatest(BulkActRow.skipped, BulkActRow.found - BulkActRow.acted)
    done = {"status": BulkStatus.DONE, "ended_at": func.clock_timestamp(), "skipped": left_out}
    _write(session, taken.id, **done, wanted=masked_json(taken.wanted))


def _write(session: Session, bulk_id: UUID, **values: Any) -> None:
    written = update(BulkActRow).where(BulkActRow.id == bulk_id).values(values)
    session.execute(written.execution_options(synchronize_session=False))


def _switch(session: Session, bulk_id: UUID, action: Action, act: Act) -> Bulk:
    """Change its status as the action does, if it stands so, with an audit row."""
    before, after = SWITCHES[action]
    changed = session.execute(
        update(BulkActRow)
        .where(BulkActRow.id == bulk_id, BulkActRow.status == before)
        .values(status=after)
        .returning(BulkActRow.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if changed:
        note(session, action, Act(act.operator, act.reason, bulk_id), Change())
    return find_bulk(session, bulk_id)


def _bulks() -> Any:
    wait = func.greatest(BulkActRow.next_step_at - func.clock_timestamp(), timedelta(0)).label("wait")
    return select(*BulkActRow.__table__.columns, wait)


def _view(row: Row[Any]) -> Bulk:
    return Bulk(
        id=row.id,
        action=row.action,
        operator=row.operator,
        reason=row.reason,
        wanted=masked_json(row.wanted),
        per_minute=row.per_minute,
        status=row.status,
        found=row.found,
        acted=row.acted,
        skipped=row.skipped,
        created_at=row.created_at,
        ended_at=row.ended_at,
        wait=row.wait,
    )
