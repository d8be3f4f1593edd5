"""/tokens: whose tokens there are, what they are good for, and an end to one."""

from datetime import UTC, datetime
from uuid import UUID

from flask import Blueprint, Response, url_for

from operator_console.operator_tokens import Scope, TokenView, list_tokens, revoke_token
from operator_console.web.access import asker, needs
from operator_console.web.forms import read_reason
from operator_console.web.pages import page, see_other
from operator_console.web.services import services

blueprint = Blueprint("tokens", __name__, url_prefix="/tokens")


@blueprint.get("")
@needs(Scope.READ)
def get_tokens() -> Response:
    """List them, newest first."""
    with services().sessions.begin() as session:
        tokens = list_tokens(session)
    at = datetime.now(UTC)
    return page("tokens.html", tokens=[(one, standing_of(one, at)) for one in tokens])


@blueprint.post("/<uuid:token_id>/revoke")
@needs(Scope.ACT)
def post_revoke(token_id: UUID) -> Response:
    """End one at once, and every session that rests on it."""
    with services().sessions.begin() as session:
        is_revoked = revoke_token(session, token_id, asker().act(read_reason()))
    return see_other(url_for(".get_tokens"), did="revoked" if is_revoked else "not-revoked")


def standing_of(token: TokenView, at: datetime) -> str:
    """Say whether the token works; this is for looking, and it is the database's clock that counts."""
    if token.revoked_at:
        return "revoked"
    return "expired" if token.expires_at <= at else "alive"
