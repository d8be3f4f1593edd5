"""/bulk: acting on all that a filter lets through, with a count first, and how far that has come."""

from uuid import UUID

from flask import Blueprint, Response, request, url_for

from operator_console.acting import (
    BulkPlan,
    begin_bulk,
    count_chosen,
    find_bulk,
    list_bulks,
    resume_bulk,
    stop_bulk,
)
from operator_console.operator_tokens import Scope
from operator_console.web.access import asker, needs
from operator_console.web.counting import causes_counted
from operator_console.web.forms import read_form, read_reason
from operator_console.web.pages import page, see_other
from operator_console.web.queries import read_query
from operator_console.web.schemas import BulkForm, PageQuery
from operator_console.web.services import services

blueprint = Blueprint("bulk", __name__, url_prefix="/bulk")


@blueprint.get("")
@needs(Scope.READ)
def get_list() -> Response:
    """List what was begun, newest first."""
    with services().sessions.begin() as session:
        bulks = list_bulks(session)
    return page("bulks.html", bulks=bulks)


@blueprint.get("/new")
@needs(Scope.ACT)
def get_new() -> Response:
    """Count what would be acted on, and ask why."""
    wanted, _, _ = read_query(PageQuery())
    with services().sessions.begin() as session:
        found = count_chosen(session, wanted)
    causes = causes_counted().value.counted.causes if wanted.cause else ()
    cause = next((one for one in causes if one.cause == wanted.cause), None)
    asked = {name: value for name, value in request.args.items() if value}
    return page("bulk_new.html", wanted=wanted, found=found, asked=asked, cause=cause)


@blueprint.post("/new")
@needs(Scope.ACT)
def post_new() -> Response:
    """Begin it."""
    asked = read_form(BulkForm())
    plan = BulkPlan(asked["action"], asked["wanted"], asked["per_minute"], is_all=bool(asked["all"]))
    with services().sessions.begin() as session:
        bulk = begin_bulk(session, plan, asker().act(asked["reason"]))
    services().carrier.wake()
    return see_other(url_for(".get_one", bulk_id=bulk.id), did="begun")


@blueprint.get("/<uuid:bulk_id>")
@needs(Scope.READ)
def get_one(bulk_id: UUID) -> Response:
    """Show how far one has come."""
    with services().sessions.begin() as session:
        bulk = find_bulk(session, bulk_id)
    return page("bulk.html", bulk=bulk)


@blueprint.post("/<uuid:bulk_id>/stop")
@needs(Scope.ACT)
def post_stop(bulk_id: UUID) -> Response:
    """Stop it where it stands."""
    with services().sessions.begin() as session:
        bulk = stop_bulk(session, bulk_id, asker().act(read_reason()))
    return see_other(url_for(".get_one", bulk_id=bulk_id), did=bulk.status)


@blueprint.post("/<uuid:bulk_id>/resume")
@needs(Scope.ACT)
def post_resume(bulk_id: UUID) -> Response:
    """Have it go on."""
    with services().sessions.begin() as session:
        bulk = resume_bulk(session, bulk_id, asker().act(read_reason()))
    services().carrier.wake()
    return see_other(url_for(".get_one", bulk_id=bulk_id), did=bulk.status)
