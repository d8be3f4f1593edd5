"""Sessions: started by signing in, extended by refresh tokens that work once, and ended by deleting them.

A registration that is not activated may have limited sessions, which end with it. They never become full ones.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Delete,
    Interval,
    Row,
    Select,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, sessionmaker

from api_service.errors import (
    AccountNotActivatedError,
    InvalidCredentialsError,
    InvalidRefreshTokenError,
    NotAMemberError,
    UnknownSessionError,
)
from api_service.security import passwords
from api_service.security.hash_pool import HashPool
from api_service.transactions import in_transaction
from api_service.use_cases.security_events import (
    Client,
    EventKind,
    note_sign_in,
    note_wrong_password,
    record_event,
    see_again,
)
from api_service.use_cases.tokens import FOR_A_REGISTRATION, is_living
from api_service.use_cases.users import Address, has_address, lock_user, proven_at
from shared.log import get_logger
from shared.models import SessionRow, Token, User
from shared.vocabulary import Channel, UserStatus
from shared.web.problems import InvalidTokenError

if TYPE_CHECKING:
    from api_service.use_cases.organizations import Organizations, OrganizationView

MAX_SESSIONS = 100
"""Per user. One more ends the least recently used session."""

SessionRecord = Row[UUID, UUID, UUID | None, bool, bool, bool, bool, dict[str, Any]]
"""What a refresh reads of a session and its user."""

HALF_BYTES = 32
_REFRESH_TOKEN = re.compile(r"[A-Za-z0-9_-]{86}")

log = get_logger("api.sessions")


@dataclass(frozen=True)
class SessionPolicy:
    """A session ends when it is not refreshed for ``idle``, and after ``lifetime`` in any case.

    ``admits_limited``: registrations that are not activated get limited sessions, which end with the registration.
    """

    idle: timedelta
    lifetime: timedelta
    admits_limited: bool = False


class SessionKind(Enum):
    """A full session belongs to an active user, and a limited one to a registration that is not activated."""

    FULL = auto()
    LIMITED = auto()


@dataclass(frozen=True)
class SessionContext:
    """The policy of a new session, the client's user agent, and the client as notices show it."""

    policy: SessionPolicy
    user_agent: str | None
    client: Client


@dataclass(frozen=True)
class StartedSession:
    """A session with its refresh token, which is only available here, and the user's data for claims.

    ``ends_in``: when a limited session ends at the latest.
    """

    id: UUID
    user_id: UUID
    refresh_token: str = field(repr=False)
    profile: dict[str, Any] = field(repr=False)
    is_email_verified: bool
    is_phone_verified: bool
    ends_in: timedelta | None = None
    organization: "OrganizationView | None" = None


@dataclass(frozen=True)
class Candidate:
    """A user with the address, or a placeholder with a hash that no password matches."""

    id: UUID
    status: UserStatus
    password_hash: str = field(repr=False)


HOLDER, NEWEST = 0, 1
NO_USER = Candidate(UUID(int=0), UserStatus.RETIRED, passwords.DUMMY_HASH)


@dataclass(frozen=True)
class RefreshToken:
    """The first half identifies the session's token family, the second changes with each refresh."""

    family: bytes = field(repr=False)
    newest: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "RefreshToken":
        """Return the first token of a new family."""
        return cls(secrets.token_bytes(HALF_BYTES), secrets.token_bytes(HALF_BYTES))

    @classmethod
    def read(cls, text: str) -> "RefreshToken":
        """Parse a token. Raises InvalidRefreshTokenError."""
        if not _REFRESH_TOKEN.fullmatch(text):
            raise InvalidRefreshTokenError
        both = base64.urlsafe_b64decode(text + "==")
        return cls(both[:HALF_BYTES], both[HALF_BYTES:])

    def successor(self) -> "RefreshToken":
        """Return the next token of the family."""
        return RefreshToken(self.family, secrets.token_bytes(HALF_BYTES))

    def __str__(self) -> str:
        """Return the token as clients store it."""
        return base64.urlsafe_b64encode(self.family + self.newest).rstrip(b"=").decode()


def sign_in(
    sessions: sessionmaker[Session],
    address: Address,
    password: str,
    session_context: SessionContext,
    hashes: HashPool,
    *,
    organizations: "Organizations | None" = None,
    chosen_organization_id: UUID | None = None,
) -> StartedSession | None:
    """Start a session for the user with this address and normalized password, in the chosen organization, if any.

    A user who is not active gets a limited session, if the policy admits that and the registration has not expired.
    Whether the address is taken makes no difference.

    Returns None if the user's organization is unavailable, and enqueues its repair. Raises InvalidCredentialsError,
    or, after the right password only, AccountNotActivatedError or NotAMemberError. Hashing happens between the
    transactions; it raises OverloadedError.
    """
    with sessions.begin() as session:
        candidates = find_candidates(session, address)
    right = hashes.run(lambda: next(matching(candidates, password), NO_USER))
    user_id = right.id
    if user_id == NO_USER.id:
        with sessions.begin() as session:
            note_wrong_password(
                session, subject_of(address, candidates, session_context.client), session_context.client
            )
        raise InvalidCredentialsError
    if right.status is not UserStatus.ACTIVE and not session_context.policy.admits_limited:
        raise AccountNotActivatedError(user_id)
    new_hash = upgraded_hash(right.password_hash, password, hashes)

    def entered(session: Session) -> StartedSession | None:
        user = lock_unless_password_changed(session, user_id, right.password_hash)
        user.password_hash = new_hash
        if user.status is not UserStatus.ACTIVE:
            if chosen_organization_id is not None:
                raise NotAMemberError
            return start_limited_session(session, user.id, user.profile, session_context)
        organization = organizations.enter(session, user.id, chosen_organization_id) if organizations else None
        if organization and organization.is_closed:
            return None
        return start_session(session, user, session_context, organization)

    return in_transaction(sessions, entered)


def subject_of(address: Address, candidates: list[Candidate], client: Client) -> UUID:
    """Return the id that counts wrong passwords: the holder's, or else the hash of the address."""
    # Both are computed in any case, so that the duration does not reveal the account.
    of_address, of_holder = address.id_under(client.keys), candidates[HOLDER].id
    return of_address if of_holder == NO_USER.id else of_holder


def find_candidates(session: Session, address: Address) -> list[Candidate]:
    """Return the user with the proven address, and the latest user who registered it, or placeholders.

    Always two, so that a wrong password costs two hashes whether the address is taken or not. A person who registers a
    taken address and signs in with the password given gets the same response as with a free address.
    """
    parameters = {"canonical": address.canonical, "dummy_hash": NO_USER.password_hash}
    rows = session.connection().execute(_HOLDER_AND_NEWEST[address.channel], parameters)
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


def upgraded_hash(password_hash: str, password: str, hashes: HashPool) -> str:
    """Return the hash, or a new one if its parameters are outdated."""
    return password_hash if passwords.is_current_hash(password_hash) else hashes.hash(password)


def lock_unless_password_changed(session: Session, user_id: UUID, password_hash: str) -> User:
    """Lock and return the user. Raises InvalidCredentialsError if the password has changed since.

    A session must not start with the old password after the new one ended all sessions.
    """
    has_it_still = (User.id == user_id) & (User.password_hash == password_hash)
    return lock_user(session, has_it_still, otherwise=InvalidCredentialsError())


def start_session(
    session: Session, user: User, session_context: SessionContext, organization: "OrganizationView | None" = None
) -> StartedSession:
    """Add a session of an active user, in the caller's transaction.

    The caller holds a lock on the user, so that a concurrent password change ends this session too.
    """
    ends_in = min(session_context.policy.idle, session_context.policy.lifetime)
    session_id, token = _add_session(
        session, user.id, session_context, ends_in, organization_id=organization.id if organization else None
    )
    note_sign_in(session, user.id, session_context.client)
    return StartedSession(
        session_id,
        user.id,
        str(token),
        user.profile,
        user.is_email_verified,
        user.is_phone_verified,
        organization=organization,
    )


def start_limited_session(
    session: Session, registration_id: UUID, profile: dict[str, Any], session_context: SessionContext
) -> StartedSession:
    """Add a session of a registration that is not activated, in the caller's transaction.

    The caller has added the registration or locked it, so that a concurrent activation ends this session too. Raises
    AccountNotActivatedError if the registration has expired.
    """
    left = session.scalar(select(_end_of(registration_id) - func.now()))
    if left is None or left <= timedelta(0):
        raise AccountNotActivatedError(registration_id)
    ends_in = min(left, session_context.policy.lifetime)
    session_id, token = _add_session(session, registration_id, session_context, ends_in, is_limited=True)
    return _limited(session_id, registration_id, token, profile, ends_in)


def _add_session(
    session: Session,
    user_id: UUID,
    session_context: SessionContext,
    ends_in: timedelta,
    *,
    is_limited: bool = False,
    organization_id: UUID | None = None,
) -> tuple[UUID, RefreshToken]:
    token = RefreshToken.new()
    end_surplus_sessions(session, user_id)
    row = SessionRow(
        user_id=user_id,
        family_hash=hash_half(token.family),
        refresh_hash=hash_half(token.newest),
        user_agent=session_context.user_agent,
        expires_at=func.now() + ends_in,
        is_limited=is_limited,
        organization_id=organization_id,
    )
    session.add(row)
    session.flush()
    return row.id, token


def _limited(
    session_id: UUID, registration_id: UUID, token: RefreshToken, profile: dict[str, Any], ends_in: timedelta
) -> StartedSession:
    """Return a limited session. Its registration has proven no address."""
    return StartedSession(
        session_id,
        registration_id,
        str(token),
        profile,
        is_email_verified=False,
        is_phone_verified=False,
        ends_in=ends_in,
    )


def _end_of(registration_id: InstrumentedAttribute[UUID] | UUID) -> ColumnElement[datetime]:
    """Select when the last code of the registration expires; null without a code."""
    is_unused = Token.used_at.is_(None) & Token.purpose.in_(FOR_A_REGISTRATION)
    return select(func.max(Token.expires_at)).where(Token.user_id == registration_id, is_unused).scalar_subquery()


def refresh_session(
    sessions: sessionmaker[Session],
    refresh_token: str,
    policy: SessionPolicy,
    client: Client,
    *,
    organizations: "Organizations | None" = None,
    chosen_organization_id: UUID | None = None,
) -> StartedSession | None:
    """Extend a session and return its next refresh token. Raises InvalidRefreshTokenError.

    Without a choice, the session keeps its organization while the user belongs to it. A choice enters another one as a
    sign-in does: it raises NotAMemberError, or returns None if that organization is unavailable and enqueues its
    repair. Both leave the refresh token valid.

    A used token is in two hands, one of them possibly a thief's, so the session ends for both (RFC 9700 §4.14.2), and a
    notice reports it. The end is committed before the error is raised.
    """
    token = RefreshToken.read(refresh_token)
    with sessions.begin() as session:
        row = lock_session_family(session, token, policy)
        if row and row.is_newest:
            organization = _organization_of(session, row, organizations, chosen_organization_id)
            if organization and organization.is_closed and chosen_organization_id is not None:
                return None
            successor = token.successor()
            ends_in = rotate(session, row.id, successor, policy, organization.id if organization else None)
            if row.is_limited:
                return _limited(row.id, row.user_id, successor, row.profile, ends_in)
            see_again(session, row.user_id, client)
            return StartedSession(
                row.id,
                row.user_id,
                str(successor),
                row.profile,
                row.is_email_verified,
                row.is_phone_verified,
                organization=organization,
            )
        if row:
            session.execute(delete(SessionRow).where(SessionRow.id == row.id))
            if not row.is_limited:
                record_event(session, row.user_id, EventKind.TOKEN_REUSE, client)
            log.warning("refresh token reused, session ended", session_id=str(row.id), user_id=str(row.user_id))
    raise InvalidRefreshTokenError


def _organization_of(
    session: Session, row: SessionRecord, organizations: "Organizations | None", chosen_id: UUID | None
) -> "OrganizationView | None":
    """Return the organization that the session's next access token names."""
    if row.is_limited and chosen_id is not None:
        raise NotAMemberError
    if organizations is None or row.is_limited:
        return None
    if chosen_id is None:
        return organizations.current(session, row.user_id, row.organization_id)
    return organizations.enter(session, row.user_id, chosen_id)


def lock_session_family(session: Session, token: RefreshToken, policy: SessionPolicy) -> SessionRecord | None:
    """Lock the token's session; return it, whether the token is its newest, the proven addresses, and the profile.

    A concurrent refresh waits here and then sees the new token.
    """
    return session.execute(
        select(
            SessionRow.id,
            SessionRow.user_id,
            SessionRow.organization_id,
            SessionRow.is_limited,
            (SessionRow.refresh_hash == hash_half(token.newest)).label("is_newest"),
            User.email_verified_at.is_not(None).label("is_email_verified"),
            User.phone_verified_at.is_not(None).label("is_phone_verified"),
            User.profile,
        )
        .join(User, User.id == SessionRow.user_id)
        .where(SessionRow.family_hash == hash_half(token.family), is_alive(), is_admitted(policy))
        .with_for_update(of=SessionRow)
    ).one_or_none()


def rotate(
    session: Session, session_id: UUID, successor: RefreshToken, policy: SessionPolicy, organization_id: UUID | None
) -> timedelta:
    """Store the next refresh token, extend the session within its lifetime, and return how long it then lasts.

    Without an organization, the session keeps the stored one: the user may be invited to it again.

    A limited session lasts as long as its registration, which a resend may have extended.
    """
    at_most = case((SessionRow.is_limited, _end_of(SessionRow.user_id)), else_=func.now() + policy.idle)
    rotated = session.execute(
        update(SessionRow)
        .where(SessionRow.id == session_id)
        .values(
            refresh_hash=hash_half(successor.newest),
            organization_id=organization_id or SessionRow.organization_id,
            last_used_at=func.now(),
            expires_at=func.least(at_most, SessionRow.created_at + policy.lifetime),
        )
        .returning(type_coerce(SessionRow.expires_at - func.now(), Interval()))
        .execution_options(synchronize_session=False)
    )
    return rotated.scalar_one()


def session_kind(session: Session, session_id: UUID, user_id: UUID, policy: SessionPolicy) -> SessionKind | None:
    """Return the kind of the user's session, or None if it has ended: one lookup by key."""
    is_theirs = (SessionRow.id == session_id) & (SessionRow.user_id == user_id)
    is_limited = session.scalar(select(SessionRow.is_limited).where(is_theirs, is_alive(), is_admitted(policy)))
    if is_limited is None:
        return None
    return SessionKind.LIMITED if is_limited else SessionKind.FULL


def lock_session(session: Session, session_id: UUID) -> None:
    """Keep the session from ending before the transaction does. Raises InvalidTokenError if it has ended."""
    held = select(SessionRow.id).where(SessionRow.id == session_id, is_alive())
    if session.scalar(held.with_for_update(read=True, key_share=True)) is None:
        raise InvalidTokenError


def listed_sessions(session: Session, user_id: UUID) -> list[dict[str, Any]]:
    """Return the user's sessions without their secrets, most recently used first."""
    row = SessionRow
    columns = (row.id, row.user_agent, row.created_at, row.last_used_at, row.expires_at)
    query = select(*columns).where(row.user_id == user_id, is_alive()).order_by(row.last_used_at.desc(), row.id)
    return [dict(found) for found in session.execute(query).mappings()]


def end_session(session: Session, session_id: UUID, user_id: UUID) -> None:
    """End the user's session. Raises UnknownSessionError, also for another user's."""
    ended = session.execute(
        sessions_of(user_id).where(SessionRow.id == session_id).returning(SessionRow.id)
    ).one_or_none()
    if ended is None:
        raise UnknownSessionError


def end_sessions_of(session: Session, user_id: UUID) -> None:
    """End all sessions of the user, in the caller's transaction.

    The caller has locked the user's row, so a concurrent sign-in waits and then finds the old password wrong.
    """
    session.execute(sessions_of(user_id))


def end_surplus_sessions(session: Session, user_id: UUID) -> None:
    """End the least recently used sessions, to make room for one more."""
    surplus = (
        select(SessionRow.id)
        .where(SessionRow.user_id == user_id)
        .order_by(SessionRow.last_used_at.desc())
        .offset(MAX_SESSIONS - 1)
    )
    session.execute(sessions_of(user_id).where(SessionRow.id.in_(surplus)))


def sessions_of(user_id: UUID) -> Delete:
    """Return the statement that deletes the user's sessions."""
    return delete(SessionRow).where(SessionRow.user_id == user_id).execution_options(synchronize_session=False)


def is_alive() -> ColumnElement[bool]:
    """Return the condition that a session has not expired."""
    return SessionRow.expires_at > func.now()


def is_admitted(policy: SessionPolicy) -> ColumnElement[bool]:
    """Return the condition that a session is full, or limited while the policy and its registration allow it.

    When all codes of a registration have ended, its limited sessions have ended, too.
    """
    if not policy.admits_limited:
        return ~SessionRow.is_limited
    is_of_this = Token.purpose.in_(FOR_A_REGISTRATION) & (Token.user_id == SessionRow.user_id)
    return or_(~SessionRow.is_limited, select(Token.id).where(is_of_this, is_living()).exists())


def hash_half(half: bytes) -> bytes:
    """Return the stored form of a half. SHA-256 suffices for 256 random bits."""
    return hashlib.sha256(half).digest()
