"""Change an e-mail address or phone number: send a code there, and apply the change with it.

Only a reader of the new address learns whether another account has it.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import AddressTakenError, TooManyAttemptsError
from api_service.rate_limits import Limiter
from api_service.security.access_tokens import CurrentUser
from api_service.use_cases.account_codes import CodeRequest, changes_of, end_codes, issue, message_with
from api_service.use_cases.activate import ONE_HOLDER, retire_others
from api_service.use_cases.reauthentication import Reauthentication, lock_reauthenticated_user, lock_signed_in_user
from api_service.use_cases.tokens import TokenPolicy, count_tries, destinations, matching_attempt, spend_attempt, use_up
from api_service.use_cases.users import Address, notify_all_addresses, proven_at
from shared.addresses import canonical_email
from shared.db.errors import violated_constraint
from shared.enqueue import enqueue
from shared.models import Token, User
from shared.secrets import SecretKeys
from shared.templates import Template
from shared.vocabulary import Channel, Purpose


def ask_for_change(
    session: Session, reauthentication: Reauthentication, address: Address, *, keys: SecretKeys, policy: TokenPolicy
) -> Token:
    """Add a token for the new address and its message, in the caller's transaction.

    The message omits the name, because the address may belong to another person.
    """
    user = lock_reauthenticated_user(session, reauthentication)
    token = issue(session, CodeRequest(user.id, Purpose.ADDRESS_CHANGE, address), keys, policy)
    template, recipient = Template("address_change"), address.deliverable
    enqueue(session, message_with(template, token, policy, recipient=recipient, locale=user.locale))
    return token


def token_of_change(
    sessions: sessionmaker[Session], keys: SecretKeys, limiter: Limiter, *, user_id: UUID, channel: Channel, code: str
) -> UUID:
    """Return the id of the user's token with this code. The attempt is committed before the code is compared.

    Raises InvalidOrExpiredError, TooManyAttemptsError or TooManyRequestsError.
    """
    with sessions.begin() as session:
        spent = spend_attempt(session, changes_of(user_id, channel))
        count_tries(session, limiter, *destinations(session, spent))
    if spent.is_used_up:
        raise TooManyAttemptsError
    return matching_attempt(spent, keys, code).token_id


def change_address(session: Session, current_user: CurrentUser, token_id: UUID) -> None:
    """Use the token, notify all current addresses, and change the address, in the caller's transaction.

    Raises AddressTakenError, which only a reader of the new address can see.
    """
    user = lock_signed_in_user(session, current_user)
    token = session.get_one(Token, token_id)
    use_up(session, token, Purpose.ADDRESS_CHANGE)
    notify_all_addresses(session, Template("address_changed"), user)
    end_codes(session, user.id, Purpose.PASSWORD_RESET)
    take_address(session, user, token)
    retire_others(session, user, token.channel)


def take_address(session: Session, user: User, token: Token) -> None:
    """Set the user's address and mark it as proven. Raises AddressTakenError."""
    try:
        session.execute(update(User).where(User.id == user.id).values(new_columns(token)))
    except IntegrityError as error:
        if violated_constraint(error) in ONE_HOLDER:
            raise AddressTakenError from error
        raise
    session.refresh(user)


def new_columns(token: Token) -> dict[str, Any]:
    """Return the changed columns of the user."""
    address = token.new_address
    if address is None:
        raise ValueError("such a token is about no new address")
    proven: dict[str, Any] = {proven_at(token.channel).key: func.now()}
    match token.channel:
        case Channel.EMAIL:
            return proven | {"email": address, "email_canonical": canonical_email(address)}
        case Channel.SMS:
            return proven | {"phone": address}
