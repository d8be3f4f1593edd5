"""Which messages an operator means: what command line, HTTP interface and page can ask for, as one value."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self, TypeAlias

from sqlalchemy import ColumnClause, ColumnElement, Function, Uuid, func, literal_column

from shared.masks import masked
from shared.models import OutboxMessage
from shared.uuid7 import EPOCH
from shared.vocabulary import CHANNELS, TEMPLATES, AnyChannel, AnyTemplate, DeadReason, Status

# As text: a partial index is taken for a constant only, which the parameter of a prepared statement is not.
_DEAD: ColumnClause[str] = literal_column("'dead'")


@dataclass(frozen=True)
class MessageFilter:
    """What messages must have; what is None does not matter.

    ``created_after`` (included) and ``created_before`` (not) look at the time that a message's id carries, which is
    the clock of the process that enqueued it: so the key finds them. ``cause`` is the id of a cause.
    """

    status: Status | None = None
    dead_reason: DeadReason | None = None
    channel: AnyChannel | None = None
    template: AnyTemplate | None = None
    provider: str | None = None
    recipient: str | None = field(default=None, repr=False)
    created_after: datetime | None = None
    created_before: datetime | None = None
    cause: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything is let through."""
        return self == MessageFilter()

    @property
    def is_about_dead(self) -> bool:
        """Whether only dead messages can be let through; then an index has them by themselves."""
        return self.status is Status.DEAD or self.dead_reason is not None or self.cause is not None

    @property
    def is_empty_but_for_dead(self) -> bool:
        """Whether all that died is let through: which of them does not matter."""
        return replace(self, status=None).is_empty

    def as_json(self) -> dict[str, str]:
        """Return the filter as plain values, without what does not matter; ``from_json`` reads it again."""
        return {
            one.name: value.isoformat() if isinstance(value, datetime) else str(value)
            for one in fields(self)
            if (value := getattr(self, one.name)) is not None
        }

    def masked(self) -> dict[str, str]:
        """Return it as it may be kept: with its recipient masked."""
        return masked_json(self.as_json())

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return the filter of these values, its recipient in the form in which messages carry it."""
        wanted = cls(**values)
        return wanted if wanted.recipient is None else replace(wanted, recipient=_address(wanted.recipient))

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Read what ``as_json`` wrote. Raises KeyError or ValueError for anything else."""
        return cls.of(**{name: _READERS[name](str(value)) for name, value in plain.items()})


def masked_json(plain: dict[str, Any]) -> dict[str, Any]:
    """Return what ``as_json`` wrote, in this release or another, as it may be shown: with its recipient masked."""
    return plain | ({"recipient": masked(str(plain["recipient"]))} if plain.get("recipient") else {})


def _address(text: str) -> str:
    """Return the address in the form in which messages carry it; what is no address finds no message."""
    # Not at the top: its libraries are half as long to import as all the rest that a look needs.
    from shared.addresses import InvalidAddressError, canonical_phone, deliverable_email  # noqa: PLC0415 - as said above

    try:
        return deliverable_email(text) if "@" in text else canonical_phone(text)
    except InvalidAddressError:
        return text


def _member_of(words: Iterable[StrEnum]) -> Callable[[str], StrEnum]:
    return {word.value: word for word in words}.__getitem__


_READERS: dict[str, Any] = {
    "status": Status,
    "dead_reason": DeadReason,
    "channel": _member_of(CHANNELS),
    "template": _member_of(TEMPLATES),
    "provider": str,
    "recipient": str,
    "created_after": datetime.fromisoformat,
    "created_before": datetime.fromisoformat,
    "cause": str,
}


Messages: TypeAlias = type[OutboxMessage]
"""The outbox, or some rows of it under another name."""


def cause_of(messages: Messages = OutboxMessage) -> Function[str]:
    """Return the cause of a dead message as the index has it."""
    return func.signpost_cause(messages.dead_reason, messages.provider, messages.last_error)


def found_by_index(wanted: MessageFilter) -> list[ColumnElement[bool]]:
    """Return those conditions that an index in the order of ids answers: whatever else is asked is looked for there."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.is_about_dead:
        conditions.append(OutboxMessage.status == _DEAD)
    if wanted.cause is not None:
        conditions.append(cause_of() == wanted.cause)
    if wanted.created_after is not None:
        conditions.append(OutboxMessage.id >= _floor_of(wanted.created_after))
    if wanted.created_before is not None:
        conditions.append(OutboxMessage.id < _floor_of(wanted.created_before))
    return conditions


def looked_for(wanted: MessageFilter, messages: Messages = OutboxMessage) -> list[ColumnElement[bool]]:
    """Return the conditions that each row is held against, beyond those that an index has answered."""
    conditions: list[ColumnElement[bool]] = []
    for name in ("status", "dead_reason", "channel", "template", "provider"):
        value = getattr(wanted, name)
        if value is not None and value is not Status.DEAD:
            conditions.append(getattr(messages, name) == value)
    if wanted.recipient is not None:
        conditions.append(func.lower(messages.recipient) == func.lower(wanted.recipient))
    return conditions


def _floor_of(moment: datetime) -> Function[Any]:
    """Return what no id of that moment or a later one is below.

    Ids count from 1970 and know nothing earlier: uncut, an earlier moment would come out above all of them.
    """
    moment = max(moment, EPOCH)
    return func.signpost_uuid7_floor(moment, type_=Uuid())
