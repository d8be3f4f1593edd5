"""Signing in: an address and its password begin a session."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Select, bindparam, func, literal, select, union_all
from sqlalchemy.orm import Session, sessionmaker

from api_service import passwords
from api_service.errors import AccountNotActivatedError, InvalidCredentialsError
from api_service.transactions import in_transaction
from api_service.use_cases.addresses import Address, has_address, proven_at
from api_service.use_cases.locking import is_active, locked_user
from api_service.use_cases.organizations import may_enter
from api_service.use_cases.sessions import BegunSession, Opening, begin_session
from shared.models import User
from shared.vocabulary import Channel, UserStatus


@dataclass(frozen=True)
class Credentials:
    """What someone offers: an address, and a normalised password."""

    address: Address
    password: str = field(repr=False)


@dataclass(frozen=True)
class Candidate:
    """Someone who may be meant by an address; or nobody, whose password nobody has."""

    id: UUID
    status: UserStatus
    password_hash: str = field(repr=False)


HOLDER, NEWEST = 0, 1
NOBODY = Candidate(UUID(int=0), UserStatus.RETIRED, passwords.NOBODYS_HASH)


def sign_in(sessions: sessionmaker[Session], credentials: Credentials, opening: Opening) -> BegunSession | None:
    """Begin a session for whoever has that address and password.

    None begins where the user's organization is not ready, for which a repair is then asked for. Raises
    InvalidCredentialsError, or, after the right password only, AccountNotActivatedError. Hashing happens
    between the transactions.
    """
    with sessions.begin() as session:
        candidates = candidates_at(session, credentials)
    right = next(with_password(candidates, credentials.password), NOBODY)
    user_id = right.id
    if user_id == NOBODY.id:
        raise InvalidCredentialsError
    if right.status is not UserStatus.ACTIVE:
        raise AccountNotActivatedError(user_id)
    renewed_hash = renewed(right.password_hash, credentials.password)

    def entered(session: Session) -> BegunSession | None:
        user = keep_to_password(session, user_id, right.password_hash)
        user.password_hash = renewed_hash
        has_entered = user.organization_id is None or may_enter(session, user.id)
        return begin_session(session, user.id, opening) if has_entered else None

    return in_transaction(sessions, entered)


def candidates_at(session: Session, credentials: Credentials) -> list[Candidate]:
    """Return whoever proved to hold the address, and whoever registered it last; nobody, where there is none.

    Two in any case, so that a wrong password costs two hashes whether the address is taken or not. The
    second is what keeps it untold: someone who registers a taken address and signs in with the password
    they gave hears that the account is not activated, as they would at a free one.
    """
    asked = {"canonical": credentials.address.canonical, "nobodys_hash": NOBODY.password_hash}
    rows = session.connection().execute(_HOLDER_AND_NEWEST[credentials.address.channel], asked)
    found = {rank: Candidate(user_id, status, kept_hash) for rank, user_id, status, kept_hash in rows}
    return [found[HOLDER], found[NEWEST]]


def holder_and_newest(channel: Channel) -> Select[int, UUID, UserStatus, str]:
    """Return what selects both by the index of ``canonical``, in one statement.

    Two whole rows in any case, nobody's where there is nobody: one less, or an empty one, takes less time.
    """
    is_theirs, is_proven = has_address(channel, bindparam("canonical")), proven_at(channel).is_not(None)
    columns = User.id, User.status, User.password_hash
    holder = select(*columns, literal(HOLDER).label("rank")).where(is_theirs, is_proven)
    newest = select(*columns, literal(NEWEST)).where(is_theirs).order_by(User.created_at.desc()).limit(1)
    both = union_all(holder, newest.subquery().select()).subquery()
    # Not as VALUES, of which SQLAlchemy keeps nothing that it has compiled: that was a third of signing in.
    ranks = union_all(select(literal(HOLDER).label("rank")), select(literal(NEWEST))).subquery("ranks")
    return select(
        ranks.c.rank,
        func.coalesce(both.c.id, NOBODY.id),
        func.coalesce(both.c.status, literal(NOBODY.status, User.status.type)),
        func.coalesce(both.c.password_hash, bindparam("nobodys_hash", type_=User.password_hash.type)),
    ).select_from(ranks.outerjoin(both, both.c.rank == ranks.c.rank))


# Put together once: to do so takes longer than to carry them out.
_HOLDER_AND_NEWEST = {channel: holder_and_newest(channel) for channel in Channel}


def with_password(candidates: list[Candidate], password: str) -> Iterator[Candidate]:
    """Find those whose password it is, one hash after the other."""
    return (candidate for candidate in candidates if passwords.is_password_of(candidate.password_hash, password))


def renewed(password_hash: str, password: str) -> str:
    """Return the hash, or a new one if hashes are made with other parameters by now."""
    return password_hash if passwords.is_hashed_as_of_now(password_hash) else passwords.hashed(password)


def keep_to_password(session: Session, user_id: UUID, password_hash: str) -> User:
    """Return the user, locked. Raises InvalidCredentialsError if their password has changed meanwhile.

    A session must not begin with the old password after the new one has ended all sessions.
    """
    has_it_still = is_active(user_id) & (User.password_hash == password_hash)
    return locked_user(session, has_it_still, otherwise=InvalidCredentialsError())
