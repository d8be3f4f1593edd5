"""/organizations: the health of organizations' databases, and their repair."""

from uuid import UUID

from flask import Blueprint, Response, url_for

from operator_console.actions.organizations import Repair, repair
from operator_console.actions.tokens import Scope
from operator_console.queries.organizations import list_organizations, show_organization
from operator_console.web.access import act, requires
from operator_console.web.pages import page, redirect_to
from operator_console.web.schemas import OrganizationsQuery, query_without_cursor, read_form_reason, read_query
from operator_console.web.services import services
from shared.vocabulary import HealthStatus

blueprint = Blueprint("organizations", __name__, url_prefix="/organizations")


@blueprint.get("")
@requires(Scope.READ)
def get_list() -> Response:
    """List organizations, newest first."""
    query = read_query(OrganizationsQuery())
    with services().sessions.begin() as session:
        found = list_organizations(session, **query)
    return page(
        "organizations.html",
        found=found,
        health=query.get("health"),
        is_first="cursor" not in query,
        query=query_without_cursor(),
        health_statuses=HealthStatus,
    )


@blueprint.get("/<uuid:organization_id>")
@requires(Scope.READ)
def get_one(organization_id: UUID) -> Response:
    """Show one organization and the possible actions."""
    with services().sessions.begin() as session:
        found = show_organization(session, organization_id)
    return page("organization.html", one=found)


@blueprint.post("/<uuid:organization_id>/repair")
@requires(Scope.ACT)
def post_repair(organization_id: UUID) -> Response:
    """Request a repair of the organization's database."""
    outcome = act(repair, organization_id, read_form_reason())
    notice = "healthy" if outcome is Repair.NOT_NEEDED else "repairing"
    return redirect_to(url_for(".get_one", organization_id=organization_id), notice=notice)
