"""Sign in with an address and a password."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Select, bindparam, func, literal, select, union_all
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import AccountNotActivatedError, InvalidCredentialsError
from api_service.security import passwords
from api_service.transactions import in_transaction
from api_service.use_cases.organizations import may_sign_in
from api_service.use_cases.sessions import SessionContext, StartedSession, start_session
from api_service.use_cases.users import Address, has_address, is_active, lock_user, proven_at
from shared.models import User
from shared.vocabulary import Channel, UserStatus


@dataclass(frozen=True)
class Credentials:
    """An address and a normalized password."""

    address: Address
    password: str = field(repr=False)


@dataclass(frozen=True)
class Candidate:
    """A user with the address, or a placeholder with a hash that no password matches."""

    id: UUID
    status: UserStatus
    password_hash: str = field(repr=False)


HOLDER, NEWEST = 0, 1
NO_USER = Candidate(UUID(int=0), UserStatus.RETIRED, passwords.DUMMY_HASH)


def sign_in(
    sessions: sessionmaker[Session], credentials: Credentials, session_context: SessionContext
) -> StartedSession | None:
    """Start a session for the user with this address and password.

    Returns None if the user's organization is unavailable, and enqueues its repair. Raises InvalidCredentialsError,
    or, after the right password only, AccountNotActivatedError. Hashing happens between the transactions.
    """
    with sessions.begin() as session:
        candidates = find_candidates(session, credentials)
    right = next(matching(candidates, credentials.password), NO_USER)
    user_id = right.id
    if user_id == NO_USER.id:
        raise InvalidCredentialsError
    if right.status is not UserStatus.ACTIVE:
        raise AccountNotActivatedError(user_id)
    new_hash = upgraded_hash(right.password_hash, credentials.password)

    def entered(session: Session) -> StartedSession | None:
        user = lock_unless_password_changed(session, user_id, right.password_hash)
        user.password_hash = new_hash
        has_entered = user.organization_id is None or may_sign_in(session, user.id)
        return start_session(session, user.id, session_context) if has_entered else None

    return in_transaction(sessions, entered)


def find_candidates(session: Session, credentials: Credentials) -> list[Candidate]:
    """Return the user with the proven address, and the latest user who registered it, or placeholders.

    Always two, so that a wrong password costs two hashes whether the address is taken or not. A person who registers a
    taken address and signs in with the password given sees ``account_not_activated``, as with a free address.
    """
    parameters = {"canonical": credentials.address.canonical, "dummy_hash": NO_USER.password_hash}
    rows = session.connection().execute(_HOLDER_AND_NEWEST[credentials.address.channel], parameters)
    found = {rank: Candidate(user_id, status, kept_hash) for rank, user_id, status, kept_hash in rows}
    return [found[HOLDER], found[NEWEST]]


def holder_and_newest(channel: Channel) -> Select[int, UUID, UserStatus, str]:
    """Return the query of both candidates by ``canonical``.

    It returns two full rows in any case: fewer or emptier rows would take less time.
    """
    is_theirs, is_proven = has_address(channel, bindparam("canonical")), proven_at(channel).is_not(None)
    columns = User.id, User.status, User.password_hash
    holder = select(*columns, literal(HOLDER).label("rank")).where(is_theirs, is_proven)
    newest = select(*columns, literal(NEWEST)).where(is_theirs).order_by(User.created_at.desc()).limit(1)
    both = union_all(holder, newest.subquery().select()).subquery()
    # Not VALUES: SQLAlchemy does not cache its compilation, which took a third of the time.
    ranks = union_all(select(literal(HOLDER).label("rank")), select(literal(NEWEST))).subquery("ranks")
    return select(
        ranks.c.rank,
        func.coalesce(both.c.id, NO_USER.id),
        func.coalesce(both.c.status, literal(NO_USER.status, User.status.type)),
        func.coalesce(both.c.password_hash, bindparam("dummy_hash", type_=User.password_hash.type)),
    ).select_from(ranks.outerjoin(both, both.c.rank == ranks.c.rank))


# Built once: building takes longer than executing.
_HOLDER_AND_NEWEST = {channel: holder_and_newest(channel) for channel in Channel}


def matching(candidates: list[Candidate], password: str) -> Iterator[Candidate]:
    """Yield the candidates with this password, one hash after the other."""
    return (candidate for candidate in candidates if passwords.verify_password(candidate.password_hash, password))


def upgraded_hash(password_hash: str, password: str) -> str:
    """Return the hash, or a new one if its parameters are outdated."""
    return password_hash if passwords.is_current_hash(password_hash) else passwords.hash_password(password)


def lock_unless_password_changed(session: Session, user_id: UUID, password_hash: str) -> User:
    """Lock and return the user. Raises InvalidCredentialsError if the password has changed since.

    A session must not start with the old password after the new one ended all sessions.
    """
    has_it_still = is_active(user_id) & (User.password_hash == password_hash)
    return lock_user(session, has_it_still, otherwise=InvalidCredentialsError())
