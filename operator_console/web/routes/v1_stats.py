"""/v1/stats and what else operators read: providers, relays, the audit."""

from flask import Blueprint, Response, jsonify

from operator_console.operator_tokens import Scope
from operator_console.reading import list_actions, list_providers, list_relays
from operator_console.views import as_json
from operator_console.web.access import needs
from operator_console.web.counting import stats_counted
from operator_console.web.pages import with_next_page
from operator_console.web.queries import read_query
from operator_console.web.schemas import AuditQuery
from operator_console.web.services import services

blueprint = Blueprint("v1_stats", __name__, url_prefix="/v1")


@blueprint.get("/stats")
@needs(Scope.READ)
def get_stats() -> Response:
    """Tell backlog, lag, what is dead, what was sent and died in each of the last 24 hours, and who is at work."""
    return jsonify(as_json(stats_counted().value))


@blueprint.get("/providers")
@needs(Scope.READ)
def get_providers() -> Response:
    """Tell how providers stand."""
    with services().sessions.begin() as session:
        return jsonify(providers=[as_json(one) for one in list_providers(session)])


@blueprint.get("/relays")
@needs(Scope.READ)
def get_relays() -> Response:
    """Tell which relays are alive."""
    with services().sessions.begin() as session:
        return jsonify(relays=[as_json(one) for one in list_relays(session)])


@blueprint.get("/audit")
@needs(Scope.READ)
def get_audit() -> Response:
    """List what operators did, newest first, page by page."""
    limit, cursor = read_query(AuditQuery())
    with services().sessions.begin() as session:
        actions = list_actions(session, limit=limit, before_id=cursor)
    following = actions[-1].id if len(actions) == limit else None
    answer = jsonify(actions=[as_json(one) for one in actions], next_cursor=following)
    return with_next_page(answer, ".get_audit", following)
