"""/tokens: list and revoke operators' tokens."""

from datetime import UTC, datetime
from uuid import UUID

from flask import Blueprint, Response, url_for

from operator_console.actions.tokens import Scope, TokenView, list_tokens, revoke_token
from operator_console.web.access import act, requires
from operator_console.web.pages import page, redirect_to
from operator_console.web.schemas import read_form_reason
from operator_console.web.services import services

blueprint = Blueprint("tokens", __name__, url_prefix="/tokens")


@blueprint.get("")
@requires(Scope.READ)
def get_tokens() -> Response:
    """List tokens, newest first."""
    with services().sessions.begin() as session:
        tokens = list_tokens(session)
    at = datetime.now(UTC)
    return page("tokens.html", tokens=[(one, token_status(one, at)) for one in tokens])


@blueprint.post("/<uuid:token_id>/revoke")
@requires(Scope.ACT)
def post_revoke(token_id: UUID) -> Response:
    """Revoke a token at once, and end its sessions."""
    is_revoked = act(revoke_token, token_id, read_form_reason())
    return redirect_to(url_for(".get_tokens"), notice="revoked" if is_revoked else "not-revoked")


def token_status(token: TokenView, at: datetime) -> str:
    """Return a token's status for display; authentication uses the database's clock."""
    if token.revoked_at:
        return "revoked"
    return "expired" if token.expires_at <= at else "active"
