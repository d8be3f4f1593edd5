"""The codes that requeued messages bring: the newest of each user, or a fresh one where that has expired."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, Row, Uuid, and_, any_, column, func, insert, literal, or_, select, true
from sqlalchemy.orm import Session, aliased

from shared.models import Token

FRESH_ATTEMPTS = 5
"""How often the code of a token minted here may be tried."""


def working_tokens(session: Session, token_ids: Collection[UUID]) -> dict[UUID | None, UUID]:
    """Return for each of the tokens the one whose code a message about it is to bring; none where its user was erased.

    One minted beside a code that still works would end that one, since only the newest counts.
    """
    if not token_ids:
        return {}
    newest = _newest_tokens(session, token_ids)
    minted = _mint(session, {row.id for row in newest if not row.is_living})
    found = {row.own_id: row.id if row.is_living else minted.get(row.id) for row in newest}
    return {own_id: token_id for own_id, token_id in found.items() if token_id}


def _newest_tokens(session: Session, token_ids: Collection[UUID]) -> Iterable[Row[Any]]:
    """Find for each token the newest that its user was given for the same: channel, address and purpose."""
    own = aliased(Token)
    is_for_the_same = or_(
        and_(own.address_id.is_(None), Token.address_id.is_(None)),
        and_(own.address_id == Token.address_id, own.purpose == Token.purpose),
    )
    # Sideways, so that each is the first in an index, however many there are: no plan reads all tokens.
    newest = (
        select(Token.id, (Token.expires_at > func.now()).label("is_living"))
        .where(own.user_id == Token.user_id, own.channel == Token.channel, is_for_the_same)
        .order_by(Token.created_at.desc(), Token.id)
        .limit(1)
        .lateral()
    )
    query = select(own.id.label("own_id"), newest.c.id, newest.c.is_living).join(newest, true())
    return session.execute(query.where(own.id == any_(literal(list(token_ids), ARRAY(Uuid))))).all()


def _mint(session: Session, old_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Add a token like each old one in everything but its id, key, time and attempts; none where that is gone.

    Its key is the one that new codes are derived under: that of the old one may have been taken away.
    """
    if not old_ids:
        return {}
    fresh = {old_id: uuid4() for old_id in old_ids}
    pairs = func.unnest(literal(list(fresh), ARRAY(Uuid)), literal(list(fresh.values()), ARRAY(Uuid)))
    pair = pairs.table_valued(column("old_id", Uuid), column("id", Uuid)).render_derived(name="pair")
    kept = (Token.user_id, Token.purpose, Token.channel, Token.address_id, Token.new_address)
    key_id = func.coalesce(select(func.signpost_newest_key()).scalar_subquery(), Token.key_id)
    ends_at = func.now() + (Token.expires_at - Token.created_at)
    alike = select(pair.c.id, *kept, key_id, literal(FRESH_ATTEMPTS), ends_at).join(pair, Token.id == pair.c.old_id)
    columns = ["id", *(each.key for each in kept), "key_id", "attempts_left", "expires_at"]
    minting = insert(Token).from_select(columns, alike, include_defaults=False).returning(Token.id)
    added = set(session.scalars(minting))
    return {old_id: new_id for old_id, new_id in fresh.items() if new_id in added}
