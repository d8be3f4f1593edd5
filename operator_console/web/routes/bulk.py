"""/bulk: start, watch, stop and resume bulk actions."""

from uuid import UUID

from flask import Blueprint, Response, request, url_for

from operator_console.actions.bulk import (
    BulkPlan,
    count_matching,
    find_bulk,
    list_bulks,
    resume_bulk,
    start_bulk,
    stop_bulk,
)
from operator_console.actions.tokens import Scope
from operator_console.web.access import act, current_operator, requires
from operator_console.web.pages import page, redirect_to
from operator_console.web.schemas import BulkForm, MessagesFormQuery, read_form, read_form_reason, read_query
from operator_console.web.services import services

blueprint = Blueprint("bulk", __name__, url_prefix="/bulk")


@blueprint.get("")
@requires(Scope.READ)
def get_list() -> Response:
    """List bulk actions, newest first."""
    with services().sessions.begin() as session:
        bulks = list_bulks(session)
    return page("bulks.html", bulks=bulks)


@blueprint.get("/new")
@requires(Scope.ACT)
def get_new() -> Response:
    """Count the messages and show the form that starts a bulk action on them."""
    wanted, _, _ = read_query(MessagesFormQuery())
    with services().count_permits.hold(), services().sessions.begin() as session:
        found = count_matching(session, wanted)
    query = {name: value for name, value in request.args.items() if value}
    return page("bulk_new.html", wanted=wanted, found=found, query=query, cause=services().find_cause(wanted.cause))


@blueprint.post("/new")
@requires(Scope.ACT)
def post_new() -> Response:
    """Start a bulk action."""
    form = read_form(BulkForm())
    plan = BulkPlan(form["action"], form["wanted"], form["per_minute"], is_all=bool(form["all"]))
    with services().count_permits.hold(), services().sessions.begin() as session:
        bulk = start_bulk(session, plan, current_operator().audit(form["reason"]))
    services().bulk_worker.wake()
    return redirect_to(url_for(".get_one", bulk_id=bulk.id), notice="started")


@blueprint.get("/<uuid:bulk_id>")
@requires(Scope.READ)
def get_one(bulk_id: UUID) -> Response:
    """Show the progress."""
    with services().sessions.begin() as session:
        bulk = find_bulk(session, bulk_id)
    return page("bulk.html", bulk=bulk)


@blueprint.post("/<uuid:bulk_id>/stop")
@requires(Scope.ACT)
def post_stop(bulk_id: UUID) -> Response:
    """Stop a bulk action."""
    bulk = act(stop_bulk, bulk_id, read_form_reason())
    return redirect_to(url_for(".get_one", bulk_id=bulk_id), notice=bulk.status)


@blueprint.post("/<uuid:bulk_id>/resume")
@requires(Scope.ACT)
def post_resume(bulk_id: UUID) -> Response:
    """Resume a stopped bulk action."""
    bulk = act(resume_bulk, bulk_id, read_form_reason())
    services().bulk_worker.wake()
    return redirect_to(url_for(".get_one", bulk_id=bulk_id), notice=bulk.status)
