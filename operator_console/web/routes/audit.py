"""/audit: operators' actions."""

from flask import Blueprint, Response

from operator_console.actions.tokens import Scope
from operator_console.queries.audit import list_actions
from operator_console.web.access import requires
from operator_console.web.labels import EVENTS
from operator_console.web.pages import page
from operator_console.web.schemas import AuditQuery, query_without_cursor, read_query
from operator_console.web.services import services

blueprint = Blueprint("audit", __name__, url_prefix="/audit")


@blueprint.get("")
@requires(Scope.READ)
def get_audit() -> Response:
    """List actions, newest first, page by page."""
    query = read_query(AuditQuery())
    with services().sessions.begin() as session:
        actions = list_actions(session, limit=query["limit"], before_id=query["cursor"])
    return page(
        "audit.html",
        actions=actions,
        next_cursor=actions[-1].id if len(actions) == query["limit"] else None,
        is_first=query["cursor"] is None,
        query=query_without_cursor(),
        events=EVENTS,
    )
