"""A forgotten password: a code goes to the address, and whoever has it chooses a new one.

An address without an account goes the same way, statement by statement: its token is a decoy, its message says so.
"""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import CTE, ScalarSelect, Select, bindparam, func, literal, select, true
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import FaultCode, InvalidOrExpiredError
from api_service.passwords import is_address
from api_service.rate_limits import Limiter
from api_service.use_cases.account_codes import Recipient, Wanted, end_codes, issue, message_with, resets_of
from api_service.use_cases.addresses import Address, address_column, address_of, is_proven_on
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

COUNTED_FOR_NOBODY = 400
"""How far to count where nobody holds an address: as long as it takes to lock a holder and look for the foreign key."""


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
    addressee = holder_or_nobody(session, address, locale)
    purpose, template = addressee.gets
    token = issue(session, Wanted(addressee.owner_id, purpose, address), keys, terms)
    enqueue(session, message_with(template, token, addressee.recipient))
    return token


@dataclass(frozen=True)
class Addressee:
    """Who is written to: whoever holds the address, as they registered, or nobody, as it was typed."""

    owner_id: UUID | None
    recipient: Recipient

    @property
    def gets(self) -> tuple[Purpose, Template]:
        """What the token is for, and which message goes out."""
        if self.owner_id is None:
            return Purpose.DECOY, Template.NO_ACCOUNT
        return Purpose.PASSWORD_RESET, Template.PASSWORD_RESET


def holder_or_nobody(session: Session, address: Address, locale: Locale) -> Addressee:
    """Return the active user who has proven the address, if there is one, or nobody.

    A whole row in both cases, of as much as it takes to write to them: how long it takes would tell. The holder's is
    locked as the token's foreign key would lock it, but before the tokens: whoever locks both does it so.
    """
    about = {"canonical": address.canonical, "typed": address.deliverable, "locale": locale}
    row = session.connection().execute(_HOLDER_OR_NOBODY[address.channel], about).one()
    owner_id, reached_at, language, name, _counted = row
    return Addressee(owner_id, Recipient(reached_at, language, name))


def _select_on(channel: Channel) -> Select[UUID, str, Locale, str, int]:
    """Return what selects the holder of ``canonical``, or else what was ``typed`` and its ``locale``."""
    wanted = select(User.id, address_column(channel).label("address"), User.locale, User.full_name)
    is_theirs = is_proven_on(channel, bindparam("canonical"))
    holder = wanted.where(is_theirs).with_for_update(read=True, key_share=True).cte("holder")
    one_row = select(literal(1)).subquery("one_row")
    return select(
        holder.c.id,
        func.coalesce(holder.c.address, bindparam("typed")),
        func.coalesce(holder.c.locale, bindparam("locale", type_=User.locale.type)),
        holder.c.full_name,
        _counted_for_nobody(holder),
    ).select_from(one_row.outerjoin(holder, true()))


def _counted_for_nobody(holder: CTE) -> ScalarSelect[int]:
    numbers = func.generate_series(1, COUNTED_FOR_NOBODY).table_valued("number")
    counted = select(func.count()).select_from(numbers).where(holder.c.id.is_(None))
    return counted.correlate(holder).scalar_subquery()


# Put together once: to do so takes longer than to carry them out.
_HOLDER_OR_NOBODY = {channel: _select_on(channel) for channel in Channel}


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
    token = session.get(Token, token_id)
    if token is None:  # erased since its code was tried
        raise InvalidOrExpiredError
    holder = locked_owner(session, token, new.address)
    use_up(session, token, Purpose.PASSWORD_RESET)
    refuse_own_address(holder, new.password)
    set_password(session, holder, password_hash)
    return holder


def locked_owner(session: Session, token: Token, address: Address) -> User:
    """Return the token's user, locked, if the address is still theirs. Raises InvalidOrExpiredError."""
    holds_it_still = is_proven_on(address.channel, address.canonical)
    return locked_user(session, (User.id == token.user_id) & holds_it_still, otherwise=InvalidOrExpiredError())


def refuse_own_address(user: User, new_password: str) -> None:
    """Raise ValidationFailedError for a new password that is an address of the account's own."""
    addresses = [address_of(user, channel) for channel in Channel]
    if any(is_address(new_password, address) for address in addresses if address):
        raise ValidationFailedError([Fault("#/new_password", FaultCode.IS_THE_ADDRESS)])


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
