"""Another e-mail address or number: a code goes there, and whoever has it makes the address the account's.

Whether somebody else has the address shows only to whoever reads what goes there.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from api_service.access_tokens import SignedIn
from api_service.errors import AddressTakenError, TooManyAttemptsError
from api_service.rate_limits import Limiter
from api_service.use_cases.account_codes import Recipient, Wanted, changes_of, end_codes, issue, message_with
from api_service.use_cases.activate import ONE_HOLDER, retire_others
from api_service.use_cases.addresses import Address, proven_at
from api_service.use_cases.codes import count_tries, destinations, right_attempt, spend_attempt, use_up
from api_service.use_cases.notices import tell_everywhere
from api_service.use_cases.proof import Proof, locked_holder, locked_prover
from api_service.use_cases.tokens import Terms
from shared.addresses import canonical_email
from shared.database import violated_constraint
from shared.enqueue import enqueue
from shared.models import Token, User
from shared.secrets import SecretKeys
from shared.vocabulary import Channel, Purpose, Template


def ask_for_change(session: Session, proof: Proof, address: Address, *, keys: SecretKeys, terms: Terms) -> Token:
    """Add a token for the new address, and the message that brings its code, to the caller's transaction.

    Never commits. Without a name: the address may be somebody else's.
    """
    user = locked_prover(session, proof)
    token = issue(session, Wanted(user.id, Purpose.ADDRESS_CHANGE, address), keys, terms)
    to = Recipient(address.deliverable, user.locale)
    enqueue(session, message_with(Template.ADDRESS_CHANGE, token, to))
    return token


@dataclass(frozen=True)
class AddressCode:
    """A code that is to make an address a user's."""

    user_id: UUID
    channel: Channel
    code: str = field(repr=False)


def token_of_change(sessions: sessionmaker[Session], keys: SecretKeys, limiter: Limiter, offered: AddressCode) -> UUID:
    """Return the id of the user's token that has this code. The attempt is committed before the code is looked at.

    Raises InvalidOrExpiredError, TooManyAttemptsError, or TooManyRequestsError.
    """
    with sessions.begin() as session:
        spent = spend_attempt(session, changes_of(offered.user_id, offered.channel))
        count_tries(session, limiter, *destinations(session, spent))
    if spent.is_used_up:
        raise TooManyAttemptsError
    return right_attempt(spent, keys, offered.code).token_id


def change_address(session: Session, holder: SignedIn, token_id: UUID) -> None:
    """Use the token up, tell the addresses so far, and change one of them, in the caller's transaction.

    Never commits. Raises AddressTakenError: only to whoever has the code, and so reads what goes to the address.
    """
    user = locked_holder(session, holder)
    token = session.get_one(Token, token_id)
    use_up(session, token, Purpose.ADDRESS_CHANGE)
    tell_everywhere(session, Template.ADDRESS_CHANGED, user)
    end_codes(session, user.id, Purpose.PASSWORD_RESET)
    take_address(session, user, token)
    retire_others(session, user, token.channel)


def take_address(session: Session, user: User, token: Token) -> None:
    """Make the token's address the user's, proven. Raises AddressTakenError."""
    try:
        session.execute(update(User).where(User.id == user.id).values(new_columns(token)))
    except IntegrityError as error:
        if violated_constraint(error) in ONE_HOLDER:
            raise AddressTakenError from error
        raise
    session.refresh(user)


def new_columns(token: Token) -> dict[str, Any]:
    """Return what changes in the user's row."""
    address = token.new_address
    if address is None:
        raise ValueError("such a token is about no new address")
    proven: dict[str, Any] = {proven_at(token.channel).key: func.now()}
    match token.channel:
        case Channel.EMAIL:
            return proven | {"email": address, "email_canonical": canonical_email(address)}
        case Channel.SMS:
            return proven | {"phone": address}
