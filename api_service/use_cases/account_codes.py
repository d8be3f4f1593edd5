"""Codes that reset a password, prove a new address or accept an invitation.

Reset tokens are found by a hash of the address (``address_id``). So a token for an address without an account, a
decoy, costs the same statements as any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.orm import Session

from api_service.use_cases.tokens import (
    TokenPolicy,
    end_tokens,
    has_half_its_life_left,
    is_living,
    owner_of_messages,
    supersede_messages,
)
from api_service.use_cases.users import Address
from shared.enqueue import NewMessage
from shared.models import Token
from shared.secrets import SecretKeys
from shared.templates import Template
from shared.vocabulary import Channel, Locale, Purpose

FOR_A_RESET = (Purpose.PASSWORD_RESET, Purpose.DECOY)


@dataclass(frozen=True)
class CodeRequest:
    """A requested token: its owner, purpose and address."""

    owner_id: UUID | None
    purpose: Purpose
    address: Address


def issue(session: Session, wanted: CodeRequest, keys: SecretKeys, policy: TokenPolicy) -> Token:
    """Return the token whose code to send, and supersede earlier pending messages.

    The latest token is reused while it has half its lifetime and an attempt left: its code and expiry stay, and asking
    again buys no guesses. Otherwise earlier tokens end and a new one is added.
    """
    lock_requests(session, wanted, keys)
    earlier = living(session, replaced_by(wanted, keys))
    supersede_messages(session, *earlier)
    if earlier and is_same_request(earlier[0], wanted) and is_worth_repeating(session, earlier[0]):
        return earlier[0]
    end_tokens(session, earlier)
    return add(session, wanted, keys, policy)


def is_worth_repeating(session: Session, token: Token) -> bool:
    """Return whether the token leaves enough time and attempts to use its code."""
    return token.attempts_left > 0 and has_half_its_life_left(session, token)


def lock_requests(session: Session, wanted: CodeRequest, keys: SecretKeys) -> None:
    """Serialize requests for the same address: two at once would send two codes."""
    what = wanted.owner_id if wanted.purpose is Purpose.ADDRESS_CHANGE else wanted.address.id_under(keys)
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(what), 0))))


def replaced_by(wanted: CodeRequest, keys: SecretKeys) -> ColumnElement[bool]:
    """Return the condition of the tokens that the requested one replaces."""
    if wanted.purpose is Purpose.ADDRESS_CHANGE:
        return changes_of(wanted.owner_id, wanted.address.channel)
    return resets_of(wanted.address, keys)


def changes_of(user_id: UUID | None, channel: Channel) -> ColumnElement[bool]:
    """Return the condition of a user's tokens for any new address on that channel."""
    is_change = Token.purpose == Purpose.ADDRESS_CHANGE
    return (Token.user_id == user_id) & is_change & (Token.channel == channel)


def resets_of(address: Address, keys: SecretKeys) -> ColumnElement[bool]:
    """Return the condition of the reset tokens of an address."""
    return Token.address_id.in_(address.ids_under(keys)) & Token.purpose.in_(FOR_A_RESET)


def living(session: Session, which: ColumnElement[bool]) -> Sequence[Token]:
    """Return the living tokens, newest first."""
    return session.scalars(select(Token).where(which, is_living()).order_by(Token.created_at.desc(), Token.id)).all()


def is_same_request(token: Token, wanted: CodeRequest) -> bool:
    """Return whether the token fits the request; the address may have gained or lost its account since."""
    return (token.user_id, token.purpose, token.new_address) == (
        wanted.owner_id,
        wanted.purpose,
        new_address(wanted),
    )


def add(session: Session, wanted: CodeRequest, keys: SecretKeys, policy: TokenPolicy) -> Token:
    """Add a token in the caller's transaction. The database's clock determines its expiry."""
    token = insert(Token).values(
        user_id=wanted.owner_id,
        purpose=wanted.purpose,
        channel=wanted.address.channel,
        key_id=policy.key_id,
        attempts_left=policy.attempts,
        expires_at=func.now() + policy.lifetimes[wanted.address.channel],
        address_id=wanted.address.id_under(keys),
        new_address=new_address(wanted),
    )
    return session.scalars(token.returning(Token)).one()  # returns expires_at without a second query


def new_address(wanted: CodeRequest) -> str | None:
    """Return the address that the code proves, if any."""
    proves_address = wanted.purpose in (Purpose.ADDRESS_CHANGE, Purpose.INVITATION)
    return wanted.address.deliverable if proves_address else None


def message_with(
    template: Template, token: Token, policy: TokenPolicy, *, recipient: str, locale: Locale, name: str | None = None
) -> NewMessage:
    """Return the message with the code, or the note that the address has no account.

    Give the ``name`` only if it is known to belong to the address. The fallback depends on the policy alone. Only when
    it is due does the relay look for another proven address, so that the request takes the same time without one.
    """
    return NewMessage(
        template=template,
        channel=token.channel,
        recipient=recipient,
        locale=locale,
        payload={"name": name, "key_id": token.key_id},
        user_id=owner_of_messages(token),
        token_id=token.id,
        expires_at=token.expires_at,
        fallback=policy.fallback_of(token.channel),
    )


def end_codes(session: Session, user_id: UUID, *purposes: Purpose) -> None:
    """End the user's codes for these purposes, because their basis has changed."""
    tokens = living(session, (Token.user_id == user_id) & Token.purpose.in_(purposes))
    supersede_messages(session, *tokens)
    end_tokens(session, tokens)
