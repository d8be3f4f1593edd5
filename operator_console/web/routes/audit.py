"""/audit: who did what, and why."""

from flask import Blueprint, Response

from operator_console.operator_tokens import Scope
from operator_console.reading import list_actions
from operator_console.web.access import needs
from operator_console.web.pages import page
from operator_console.web.queries import asked, read_query
from operator_console.web.schemas import AuditQuery
from operator_console.web.services import services
from operator_console.web.words import HAPPENINGS

blueprint = Blueprint("audit", __name__, url_prefix="/audit")


@blueprint.get("")
@needs(Scope.READ)
def get_audit() -> Response:
    """List it, newest first, page by page."""
    limit, cursor = read_query(AuditQuery())
    with services().sessions.begin() as session:
        actions = list_actions(session, limit=limit, before_id=cursor)
    following = actions[-1].id if len(actions) == limit else None
    return page(
        "audit.html",
        actions=actions,
        following=following,
        is_first=cursor is None,
        asked=asked(),
        happenings=HAPPENINGS,
    )
