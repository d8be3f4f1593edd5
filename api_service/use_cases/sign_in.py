"""Signing in: an address and its password begin a session."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Integer, Row, Select, column, literal, select, union_all, update, values
from sqlalchemy.orm import Session, sessionmaker

from api_service import passwords
from api_service.errors import AccountNotActivatedError, InvalidCredentialsError, OrganizationNotReadyError
from api_service.use_cases.addresses import Address, proven_at
from api_service.use_cases.organizations import closed_organization, enqueue_repair
from api_service.use_cases.sessions import BegunSession, Opening, begin_session
from shared.models import User
from shared.vocabulary import UserStatus


@dataclass(frozen=True)
class Credentials:
    """What someone offers: an address, and a normalised password."""

    address: Address
    password: str = field(repr=False)


@dataclass(frozen=True)
class Candidate:
    """Someone who may be meant by an address; without an id it is nobody, whose password nobody has."""

    id: UUID | None
    status: UserStatus
    password_hash: str = field(repr=False)


NOBODY = Candidate(None, UserStatus.RETIRED, passwords.NOBODYS_HASH)


def sign_in(sessions: sessionmaker[Session], credentials: Credentials, opening: Opening) -> BegunSession:
    """Begin a session for whoever has that address and password.

    Raises InvalidCredentialsError, or, after the right password only, AccountNotActivatedError or
    OrganizationNotReadyError; with the latter, a repair has been asked for. Hashing happens between the transactions.
    """
    with sessions.begin() as session:
        candidates = candidates_at(session, credentials)
    right = next(with_password(candidates, credentials.password), NOBODY)
    if right.id is None:
        raise InvalidCredentialsError
    if right.status is not UserStatus.ACTIVE:
        raise AccountNotActivatedError(right.id)
    renewed_hash = renewed(right.password_hash, credentials.password)
    with sessions.begin() as session:
        closed_id = keep_to_password(session, right, renewed_hash)
        if closed_id is None:
            return begin_session(session, right.id, opening)
        enqueue_repair(session, closed_id)
    raise OrganizationNotReadyError


def candidates_at(session: Session, credentials: Credentials) -> list[Candidate]:
    """Return whoever proved to hold the address, and whoever registered it last; nobody, where there is none.

    Two in any case, so that a wrong password costs two hashes whether the address is taken or not. The
    second is what keeps it untold: someone who registers a taken address and signs in with the password
    they gave hears that the account is not activated, as they would at a free one.
    """
    found = {row.rank: row for row in session.execute(holder_and_newest(credentials))}
    return [candidate_in(found[rank]) for rank in (0, 1)]


def holder_and_newest(credentials: Credentials) -> Select[UUID, UserStatus, str, int]:
    """Select both by the address's index, in one statement: two rows in any case, for one less takes less time."""
    is_theirs, is_proven = credentials.address.is_theirs, proven_at(credentials.address.channel).is_not(None)
    columns = User.id, User.status, User.password_hash
    holder = select(*columns, literal(0).label("rank")).where(is_theirs, is_proven)
    newest = select(*columns, literal(1)).where(is_theirs).order_by(User.created_at.desc()).limit(1)
    both = union_all(holder, newest.subquery().select()).subquery()
    ranks = values(column("rank", Integer), name="ranks").data([(0,), (1,)])
    return select(both.c.id, both.c.status, both.c.password_hash, ranks.c.rank).select_from(
        ranks.outerjoin(both, both.c.rank == ranks.c.rank)
    )


def candidate_in(row: Row[UUID, UserStatus, str, int]) -> Candidate:
    """Return the candidate that a row has, if it has one."""
    return NOBODY if row.id is None else Candidate(row.id, row.status, row.password_hash)


def with_password(candidates: list[Candidate], password: str) -> Iterator[Candidate]:
    """Find those whose password it is, one hash after the other."""
    return (candidate for candidate in candidates if passwords.is_password_of(candidate.password_hash, password))


def renewed(password_hash: str, password: str) -> str:
    """Return the hash, or a new one if hashes are made with other parameters by now."""
    return password_hash if passwords.is_hashed_as_of_now(password_hash) else passwords.hashed(password)


def keep_to_password(session: Session, user: Candidate, renewed_hash: str) -> UUID | None:
    """Lock the user until the end of the transaction, unless their password has changed meanwhile.

    A session must not begin with the old password after the new one has ended all sessions. Returns the user's
    organization if it must not be entered now.
    """
    has_it_still = User.id == user.id, User.password_hash == user.password_hash, User.status == UserStatus.ACTIVE
    locked = select(User.id, closed_organization().label("closed_id")).where(*has_it_still)
    found = session.execute(locked.with_for_update(key_share=True, of=User)).one_or_none()
    if found is None:
        raise InvalidCredentialsError
    if renewed_hash != user.password_hash:
        session.execute(update(User).where(User.id == user.id).values(password_hash=renewed_hash))
    closed_id: UUID | None = found.closed_id
    return closed_id
