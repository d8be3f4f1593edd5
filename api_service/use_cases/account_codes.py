"""Tokens about an address: what resets a password, and what proves a new address.

A reset is asked for by whoever knows an address. Its token is found by what stands for that (``address_id``), so that
one for an address without an account, a decoy that is nobody's, costs the same statements as any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.orm import Session

from api_service.use_cases.addresses import Address
from api_service.use_cases.tokens import (
    Terms,
    end_tokens,
    has_half_its_life_left,
    is_living,
    owner_of_messages,
    supersede_messages,
)
from shared.enqueue import NewMessage
from shared.models import Token
from shared.secrets import SecretKeys
from shared.vocabulary import Channel, Locale, Purpose, Template


@dataclass(frozen=True)
class Recipient:
    """Who is written to: where, in which language, and by what name if it is known to be theirs."""

    address: str = field(repr=False)
    locale: Locale
    name: str | None = field(default=None, repr=False)


FOR_A_RESET = (Purpose.PASSWORD_RESET, Purpose.DECOY)


@dataclass(frozen=True)
class Wanted:
    """A token that is asked for: whose it is, what it may be used for, and the address that its code goes to."""

    owner_id: UUID | None
    purpose: Purpose
    address: Address


def issue(session: Session, wanted: Wanted, keys: SecretKeys, terms: Terms) -> Token:
    """Return the token whose code is to be told; earlier messages that still wait are closed.

    The last one, while it has half of its life and an attempt left: its code is repeated, ends when it would have,
    and asking again buys no new guesses. Otherwise a fresh one, and the earlier end here.
    """
    let_others_wait(session, wanted, keys)
    earlier = living(session, replaced_by(wanted, keys))
    supersede_messages(session, *earlier)
    if earlier and is_like(earlier[0], wanted) and is_worth_repeating(session, earlier[0]):
        return earlier[0]
    end_tokens(session, earlier)
    return add(session, wanted, keys, terms)


def is_worth_repeating(session: Session, token: Token) -> bool:
    """Tell whether the token's code leaves enough time, and tries, to use it."""
    return token.attempts_left > 0 and has_half_its_life_left(session, token)


def let_others_wait(session: Session, wanted: Wanted, keys: SecretKeys) -> None:
    """Let nobody ask for the same until the transaction ends: two at once would send two codes."""
    what = wanted.owner_id if wanted.purpose is Purpose.ADDRESS_CHANGE else wanted.address.id_under(keys)
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(what), 0))))


def replaced_by(wanted: Wanted, keys: SecretKeys) -> ColumnElement[bool]:
    """Return the condition of the tokens that the wanted one takes the place of."""
    if wanted.purpose is Purpose.ADDRESS_CHANGE:
        return changes_of(wanted.owner_id, wanted.address.channel)
    return resets_of(wanted.address, keys)


def changes_of(user_id: UUID | None, channel: Channel) -> ColumnElement[bool]:
    """Return the condition of a user's tokens for a new address on that channel, whichever address it is."""
    is_change = Token.purpose == Purpose.ADDRESS_CHANGE
    return (Token.user_id == user_id) & is_change & (Token.channel == channel)


def resets_of(address: Address, keys: SecretKeys) -> ColumnElement[bool]:
    """Return the condition of the tokens that were asked for to reset the password behind an address."""
    return Token.address_id.in_(address.ids_under(keys)) & Token.purpose.in_(FOR_A_RESET)


def living(session: Session, which: ColumnElement[bool]) -> Sequence[Token]:
    """Return the living tokens, newest first."""
    return session.scalars(select(Token).where(which, is_living()).order_by(Token.created_at.desc(), Token.id)).all()


def is_like(token: Token, wanted: Wanted) -> bool:
    """Tell whether the token is for what is wanted: the address may have found, or lost, its account meanwhile."""
    return (token.user_id, token.purpose, token.new_address) == (
        wanted.owner_id,
        wanted.purpose,
        new_address(wanted),
    )


def add(session: Session, wanted: Wanted, keys: SecretKeys, terms: Terms) -> Token:
    """Add a token to the caller's transaction; its life is measured by the database's clock."""
    token = insert(Token).values(
        user_id=wanted.owner_id,
        purpose=wanted.purpose,
        channel=wanted.address.channel,
        key_id=terms.key_id,
        attempts_left=terms.attempts,
        expires_at=func.now() + terms.lifetimes[wanted.address.channel],
        address_id=wanted.address.id_under(keys),
        new_address=new_address(wanted),
    )
    return session.scalars(token.returning(Token)).one()  # with its end, which would have to be asked for


def new_address(wanted: Wanted) -> str | None:
    """Return the address that the code proves, if it does."""
    return wanted.address.deliverable if wanted.purpose is Purpose.ADDRESS_CHANGE else None


def message_with(template: Template, token: Token, to: Recipient) -> NewMessage:
    """Compose what brings the token's code, or tells that there is no account."""
    return NewMessage(
        template=template,
        channel=token.channel,
        recipient=to.address,
        locale=to.locale,
        payload={"name": to.name, "key_id": token.key_id},
        user_id=owner_of_messages(token),
        token_id=token.id,
        expires_at=token.expires_at,
    )


def end_codes(session: Session, user_id: UUID, *purposes: Purpose) -> None:
    """End the user's codes for these purposes: what they rest on has changed."""
    tokens = living(session, (Token.user_id == user_id) & Token.purpose.in_(purposes))
    supersede_messages(session, *tokens)
    end_tokens(session, tokens)
