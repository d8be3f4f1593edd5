"""/v1/me: the user who asks."""

from flask import Blueprint, Response, jsonify

from api_service.answers import user_document
from api_service.authentication import signed_in
from api_service.errors import InvalidTokenError
from api_service.services import services
from shared.models import User

blueprint = Blueprint("me", __name__, url_prefix="/v1/me")


@blueprint.get("")
def get_me() -> Response:
    """Show the user what is known of them."""
    holder = signed_in()
    with services().sessions.begin() as session:
        user = session.get(User, holder.user_id)
    if user is None:  # erased just now, and the sessions with them
        raise InvalidTokenError
    return jsonify(user_document(user))
