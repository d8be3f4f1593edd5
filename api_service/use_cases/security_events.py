"""Record what security notices report: unfamiliar sign-ins, refresh tokens used twice, and wrong passwords.

``signpost_enqueue_notices`` in ``migrations/sql/security_notices.sql`` adds the notices to the outbox later. A request
that added one itself would take longer for an address with an account.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, Delete, delete, func, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from api_service.use_cases.users import is_active
from shared.models import SecurityEvent, SeenClient, User, WrongPasswords
from shared.secrets import SecretKeys, client_hash

FAMILIAR = timedelta(days=90)
"""How long a device or network stays familiar, also in signpost_prune_seen_clients."""
MOST_SEEN = 50
"""Devices and networks per user. One more removes the least recently seen."""
NOTED_WRONG_PASSWORDS = 5
A_DAY = timedelta(days=1)


class EventKind(StrEnum):
    """The kinds of events, named as the templates of their notices."""

    UNFAMILIAR_SIGN_IN = "unfamiliar_sign_in"
    TOKEN_REUSE = "token_reuse"  # noqa: S105 - the name of a kind
    WRONG_PASSWORDS = "wrong_passwords"


class SeenKind(StrEnum):
    """The parts of a client that can be familiar."""

    DEVICE = "device"
    NETWORK = "network"


@dataclass(frozen=True)
class Client:
    """The device and the approximate network of a request, as notices show them, and the keys to hash them."""

    device: str | None
    network: str | None
    keys: SecretKeys = field(repr=False)

    @property
    def parts(self) -> dict[SeenKind, str]:
        """Device and network; an unknown one is familiar like any other."""
        return {SeenKind.DEVICE: self.device or "", SeenKind.NETWORK: self.network or ""}

    def hashes_under(self, user_id: UUID, key_id: str) -> dict[SeenKind, bytes]:
        """Return the hashes of device and network."""
        return {kind: client_hash(user_id, kind, text, self.keys[key_id]) for kind, text in self.parts.items()}

    def all_hashes(self, user_id: UUID) -> list[bytes]:
        """Return the hashes under all keys, because keys may have been rotated since they were stored."""
        return [each for key_id in self.keys.by_id for each in self.hashes_under(user_id, key_id).values()]


def note_sign_in(session: Session, user_id: UUID, client: Client) -> None:
    """Remember the client of an active user, and record the sign-in if it is unfamiliar, in the caller's transaction.

    The first sign-in ever is no surprise to the user, so it is not recorded. The caller holds a lock on the user.
    """
    begins = update(User).where(is_active(user_id), User.first_sign_in_at.is_(None))
    is_first = session.execute(
        begins.values(first_sign_in_at=func.now()).returning(User.id).execution_options(synchronize_session=False)
    ).one_or_none()
    is_known = is_familiar(session, user_id, client)
    remember(session, user_id, client)
    if not is_known and not is_first:
        record_event(session, user_id, EventKind.UNFAMILIAR_SIGN_IN, client)
    forget_wrong_passwords(session, user_id)


def is_familiar(session: Session, user_id: UUID, client: Client) -> bool:
    """Return whether the user has signed in from this device and this network lately."""
    is_recent = SeenClient.last_seen_at > func.now() - FAMILIAR
    theirs = select(SeenClient.kind).where(SeenClient.user_id == user_id, is_one_of(client, user_id), is_recent)
    return set(session.scalars(theirs)) == set(SeenKind)


def is_one_of(client: Client, user_id: UUID) -> ColumnElement[bool]:
    """Return the condition that a row is about this device or network."""
    return SeenClient.hash.in_(client.all_hashes(user_id))


def remember(session: Session, user_id: UUID, client: Client) -> None:
    """Store the device and the network, or when they were last seen."""
    hashes = client.hashes_under(user_id, client.keys.newest_id)
    rows = [{"user_id": user_id, "kind": kind, "hash": each} for kind, each in hashes.items()]
    seen_again = {"last_seen_at": func.now()}
    session.execute(
        insert(SeenClient).values(rows).on_conflict_do_update(index_elements=["user_id", "hash"], set_=seen_again)
    )
    latest = select(SeenClient.hash).where(SeenClient.user_id == user_id).order_by(SeenClient.last_seen_at.desc())
    surplus = clients_of(user_id).where(SeenClient.hash.in_(latest.offset(MOST_SEEN)))
    session.execute(surplus.execution_options(synchronize_session=False))


def see_again(session: Session, user_id: UUID, client: Client) -> None:
    """Keep the familiar device and network of a session in use familiar.

    Otherwise its user would get a notice at the next sign-in, when the session has reached its maximum age.
    """
    # Once a day suffices, and most refreshes then write no row. Locked rows are skipped: a sign-in from the same client
    # sees them again, and locks them in another order.
    is_old = SeenClient.last_seen_at < func.now() - A_DAY
    theirs = select(SeenClient.hash).where(SeenClient.user_id == user_id, is_one_of(client, user_id), is_old)
    old = theirs.with_for_update(skip_locked=True).cte("old")
    again = update(SeenClient).where(SeenClient.user_id == user_id, SeenClient.hash == old.c.hash)
    session.execute(again.values(last_seen_at=func.now()).execution_options(synchronize_session=False))


def forget_clients(session: Session, user_id: UUID) -> None:
    """Make all devices and networks unfamiliar, because one of them may be a thief's."""
    session.execute(clients_of(user_id).execution_options(synchronize_session=False))


def clients_of(user_id: UUID) -> Delete:
    """Return the statement that deletes the user's devices and networks."""
    return delete(SeenClient).where(SeenClient.user_id == user_id)


def note_wrong_password(session: Session, subject_id: UUID, client: Client) -> None:
    """Count a wrong password of a user, and record each fifth in a row, in the caller's transaction.

    For an address without an account, the id is the hash of the address: the same statements, so that neither the
    response nor its duration reveals the account. The relay deletes such events without a notice.

    The commit does not wait for the disk. Only the fifth writes to a logged table, and would take longer. A right
    password sets the count back, so a stranger who recognizes the fifth would notice that the owner has signed in.
    """
    one_more = {"in_a_row": WrongPasswords.in_a_row + 1, "last_at": func.now()}
    counted = insert(WrongPasswords).values(id=subject_id).on_conflict_do_update(index_elements=["id"], set_=one_more)
    without_waiting = func.set_config("synchronous_commit", "off", true())
    in_a_row, _ = session.execute(counted.returning(WrongPasswords.in_a_row, without_waiting)).one()
    if in_a_row % NOTED_WRONG_PASSWORDS == 0:
        record_event(session, subject_id, EventKind.WRONG_PASSWORDS, client)


def forget_wrong_passwords(session: Session, user_id: UUID) -> None:
    """Start counting again, after the right password."""
    session.execute(
        delete(WrongPasswords).where(WrongPasswords.id == user_id).execution_options(synchronize_session=False)
    )


def record_event(session: Session, user_id: UUID, kind: EventKind, client: Client) -> None:
    """Add an event, in the caller's transaction. Its notice derives its link with the newest key."""
    event = SecurityEvent(
        user_id=user_id, kind=kind, device=client.device, network=client.network, key_id=client.keys.newest_id
    )
    session.add(event)
    session.flush()


def seen_clients_of(session: Session, user_id: UUID) -> Sequence[SeenClient]:
    """Return the user's devices and networks, for an export."""
    theirs = select(SeenClient).where(SeenClient.user_id == user_id)
    return session.scalars(theirs.order_by(SeenClient.first_seen_at, SeenClient.kind)).all()


def events_of(session: Session, user_id: UUID) -> Sequence[SecurityEvent]:
    """Return the user's events, for an export."""
    theirs = select(SecurityEvent).where(SecurityEvent.user_id == user_id)
    return session.scalars(theirs.order_by(SecurityEvent.occurred_at, SecurityEvent.id)).all()
