"""Pause a provider, a channel or a template by hand, resume it, and have relays probe a provider at once.

The console only writes rows, which the relays read within a second. Each change is audited.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, false, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from operator_console.actions.audit import Action, AuditContext
from operator_console.actions.locking import has_id_in
from operator_console.actions.requeue import wake_relays
from operator_console.errors import BreakerNotOpenError, NotPausedError, ProviderPausedError, UnknownTargetError
from operator_console.filters import is_active_pause, is_paused_provider
from operator_console.views import PauseView, from_row
from shared.models import OutboxMessage, PauseRow, ProviderRow
from shared.templates import TEMPLATES_AND_WORK
from shared.vocabulary import CHANNELS, PROVIDER_CONFIGURED_SECONDS, PauseKind, Status

MAX_PAUSE_MINUTES = 7 * 24 * 60
MAX_PROBED = 10
"""How many waiting messages a probe makes due. Relays need some to probe with, and some may fail."""


@dataclass(frozen=True)
class PauseTarget:
    """What to pause: a provider, a channel or a template, by its name."""

    kind: PauseKind
    name: str

    def as_json(self) -> dict[str, str]:
        """Return the target for an audit row."""
        return {"kind": self.kind.value, "name": self.name}


@dataclass(frozen=True)
class PauseImpact:
    """What a pause would do to the messages that are pending now: ``waiting`` ones wait.

    ``expiring`` ones carry codes that expire before the pause ends, the first at ``first_expires_at``. The messages of
    a provider go to ``other_providers`` instead, if there are any.
    """

    waiting: int
    expiring: int
    first_expires_at: datetime | None
    other_providers: tuple[str, ...] = ()


def count_impact(session: Session, target: PauseTarget, spans: Sequence[timedelta | None]) -> tuple[PauseImpact, ...]:
    """Return the impact of a pause of each length; None is one without an end. Raises UnknownTargetError."""
    _require_known(session, target)
    others = _other_providers(session, target)
    has_code = (OutboxMessage.token_id.is_not(None), OutboxMessage.expires_at.is_not(None))
    expiring = [
        func.count().filter(*has_code, *([] if span is None else [OutboxMessage.expires_at <= func.now() + span]))
        for span in spans
    ]
    first = func.min(OutboxMessage.expires_at).filter(*has_code)
    query = select(func.count(), first, *expiring).where(
        OutboxMessage.status == Status.PENDING, false() if others else _affected(session, target)
    )
    waiting, first_expires_at, *counts = session.execute(query).one()
    return tuple(PauseImpact(waiting, count, first_expires_at if count else None, others) for count in counts)


def pause(session: Session, target: PauseTarget, span: timedelta | None, audit: AuditContext) -> PauseView:
    """Pause the target for that long, or until it is resumed; a new pause replaces the present one.

    Raises UnknownTargetError. The caller commits.
    """
    _require_known(session, target)
    before = _active(session, target)
    values = {
        "operator": audit.operator,
        "reason": audit.reason,
        "paused_at": func.now(),
        "until": None if span is None else func.now() + span,
    }
    query = insert(PauseRow).values(kind=target.kind.value, name=target.name, **values)
    session.execute(query.on_conflict_do_update(index_elements=[PauseRow.kind, PauseRow.name], set_=values))
    now = _active(session, target)
    if now is None:
        raise RuntimeError("a pause was over before it began")
    session.add(audit.row(Action.PAUSE, before=_audited(target, before), after=_audited(target, now)))
    wake_relays(session)
    return now


def resume(session: Session, target: PauseTarget, audit: AuditContext) -> None:
    """End the pause. Raises NotPausedError. The caller commits."""
    before = _active(session, target)
    if before is None:
        raise NotPausedError
    session.execute(delete(PauseRow).where(*_is_of(target)))
    session.add(audit.row(Action.RESUME, before=_audited(target, before)))
    wake_relays(session)


def probe(session: Session, provider: str, audit: AuditContext) -> int:
    """Make a provider's open breaker half-open, and the first messages that wait for it due; return their number.

    Raises UnknownTargetError, ProviderPausedError and BreakerNotOpenError. The caller commits.
    """
    _require_known(session, PauseTarget(PauseKind.PROVIDER, provider))
    if session.scalar(select(ProviderRow.name).where(ProviderRow.name == provider, is_paused_provider())):
        raise ProviderPausedError
    is_open = (ProviderRow.consecutive_opens > 0, ProviderRow.open_until > func.now())
    before = session.scalar(select(ProviderRow.open_until).where(ProviderRow.name == provider, *is_open))
    if before is None:
        raise BreakerNotOpenError
    session.execute(update(ProviderRow).where(ProviderRow.name == provider, *is_open).values(open_until=func.now()))
    waits = (OutboxMessage.status == Status.PENDING, OutboxMessage.due_at > func.now())
    first = (
        select(OutboxMessage.id)
        .where(*waits, OutboxMessage.provider == provider, OutboxMessage.last_error_class == "provider")
        .order_by(OutboxMessage.due_at)
        .limit(MAX_PROBED)
        .with_for_update(skip_locked=True)
    )
    ids = list(session.scalars(first))
    if ids:
        session.execute(update(OutboxMessage).where(*has_id_in(ids)).values(due_at=func.now()))
    session.add(
        audit.row(
            Action.PROBE,
            before={"provider": provider, "open_until": before.isoformat()},
            after={"breaker": "half_open", "messages_made_due": len(ids)},
        )
    )
    wake_relays(session)
    return len(ids)


def _require_known(session: Session, target: PauseTarget) -> None:
    """Raise UnknownTargetError for a name without a provider, channel or template."""
    providers = session.scalars(select(ProviderRow.name).where(ProviderRow.name == target.name)).all()
    known: Mapping[PauseKind, Collection[str]] = {
        PauseKind.PROVIDER: providers,
        PauseKind.CHANNEL: CHANNELS,
        PauseKind.TEMPLATE: TEMPLATES_AND_WORK,
    }
    if target.name not in known[target.kind]:
        raise UnknownTargetError(kind=target.kind.value)


def _affected(session: Session, target: PauseTarget) -> ColumnElement[bool]:
    """Return the condition of the messages that a pause holds back."""
    match target.kind:
        case PauseKind.PROVIDER:
            channel = session.scalar(select(ProviderRow.channel).where(ProviderRow.name == target.name))
            return false() if channel is None else OutboxMessage.channel == channel
        case PauseKind.CHANNEL:
            return OutboxMessage.channel == target.name
        case PauseKind.TEMPLATE:
            return OutboxMessage.template == target.name


def _other_providers(session: Session, target: PauseTarget) -> tuple[str, ...]:
    """Return the providers that take over the messages of a paused one."""
    if target.kind is not PauseKind.PROVIDER:
        return ()
    own_channel = select(ProviderRow.channel).where(ProviderRow.name == target.name).scalar_subquery()
    query = select(ProviderRow.name).where(
        ProviderRow.name != target.name,
        ProviderRow.channel == own_channel,
        ProviderRow.seen_at > func.now() - timedelta(seconds=PROVIDER_CONFIGURED_SECONDS),
        ~is_paused_provider(),
    )
    return tuple(session.scalars(query.order_by(ProviderRow.name)))


def _active(session: Session, target: PauseTarget) -> PauseView | None:
    query = select(*PauseRow.__table__.columns).where(*_is_of(target), is_active_pause())
    row = session.execute(query).one_or_none()
    return None if row is None else from_row(PauseView, row)


def _is_of(target: PauseTarget) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return PauseRow.kind == target.kind.value, PauseRow.name == target.name


def _audited(target: PauseTarget, pause: PauseView | None) -> dict[str, str]:
    """Return the target and its state for an audit row."""
    state = {"state": "paused" if pause else "not paused"}
    until = {"until": pause.until.isoformat()} if pause and pause.until else {}
    return target.as_json() | state | until
