"""/v1/messages: looking at messages, and acting on one."""

from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, jsonify

from operator_console.acting import Correction, discard, requeue, undo_discard
from operator_console.operator_tokens import Scope
from operator_console.reading import search_messages
from operator_console.views import as_json
from operator_console.web.access import asker, needs
from operator_console.web.counting import causes_counted
from operator_console.web.looking import reveal, shown
from operator_console.web.pages import with_next_page
from operator_console.web.queries import read_query
from operator_console.web.schemas import MessagesQuery, ReasonSchema, RequeueSchema
from operator_console.web.services import services
from shared.web.bodies import read_body

blueprint = Blueprint("v1_messages", __name__, url_prefix="/v1/messages")


@blueprint.get("")
@needs(Scope.READ)
def get_messages() -> Response:
    """List messages, newest first, page by page; recipients are masked."""
    wanted, limit, cursor = read_query(MessagesQuery())
    with services().sessions.begin() as session:
        page = search_messages(session, wanted, limit=limit, cursor=cursor)
    return with_next_page(jsonify(as_json(page)), ".get_messages", page.next_cursor)


@blueprint.get("/groups")
@needs(Scope.READ)
def get_groups() -> Response:
    """Count the dead by what they died of."""
    return jsonify(as_json(causes_counted().value.counted))


@blueprint.get("/<uuid:message_id>")
@needs(Scope.READ)
def get_message(message_id: UUID) -> Response:
    """Show one message with its attempts, its way, and what operators did to it."""
    return jsonify(as_json(shown(message_id)))


@blueprint.post("/<uuid:message_id>/reveal")
@needs(Scope.REVEAL)
def post_reveal(message_id: UUID) -> Response:
    """Show one message with its recipient's address; who looked, and why, is written down before."""
    return jsonify(as_json(reveal(message_id, read_body(ReasonSchema())["reason"])))


@blueprint.post("/<uuid:message_id>/requeue")
@needs(Scope.ACT)
def post_requeue(message_id: UUID) -> tuple[Response, HTTPStatus]:
    """Give a dead message another try, corrected if need be."""
    asked = read_body(RequeueSchema())
    with services().sessions.begin() as session:
        correction = Correction(asked.get("recipient"), asked.get("locale"))
        requeue(session, message_id, asker().act(asked["reason"]), correction)
    return jsonify(id=message_id, status="pending"), HTTPStatus.ACCEPTED


@blueprint.post("/<uuid:message_id>/discard")
@needs(Scope.ACT)
def post_discard(message_id: UUID) -> Response:
    """Close a dead message; what is closed stays so."""
    reason = read_body(ReasonSchema())["reason"]
    with services().sessions.begin() as session:
        discard(session, message_id, asker().act(reason))
    return jsonify(id=message_id, status="dead", dead_reason="discarded")


@blueprint.post("/<uuid:message_id>/undo-discard")
@needs(Scope.ACT)
def post_undo_discard(message_id: UUID) -> Response:
    """Open a discarded message again, dead of what it had died of."""
    reason = read_body(ReasonSchema())["reason"]
    with services().sessions.begin() as session:
        undo_discard(session, message_id, asker().act(reason))
    return jsonify(as_json(shown(message_id)))
