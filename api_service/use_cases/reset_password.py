"""Reset a forgotten password: send a code to the address, and set a new password with it.

An address without an account takes the same statements, with a decoy token and a different message.
"""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import CTE, ScalarSelect, Select, bindparam, func, literal, select, true
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import InvalidOrExpiredError, ViolationCode
from api_service.rate_limits import Limiter
from api_service.security.passwords import is_address
from api_service.use_cases.account_codes import CodeRequest, end_codes, issue, message_with, resets_of
from api_service.use_cases.sessions import end_sessions_of, sessions_of
from api_service.use_cases.tokens import TokenPolicy, count_tries, matching_attempt, spend_attempt, use_up
from api_service.use_cases.users import (
    Address,
    address_column,
    address_of,
    is_proven_on,
    lock_user,
    notify_all_addresses,
)
from shared.enqueue import enqueue
from shared.models import SessionRow, Token, User
from shared.secrets import SecretKeys
from shared.templates import Template
from shared.vocabulary import Channel, Locale, Purpose
from shared.web.problems import ValidationFailedError, Violation

DUMMY_WORK_ROWS = 400
"""Rows to count where no account exists, which takes as long as locking the user and checking the foreign key."""


def ask_for_reset(
    session: Session, address: Address, locale: Locale, *, keys: SecretKeys, policy: TokenPolicy
) -> Token:
    """Add a token and its message in the caller's transaction, with or without an account.

    ``locale`` applies if there is no account.
    """
    addressee = find_addressee(session, address, locale)
    purpose, template = addressee.gets
    token = issue(session, CodeRequest(addressee.owner_id, purpose, address), keys, policy)
    message = message_with(
        template, token, policy, recipient=addressee.address, locale=addressee.locale, name=addressee.name
    )
    enqueue(session, message)
    return token


@dataclass(frozen=True)
class Addressee:
    """The recipient: the account's user, or the address as typed."""

    owner_id: UUID | None
    address: str = field(repr=False)
    locale: Locale
    name: str | None = field(repr=False)

    @property
    def gets(self) -> tuple[Purpose, Template]:
        """The purpose of the token, and the template of the message."""
        if self.owner_id is None:
            return Purpose.DECOY, Template("no_account")
        return Purpose.PASSWORD_RESET, Template("password_reset")


def find_addressee(session: Session, address: Address, locale: Locale) -> Addressee:
    """Return the active user who has proven the address, or the typed address without a user.

    The query returns a full row in either case, so that its duration does not reveal the account. It locks the user
    as the token's foreign key would, but before the tokens, in the order that all transactions follow.
    """
    about = {"canonical": address.canonical, "typed": address.deliverable, "locale": locale}
    row = session.connection().execute(_ADDRESSEES[address.channel], about).one()
    return Addressee(*row[:4])


def _select_on(channel: Channel) -> Select[UUID, str, Locale, str, int]:
    """Return the query of the user by ``canonical``, with ``typed`` and ``locale`` as defaults."""
    wanted = select(User.id, address_column(channel).label("address"), User.locale, User.full_name)
    is_theirs = is_proven_on(channel, bindparam("canonical"))
    holder = wanted.where(is_theirs).with_for_update(read=True, key_share=True).cte("holder")
    one_row = select(literal(1)).subquery("one_row")
    return select(
        holder.c.id,
        func.coalesce(holder.c.address, bindparam("typed")),
        func.coalesce(holder.c.locale, bindparam("locale", type_=User.locale.type)),
        holder.c.full_name,
        _dummy_work(holder),
    ).select_from(one_row.outerjoin(holder, true()))


def _dummy_work(holder: CTE) -> ScalarSelect[int]:
    numbers = func.generate_series(1, DUMMY_WORK_ROWS).table_valued("number")
    counted = select(func.count()).select_from(numbers).where(holder.c.id.is_(None))
    return counted.correlate(holder).scalar_subquery()


# Built once: building takes longer than executing.
_ADDRESSEES = {channel: _select_on(channel) for channel in Channel}


def token_of_reset(
    sessions: sessionmaker[Session], keys: SecretKeys, limiter: Limiter, address: Address, code: str
) -> UUID:
    """Return the id of the token with this code. Raises InvalidOrExpiredError or TooManyRequestsError.

    The attempt is committed before the code is compared. It counts against the address only if a code exists:
    otherwise a stranger could use up all tries without a message. A used-up code is not reported as such.
    """
    with sessions.begin() as session:
        spent = spend_attempt(session, resets_of(address, keys))
        count_tries(session, limiter, *([address.canonical] if spent.attempts else []))
    return matching_attempt(spent, keys, code).token_id


def reset_password(
    session: Session, token_id: UUID, address: Address, new_password: str, *, password_hash: str
) -> User:
    """Use the token, set the password, end sessions and codes, and notify the user, in the caller's transaction.

    Returns the user. Raises InvalidOrExpiredError.
    """
    token = session.get(Token, token_id)
    if token is None:  # erased since the code was tried
        raise InvalidOrExpiredError
    holder = lock_owner(session, token, address)
    use_up(session, token, Purpose.PASSWORD_RESET)
    reject_own_address(holder, new_password)
    set_password(session, holder, password_hash)
    return holder


def lock_owner(session: Session, token: Token, address: Address) -> User:
    """Lock and return the token's user if the address is still theirs. Raises InvalidOrExpiredError."""
    holds_it_still = is_proven_on(address.channel, address.canonical)
    return lock_user(session, (User.id == token.user_id) & holds_it_still, otherwise=InvalidOrExpiredError())


def reject_own_address(user: User, new_password: str, pointer: str = "#/new_password") -> None:
    """Raise ValidationFailedError if the new password is one of the account's addresses."""
    addresses = [address_of(user, channel) for channel in Channel]
    if any(is_address(new_password, address) for address in addresses if address):
        raise ValidationFailedError([Violation(pointer, ViolationCode.IS_THE_ADDRESS)])


def set_password(session: Session, user: User, password_hash: str, *, except_session: UUID | None = None) -> None:
    """Set the password of a locked user, end sessions and codes, and notify the user."""
    user.password_hash = password_hash
    session.flush()
    if except_session:
        session.execute(sessions_of(user.id).where(SessionRow.id != except_session))
    else:
        end_sessions_of(session, user.id)
    end_codes(session, user.id, Purpose.PASSWORD_RESET, Purpose.ADDRESS_CHANGE)
    notify_all_addresses(session, Template("password_changed"), user)
