"""The code that a requeued message brings: the newest of its user, or a fresh one if that has expired."""

from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, and_, func, insert, literal, or_, select
from sqlalchemy.orm import Session, aliased

from shared.models import Token

TokenRow: TypeAlias = Row[*tuple[Any, ...]]

FRESH_ATTEMPTS = 5
"""How often the code of a token minted here may be tried."""


def working_token(session: Session, token_id: UUID | None) -> TokenRow | None:
    """Return the token whose code the message is to bring; None if it brings none, or its user was erased.

    One minted beside a code that still works would end that one, since only the newest counts.
    """
    newest = newest_token(session, token_id)
    if newest is None or newest.is_living:
        return newest
    return mint_token(session, newest.id)


def newest_token(session: Session, token_id: UUID | None) -> TokenRow | None:
    """Return the newest token that this one's user was given for the same: channel, address and purpose."""
    own = aliased(Token)
    is_for_the_same = or_(
        and_(own.address_id.is_(None), Token.address_id.is_(None)),
        and_(own.address_id == Token.address_id, own.purpose == Token.purpose),
    )
    return session.execute(
        select(Token.id, Token.key_id, Token.expires_at, (Token.expires_at > func.now()).label("is_living"))
        .join(own, and_(own.user_id == Token.user_id, own.channel == Token.channel, is_for_the_same))
        .where(own.id == token_id)
        .order_by(Token.created_at.desc(), Token.id)
        .limit(1)
    ).one_or_none()


def mint_token(session: Session, old_id: UUID) -> TokenRow | None:
    """Add a token like the old one in everything but its id, its time and its attempts; None if that is gone."""
    expires_at = func.now() + (Token.expires_at - Token.created_at)
    kept = (Token.user_id, Token.purpose, Token.channel, Token.key_id, Token.address_id, Token.new_address)
    alike = select(*kept, literal(FRESH_ATTEMPTS), expires_at).where(Token.id == old_id)
    columns = [*(column.key for column in kept), "attempts_left", "expires_at"]
    return session.execute(
        insert(Token).from_select(columns, alike).returning(Token.id, Token.key_id, Token.expires_at)
    ).one_or_none()
