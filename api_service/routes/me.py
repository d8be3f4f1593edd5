"""/v1/me: the user who asks."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from api_service.access_tokens import SignedIn
from api_service.answer_schemas import UserSchema
from api_service.answers import user_document
from api_service.authentication import for_users
from api_service.describing import Answer, Description, Tag, described
from api_service.services import services
from shared.models import User
from shared.web.refusals import InvalidTokenError

blueprint = Blueprint("me", __name__, url_prefix="/v1/me")


@blueprint.get("")
@described(Description(Tag.USER, {HTTPStatus.OK: Answer("The user.", UserSchema)}))
@for_users
def get_me(holder: SignedIn) -> Response:
    """Show the user what is known of them."""
    with services().sessions.begin() as session:
        user = session.get(User, holder.user_id)
    if user is None:  # erased just now, and the sessions with them
        raise InvalidTokenError
    return jsonify(user_document(user))
