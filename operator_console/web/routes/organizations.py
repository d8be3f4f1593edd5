"""/organizations: how organizations' databases were found, what was lost, and a button to have one repaired."""

from uuid import UUID

from flask import Blueprint, Response, url_for

from operator_console.acting import Repair, UnknownOrganizationError, repair
from operator_console.operator_tokens import Scope
from operator_console.reading import list_organizations, show_organization
from operator_console.web.access import asker, needs
from operator_console.web.forms import read_reason
from operator_console.web.pages import page, see_other
from operator_console.web.queries import asked, read_query
from operator_console.web.schemas import OrganizationsQuery
from operator_console.web.services import services
from operator_console.web.words import HEALTH, sized

blueprint = Blueprint("organizations", __name__, url_prefix="/organizations")


@blueprint.get("")
@needs(Scope.READ)
def get_list() -> Response:
    """List them, newest first."""
    wanted = read_query(OrganizationsQuery())
    health, cursor = wanted.get("health"), wanted.get("cursor")
    with services().sessions.begin() as session:
        found = list_organizations(session, health=health, limit=wanted["limit"], cursor=cursor)
    return page(
        "organizations.html",
        found=found,
        health=health,
        is_first=cursor is None,
        asked=asked(),
        words=HEALTH,
        sized=sized,
    )


@blueprint.get("/<uuid:organization_id>")
@needs(Scope.READ)
def get_one(organization_id: UUID) -> Response:
    """Show one, and what can be done."""
    with services().sessions.begin() as session:
        found = show_organization(session, organization_id)
    if found is None:
        raise UnknownOrganizationError
    return page("organization.html", one=found, words=HEALTH, sized=sized)


@blueprint.post("/<uuid:organization_id>/repair")
@needs(Scope.ACT)
def post_repair(organization_id: UUID) -> Response:
    """Have what is missing made anew."""
    with services().sessions.begin() as session:
        outcome = repair(session, organization_id, asker().act(read_reason()))
    did = "well" if outcome is Repair.NOT_NEEDED else "repairing"
    return see_other(url_for(".get_one", organization_id=organization_id), did=did)
