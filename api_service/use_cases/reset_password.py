"""A forgotten password: a code goes to the address, and whoever has it chooses a new one.

An address without an account goes the same way, statement by statement: its token is a decoy, its message says so.
"""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import FaultCode, InvalidOrExpiredError
from api_service.passwords import is_address
from api_service.rate_limits import Limiter
from api_service.use_cases.account_codes import Recipient, Wanted, end_codes, issue, message_with, resets_of
from api_service.use_cases.addresses import Address, address_of
from api_service.use_cases.codes import count_tries, right_attempt, spend_attempt, use_up
from api_service.use_cases.locking import locked_user
from api_service.use_cases.notices import tell_everywhere
from api_service.use_cases.sessions import end_sessions_of, sessions_of
from api_service.use_cases.tokens import Terms
from shared.enqueue import enqueue
from shared.models import SessionRow, Token, User
from shared.secrets import SecretKeys
from shared.vocabulary import Channel, Locale, Purpose, Template
from shared.web.refusals import Fault, ValidationFailedError


@dataclass(frozen=True)
class NewPassword:
    """What someone chose who has a code."""

    address: Address
    code: str = field(repr=False)
    password: str = field(repr=False)


def ask_for_reset(session: Session, address: Address, locale: Locale, *, keys: SecretKeys, terms: Terms) -> Token:
    """Add a token and its message to the caller's transaction, whether or not the address has an account.

    Never commits. ``locale`` is for those of whom no language is known.
    """
    holder = holder_of(session, address)
    purpose = Purpose.PASSWORD_RESET if holder else Purpose.DECOY
    token = issue(session, Wanted(holder.id if holder else None, purpose, address), keys, terms)
    template = Template.PASSWORD_RESET if holder else Template.NO_ACCOUNT
    enqueue(session, message_with(template, token, recipient(holder, address, locale)))
    return token


@dataclass(frozen=True)
class Holder:
    """As much of who holds an address as it takes to write to them: to load all of a user takes longer, and tells."""

    id: UUID
    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    locale: Locale
    full_name: str | None = field(repr=False)


def recipient(holder: Holder | None, address: Address, locale: Locale) -> Recipient:
    """Return who is written to: the holder as they registered, or the address as it was typed."""
    if holder is None:
        return Recipient(address.deliverable, locale)
    return Recipient(address_of(holder, address.channel) or "", holder.locale, holder.full_name)


def holder_of(session: Session, address: Address) -> Holder | None:
    """Return the active user who has proven the address, if there is one.

    Locked as the token's foreign key would lock it, but before the tokens: whoever locks both does it so.
    """
    wanted = select(User.id, User.email, User.phone, User.locale, User.full_name).where(address.is_proven)
    row = session.execute(wanted.with_for_update(read=True, key_share=True)).one_or_none()
    return Holder(*row) if row else None


def token_of_reset(sessions: sessionmaker[Session], keys: SecretKeys, limiter: Limiter, new: NewPassword) -> UUID:
    """Return the id of the token that has this code. Raises InvalidOrExpiredError, or TooManyRequestsError.

    The attempt is committed before the code is looked at. It counts against the address, an account's or
    nobody's, if there is a code to be tried: else a stranger could use up all tries without a single message.
    That a code is used up is not told apart.
    """
    with sessions.begin() as session:
        spent = spend_attempt(session, resets_of(new.address, keys))
        count_tries(session, limiter, *([new.address.canonical] if spent.attempts else []))
    return right_attempt(spent, keys, new.code).token_id


def reset_password(session: Session, token_id: UUID, new: NewPassword, password_hash: str) -> User:
    """Use the token up, set the password, end what rested on the old one and tell, in the caller's transaction.

    Returns the user. Never commits. Raises InvalidOrExpiredError, whatever the reason.
    """
    token = session.get_one(Token, token_id)
    holder = locked_holder(session, token, new.address)
    use_up(session, token, Purpose.PASSWORD_RESET)
    refuse_own_address(holder, new.password, "#/new_password")
    set_password(session, holder, password_hash)
    return holder


def locked_holder(session: Session, token: Token, address: Address) -> User:
    """Return the token's user, locked, if the address is still theirs. Raises InvalidOrExpiredError."""
    return locked_user(session, (User.id == token.user_id) & address.is_proven, otherwise=InvalidOrExpiredError())


def refuse_own_address(user: User, password: str, pointer: str) -> None:
    """Raise ValidationFailedError for a password that is an address of the account's own."""
    addresses = [address_of(user, channel) for channel in Channel]
    if any(is_address(password, address) for address in addresses if address):
        raise ValidationFailedError([Fault(pointer, FaultCode.IS_THE_ADDRESS)])


def set_password(session: Session, user: User, password_hash: str, *, kept_session: UUID | None = None) -> None:
    """Set the password of a user whom the caller has locked; sessions and codes end, and the user is told."""
    user.password_hash = password_hash
    session.flush()
    if kept_session:
        session.execute(sessions_of(user.id).where(SessionRow.id != kept_session))
    else:
        end_sessions_of(session, user.id)
    end_codes(session, user.id, Purpose.PASSWORD_RESET, Purpose.ADDRESS_CHANGE)
    tell_everywhere(session, Template.PASSWORD_CHANGED, user)
