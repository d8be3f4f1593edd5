"""Requeue: dead messages become pending and due, with a valid code and, if needed, a corrected recipient.

One statement of each kind serves any number of messages.

A code proves the address that receives it. So a message about a user may only go to that user's addresses. Before
activation, the registration gets the corrected address, and its old codes expire. The new code is a decoy if the new
address is taken. A notice that an address was changed goes to the previous address. The
database enforces all of this.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    FromClause,
    Row,
    Uuid,
    and_,
    any_,
    case,
    column,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session, aliased

from operator_console.actions.audit import Action, AuditContext, MessageRow, record_messages
from operator_console.actions.locking import (
    has_id_in,
    lock_message,
    lock_messages,
    require_dead,
    require_not_superseded,
)
from operator_console.errors import AddressNotTheirsError, WrongAddressError
from shared.addresses import InvalidAddressError, canonical_address, canonical_phone, deliverable_email
from shared.db.errors import INSUFFICIENT_PRIVILEGE, describe
from shared.enqueue import LONGEST_LIFE
from shared.models import OutboxMessage, Token
from shared.texts import masked
from shared.vocabulary import WAKE_CHANNEL, Channel, Locale, Status

AS_ENQUEUED = {
    "status": Status.PENDING,
    "dead_reason": None,
    "settled_at": None,
    "lease_token": None,
    "leased_until": None,
    "attempt": 0,
    "lost_leases": 0,
    "due_at": func.now(),
    "fallback_at": None,
}
"""The columns of a message that was never attempted. A requeued message has no fallback."""

NEW_CODE_ATTEMPTS = 5
"""How often the code of a token created here may be tried.

The console does not know the API's CODE_ATTEMPTS, and tokens do not store it. signpost_correct_address uses the same
number."""


@dataclass(frozen=True)
class Correction:
    """Corrections of a message; None keeps a value."""

    recipient: str | None = field(default=None, repr=False)
    locale: Locale | None = None

    def masked(self) -> dict[str, str]:
        """Return the changes for an audit row."""
        changed = {"recipient": self.recipient and masked(self.recipient), "locale": self.locale and self.locale.value}
        return {name: value for name, value in changed.items() if value}


NO_CORRECTION = Correction()


def requeue(session: Session, message_id: UUID, audit: AuditContext, correction: Correction = NO_CORRECTION) -> None:
    """Make a dead message pending and due now, and wake the relays at the commit.

    Raises UnknownMessageError and the errors of ``requeue_locked``. The caller commits.
    """
    requeue_locked(session, [lock_message(session, message_id)], audit, correction)
    wake_relays(session)


def requeue_locked(
    session: Session, messages: Sequence[MessageRow], audit: AuditContext, correction: Correction = NO_CORRECTION
) -> int:
    """Requeue all of the messages or raise, without waking the relays; return their number.

    Raises NotDeadError, SupersededError, ErasedError, WrongAddressError and AddressNotTheirsError.
    """
    for message in messages:
        require_dead(message, "be requeued")
        require_not_superseded(message)
    record_messages(session, messages, Action.REQUEUE, audit, after={"status": Status.PENDING} | correction.masked())
    if correction != NO_CORRECTION:
        for message in messages:
            _correct(session, message, correction)
        messages = lock_messages(session, [message.id for message in messages])
    tokens = {message.id: message.token_id for message in messages if message.token_id}
    try:
        with session.begin_nested():
            valid = valid_tokens(session, set(tokens.values()))
            _revive(session, {message.id: valid.get(tokens.get(message.id)) for message in messages})
    except ProgrammingError as error:
        # Only the database can see whether the recipient is still an address of the user.
        if describe(error)["sqlstate"] == INSUFFICIENT_PRIVILEGE:
            raise AddressNotTheirsError from error
        raise
    return len(messages)


def wake_relays(session: Session) -> None:
    """Notify the relays at the commit. At an operator's pace, the lock that NOTIFY takes at commit does not matter."""
    session.execute(select(func.pg_notify(WAKE_CHANNEL, "")))


def _revive(session: Session, tokens: Mapping[UUID, UUID | None]) -> None:
    """Reset messages to their enqueued state, each with its valid token.

    A message whose token no longer exists keeps its values, and the relay finds it expired.
    """
    given = _joined_with_tokens(tokens)
    has_token = given.c.token_id.is_not(None)
    # The relay derives the code with the key named in the payload, which must be the token's key.
    payload = OutboxMessage.payload.concat(func.jsonb_build_object("key_id", given.c.key_id))
    values: dict[str, Any] = AS_ENQUEUED | {
        "token_id": func.coalesce(given.c.token_id, OutboxMessage.token_id),
        "expires_at": case(
            (has_token, given.c.expires_at),
            (OutboxMessage.token_id.is_(None), func.now() + LONGEST_LIFE),
            else_=OutboxMessage.expires_at,
        ),
        "payload": case((has_token, payload), else_=OutboxMessage.payload),
    }
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.id == given.c.id, *has_id_in(list(tokens)))
        .values(values)
        .execution_options(synchronize_session=False)
    )


def _joined_with_tokens(tokens: Mapping[UUID, UUID | None]) -> FromClause:
    """Return message ids with the columns of their tokens, as a table to join."""
    columns = [literal(list(ids), ARRAY(Uuid)) for ids in (tokens.keys(), tokens.values())]
    pairs = func.unnest(*columns).table_valued(column("id", Uuid), column("token_id", Uuid)).render_derived(name="pair")
    joined = pairs.outerjoin(Token, Token.id == pairs.c.token_id)
    return select(pairs.c.id, Token.id.label("token_id"), Token.key_id, Token.expires_at).select_from(joined).subquery()


def valid_tokens(session: Session, token_ids: Collection[UUID]) -> dict[UUID | None, UUID]:
    """Return for each token the one whose code a requeued message carries, except for tokens of erased users.

    That is the user's newest token for the same purpose, or a copy of it if it has expired. A copy of any other token
    would end the newest, because only the newest token of a user is valid.
    """
    if not token_ids:
        return {}
    newest = _newest_tokens(session, token_ids)
    renewed = _renew(session, {row.id for row in newest if not row.is_valid})
    found = {row.own_id: row.id if row.is_valid else renewed.get(row.id) for row in newest}
    return {own_id: token_id for own_id, token_id in found.items() if token_id}


def _newest_tokens(session: Session, token_ids: Collection[UUID]) -> Iterable[Row[Any]]:
    """Return for each token the newest token of the same user, channel, address and purpose."""
    own = aliased(Token)
    has_same_purpose = or_(
        and_(own.address_id.is_(None), Token.address_id.is_(None)),
        and_(own.address_id == Token.address_id, own.purpose == Token.purpose),
    )
    # A lateral join reads the first entry of an index for each token; no other plan avoids reading all tokens.
    newest = (
        select(Token.id, (Token.expires_at > func.now()).label("is_valid"))
        .where(own.user_id == Token.user_id, own.channel == Token.channel, has_same_purpose)
        .order_by(Token.created_at.desc(), Token.id)
        .limit(1)
        .lateral()
    )
    query = select(own.id.label("own_id"), newest.c.id, newest.c.is_valid).join(newest, true())
    return session.execute(query.where(own.id == any_(literal(list(token_ids), ARRAY(Uuid))))).all()


def _renew(session: Session, old_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Copy expired tokens with a new id, key, lifetime and number of attempts; skip tokens that no longer exist.

    The key is the newest one, because the old one may have been removed.
    """
    if not old_ids:
        return {}
    new_ids = {old_id: uuid4() for old_id in old_ids}
    pairs = func.unnest(literal(list(new_ids), ARRAY(Uuid)), literal(list(new_ids.values()), ARRAY(Uuid)))
    pair = pairs.table_valued(column("old_id", Uuid), column("id", Uuid)).render_derived(name="pair")
    copied = (Token.user_id, Token.purpose, Token.channel, Token.address_id, Token.new_address)
    key_id = func.coalesce(select(func.signpost_newest_key()).scalar_subquery(), Token.key_id)
    expires_at = func.now() + (Token.expires_at - Token.created_at)
    copies = select(pair.c.id, *copied, key_id, literal(NEW_CODE_ATTEMPTS), expires_at).join(
        pair, Token.id == pair.c.old_id
    )
    columns = ["id", *(each.key for each in copied), "key_id", "attempts_left", "expires_at"]
    inserted = insert(Token).from_select(columns, copies, include_defaults=False).returning(Token.id)
    added = set(session.scalars(inserted))
    return {old_id: new_id for old_id, new_id in new_ids.items() if new_id in added}


def _correct(session: Session, message: MessageRow, correction: Correction) -> None:
    """Change the locked message. Raises WrongAddressError and AddressNotTheirsError."""
    if correction.recipient is not None:
        _correct_recipient(session, message, _deliverable(message.channel, correction.recipient))
    if correction.locale is not None:
        _update(session, message, locale=correction.locale)


def _deliverable(channel: str, text: str) -> str:
    """Return the address in the form that messages of the channel have."""
    try:
        match channel:
            case Channel.EMAIL:
                return deliverable_email(text)
            case Channel.SMS:
                return canonical_phone(text)
            case _:
                raise WrongAddressError(channel=channel)
    except InvalidAddressError as error:
        raise WrongAddressError(channel=channel) from error


def _correct_recipient(session: Session, message: MessageRow, address: str) -> None:
    if address == message.recipient or _is_allowed(session, message, address):
        return
    corrected = func.signpost_correct_address(message.id, address, canonical_address(address))
    if not session.scalar(select(corrected)):
        raise AddressNotTheirsError


def _is_allowed(session: Session, message: MessageRow, address: str) -> bool:
    """Change the recipient, unless the database refuses: only it can see the user's addresses."""
    try:
        with session.begin_nested():
            _update(session, message, recipient=address)
    except ProgrammingError as error:
        if describe(error)["sqlstate"] == INSUFFICIENT_PRIVILEGE:
            return False
        raise
    return True


def _update(session: Session, message: MessageRow, **values: Any) -> None:
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.id == message.id)
        .values(values)
        .execution_options(synchronize_session=False)
    )
