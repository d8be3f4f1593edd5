"""/v1/requeues and /v1/discards: acting on all that a filter lets through, at a rate, and how far that has come."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, jsonify, url_for

from operator_console.acting import (
    Action,
    Bulk,
    BulkPlan,
    begin_bulk,
    count_chosen,
    find_bulk,
    list_bulks,
    refuse_unless_meant,
    resume_bulk,
    stop_bulk,
)
from operator_console.operator_tokens import Scope
from operator_console.views import as_json
from operator_console.web.access import asker, needs
from operator_console.web.schemas import BulkSchema, ReasonSchema
from operator_console.web.services import services
from shared.web.bodies import read_body

blueprint = Blueprint("v1_bulk", __name__, url_prefix="/v1")


@blueprint.post("/requeues")
@needs(Scope.ACT)
def post_requeues() -> Response:
    """Requeue all that a filter lets through; or, for a dry run, only count it."""
    return _begun(Action.REQUEUE)


@blueprint.post("/discards")
@needs(Scope.ACT)
def post_discards() -> Response:
    """Discard likewise."""
    return _begun(Action.DISCARD)


@blueprint.get("/bulk-acts")
@needs(Scope.READ)
def get_bulk_acts() -> Response:
    """List what was begun of these, newest first."""
    with services().sessions.begin() as session:
        return jsonify(bulk_acts=[document_of(one) for one in list_bulks(session)])


@blueprint.get("/bulk-acts/<uuid:bulk_id>")
@needs(Scope.READ)
def get_bulk_act(bulk_id: UUID) -> Response:
    """Show how far one has come."""
    with services().sessions.begin() as session:
        return jsonify(document_of(find_bulk(session, bulk_id)))


@blueprint.post("/bulk-acts/<uuid:bulk_id>/stop")
@needs(Scope.ACT)
def post_stop(bulk_id: UUID) -> Response:
    """Stop one; it can go on from where it stands."""
    reason = read_body(ReasonSchema())["reason"]
    with services().sessions.begin() as session:
        return jsonify(document_of(stop_bulk(session, bulk_id, asker().act(reason))))


@blueprint.post("/bulk-acts/<uuid:bulk_id>/resume")
@needs(Scope.ACT)
def post_resume(bulk_id: UUID) -> Response:
    """Have one that was stopped go on."""
    reason = read_body(ReasonSchema())["reason"]
    with services().sessions.begin() as session:
        return jsonify(document_of(resume_bulk(session, bulk_id, asker().act(reason))))


def document_of(bulk: Bulk) -> dict[str, Any]:
    """Return a bulk act as JSON."""
    plain = as_json(bulk)
    plain["filter"] = plain.pop("wanted")
    return plain


def _begun(action: Action) -> Response:
    asked = read_body(BulkSchema())
    plan = BulkPlan(action, asked["wanted"], asked["per_minute"], is_all=asked["all"])
    with services().sessions.begin() as session:
        if asked["dry_run"]:
            refuse_unless_meant(plan)
            return jsonify(found=count_chosen(session, plan.wanted), dry_run=True)
        bulk = begin_bulk(session, plan, asker().act(asked["reason"]))
    services().carrier.wake()
    answer = jsonify(document_of(bulk))
    answer.status_code = HTTPStatus.ACCEPTED
    answer.headers["Location"] = url_for(".get_bulk_act", bulk_id=bulk.id)
    return answer
