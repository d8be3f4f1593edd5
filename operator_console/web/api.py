"""The HTTP interface for scripts: JSON under /v1."""

from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, jsonify, request, url_for

from operator_console.actions.audit import Action, record_reveal
from operator_console.actions.bulk import (
    BulkPlan,
    count_matching,
    find_bulk,
    list_bulks,
    require_filter,
    resume_bulk,
    start_bulk,
    stop_bulk,
)
from operator_console.actions.discard import discard, undo_discard
from operator_console.actions.organizations import Repair, give_credentials, renew_password, repair
from operator_console.actions.pauses import PauseTarget, count_impact, pause, probe, resume
from operator_console.actions.requeue import Correction, requeue
from operator_console.actions.suppressions import add_suppression, list_suppressions, remove_suppression
from operator_console.actions.tokens import Scope
from operator_console.queries.audit import list_actions
from operator_console.queries.messages import search_messages, show_message
from operator_console.queries.organizations import list_organizations, show_organization
from operator_console.queries.stats import list_pauses, list_providers, list_relays
from operator_console.views import as_json, unmasked
from operator_console.web.access import act, current_operator, requires
from operator_console.web.pages import url_with_query
from operator_console.web.schemas import (
    AddressSchema,
    AuditQuery,
    BulkSchema,
    MessagesQuery,
    OrganizationsQuery,
    PauseSchema,
    ProbeSchema,
    ReasonSchema,
    RequeueSchema,
    SuppressionSchema,
    SuppressionsQuery,
    TargetSchema,
    read_query,
)
from operator_console.web.services import services
from shared.web.requests import read_body

blueprint = Blueprint("api", __name__, url_prefix="/v1")


@blueprint.get("/messages")
@requires(Scope.READ)
def get_messages() -> Response:
    """List messages, newest first, page by page; recipients are masked."""
    wanted, limit, cursor = read_query(MessagesQuery())
    with services().sessions.begin() as session:
        page = search_messages(session, wanted, limit=limit, cursor=cursor)
    return _with_next_page(jsonify(as_json(page)), ".get_messages", page.next_cursor)


@blueprint.get("/messages/groups")
@requires(Scope.READ)
def get_groups() -> Response:
    """Count dead messages by cause."""
    return jsonify(as_json(services().causes.get().value))


@blueprint.get("/messages/bounces")
@requires(Scope.READ)
def get_bounces() -> Response:
    """Count bounced messages by cause."""
    return jsonify(as_json(services().bounce_causes.get().value))


@blueprint.get("/messages/<uuid:message_id>")
@requires(Scope.READ)
def get_message(message_id: UUID) -> Response:
    """Show one message with its attempts, its timeline and operators' actions."""
    with services().sessions.begin() as session:
        return jsonify(as_json(show_message(session, message_id)))


@blueprint.post("/messages/<uuid:message_id>/reveal")
@requires(Scope.REVEAL)
def post_reveal(message_id: UUID) -> Response:
    """Show one message with its recipient's address, after an audit row is committed."""
    audit = current_operator().audit(_reason())
    with services().sessions.begin() as session:
        record_reveal(session, audit, message_id)
        message = show_message(session, message_id, mask=unmasked)
    return jsonify(as_json(message))


@blueprint.post("/messages/<uuid:message_id>/requeue")
@requires(Scope.ACT)
def post_requeue(message_id: UUID) -> tuple[Response, HTTPStatus]:
    """Give a dead message another attempt, with corrections if there are any."""
    body = read_body(RequeueSchema())
    correction = Correction(body.get("recipient"), body.get("locale"))
    with services().sessions.begin() as session:
        requeue(session, message_id, current_operator().audit(body["reason"]), correction)
    return jsonify(id=message_id, status="pending"), HTTPStatus.ACCEPTED


@blueprint.post("/messages/<uuid:message_id>/discard")
@requires(Scope.ACT)
def post_discard(message_id: UUID) -> Response:
    """Discard a dead message. The request is idempotent."""
    act(discard, message_id, _reason())
    return jsonify(id=message_id, status="dead", dead_reason="discarded")


@blueprint.post("/messages/<uuid:message_id>/undo-discard")
@requires(Scope.ACT)
def post_undo_discard(message_id: UUID) -> Response:
    """Restore the reason that a discarded message had before."""
    act(undo_discard, message_id, _reason())
    return get_message(message_id)


@blueprint.post("/requeues")
@requires(Scope.ACT)
def post_requeues() -> Response:
    """Requeue all dead messages that match a filter, or count them in a dry run."""
    return _start_bulk(Action.REQUEUE)


@blueprint.post("/discards")
@requires(Scope.ACT)
def post_discards() -> Response:
    """Discard all dead messages that match a filter, or count them in a dry run."""
    return _start_bulk(Action.DISCARD)


@blueprint.get("/bulk-actions")
@requires(Scope.READ)
def get_bulk_actions() -> Response:
    """List bulk actions, newest first."""
    with services().sessions.begin() as session:
        return jsonify(bulk_actions=[as_json(one) for one in list_bulks(session)])


@blueprint.get("/bulk-actions/<uuid:bulk_id>")
@requires(Scope.READ)
def get_bulk_action(bulk_id: UUID) -> Response:
    """Show a bulk action's progress."""
    with services().sessions.begin() as session:
        return jsonify(as_json(find_bulk(session, bulk_id)))


@blueprint.post("/bulk-actions/<uuid:bulk_id>/stop")
@requires(Scope.ACT)
def post_stop(bulk_id: UUID) -> Response:
    """Stop a bulk action; it can be resumed."""
    return jsonify(as_json(act(stop_bulk, bulk_id, _reason())))


@blueprint.post("/bulk-actions/<uuid:bulk_id>/resume")
@requires(Scope.ACT)
def post_resume(bulk_id: UUID) -> Response:
    """Resume a stopped bulk action."""
    bulk = act(resume_bulk, bulk_id, _reason())
    services().bulk_worker.wake()
    return jsonify(as_json(bulk))


@blueprint.get("/stats")
@requires(Scope.READ)
def get_stats() -> Response:
    """Show backlog, lag, dead messages, outcomes of the last 24 hours, providers and relays."""
    return jsonify(as_json(services().stats.get().value))


@blueprint.get("/providers")
@requires(Scope.READ)
def get_providers() -> Response:
    """List the state of the providers that a running relay has configured."""
    with services().sessions.begin() as session:
        return jsonify(providers=[as_json(one) for one in list_providers(session)])


@blueprint.post("/providers/probe")
@requires(Scope.ACT)
def post_probe() -> Response:
    """Make a provider's open circuit breaker half-open now."""
    body = read_body(ProbeSchema())
    with services().sessions.begin() as session:
        due = probe(session, body["name"], current_operator().audit(body["reason"]))
    return jsonify(provider=body["name"], breaker="half_open", due=due)


@blueprint.get("/pauses")
@requires(Scope.READ)
def get_pauses() -> Response:
    """List what operators have paused."""
    with services().sessions.begin() as session:
        return jsonify(pauses=[as_json(one) for one in list_pauses(session)])


@blueprint.post("/pauses")
@requires(Scope.ACT)
def post_pauses() -> Response:
    """Pause a provider, channel or template. Show how many messages wait, and how many codes expire in that time."""
    body = read_body(PauseSchema())
    target = PauseTarget(body["kind"], body["name"])
    span = timedelta(minutes=body["minutes"]) if body["minutes"] else None
    with services().count_permits.hold(), services().sessions.begin() as session:
        [impact] = count_impact(session, target, [span])
        if body["dry_run"]:
            return jsonify(as_json(impact) | {"dry_run": True})
        paused = pause(session, target, span, current_operator().audit(body["reason"]))
    return jsonify(as_json(paused) | as_json(impact))


@blueprint.post("/pauses/resume")
@requires(Scope.ACT)
def post_pauses_resume() -> Response:
    """End a pause."""
    body = read_body(TargetSchema())
    target = PauseTarget(body["kind"], body["name"])
    with services().sessions.begin() as session:
        resume(session, target, current_operator().audit(body["reason"]))
    return jsonify(target.as_json())


@blueprint.get("/suppressions")
@requires(Scope.READ)
def get_suppressions() -> Response:
    """List the newest entries of the suppression list, or those of one address."""
    query = read_query(SuppressionsQuery())
    hashes = services().hashes_of(query["address"], "address") if query["address"] else None
    with services().sessions.begin() as session:
        entries = list_suppressions(session, hashes, limit=query["limit"])
    return jsonify(suppressions=[as_json(one) for one in entries])


@blueprint.post("/suppressions")
@requires(Scope.ACT)
def post_suppressions() -> Response:
    """Suppress an address."""
    body = read_body(SuppressionSchema())
    hashes, audit = services().hashes_of(body["address"], "#/address"), current_operator().audit(body["reason"])
    with services().sessions.begin() as session:
        entry = add_suppression(session, hashes, timedelta(days=body["days"]), audit)
    return jsonify(as_json(entry))


@blueprint.post("/suppressions/remove")
@requires(Scope.ACT)
def post_suppressions_remove() -> Response:
    """End all suppressions of an address."""
    body = read_body(AddressSchema())
    hashes, audit = services().hashes_of(body["address"], "#/address"), current_operator().audit(body["reason"])
    with services().sessions.begin() as session:
        removed = remove_suppression(session, hashes.values(), audit)
    return jsonify(removed=removed)


@blueprint.get("/relays")
@requires(Scope.READ)
def get_relays() -> Response:
    """List the relays with a recent heartbeat."""
    with services().sessions.begin() as session:
        return jsonify(relays=[as_json(one) for one in list_relays(session)])


@blueprint.get("/organizations")
@requires(Scope.READ)
def get_organizations() -> Response:
    """List organizations, newest first, page by page."""
    query = read_query(OrganizationsQuery())
    with services().sessions.begin() as session:
        page = list_organizations(session, **query)
    return _with_next_page(jsonify(as_json(page)), ".get_organizations", page.next_cursor)


@blueprint.get("/organizations/<uuid:organization_id>")
@requires(Scope.READ)
def get_organization(organization_id: UUID) -> Response:
    """Show an organization with its provisioning steps and losses."""
    with services().sessions.begin() as session:
        return jsonify(as_json(show_organization(session, organization_id)))


@blueprint.post("/organizations/<uuid:organization_id>/repair")
@requires(Scope.ACT)
def post_repair(organization_id: UUID) -> tuple[Response, HTTPStatus]:
    """Enqueue a repair of an organization's database, unless it is healthy."""
    outcome = act(repair, organization_id, _reason())
    status = HTTPStatus.OK if outcome is Repair.NOT_NEEDED else HTTPStatus.ACCEPTED
    return jsonify(id=organization_id, repair=outcome), status


@blueprint.post("/organizations/<uuid:organization_id>/credentials")
@requires(Scope.CREDENTIALS)
def post_credentials(organization_id: UUID) -> Response:
    """Give an application the login of an organization's database, after an audit row is committed."""
    audit, keys = current_operator().audit(_reason()), services().organization_keys
    with services().sessions.begin() as session:
        credentials = give_credentials(session, keys, organization_id, audit)
    return jsonify(as_json(credentials))


@blueprint.post("/organizations/<uuid:organization_id>/credentials/renew")
@requires(Scope.CREDENTIALS)
def post_renew(organization_id: UUID) -> tuple[Response, HTTPStatus]:
    """Have a relay set another password for the organization's role."""
    message_id = act(renew_password, organization_id, _reason())
    return jsonify(id=organization_id, message_id=message_id), HTTPStatus.ACCEPTED


@blueprint.get("/audit")
@requires(Scope.READ)
def get_audit() -> Response:
    """List operators' actions, newest first, page by page."""
    query = read_query(AuditQuery())
    with services().sessions.begin() as session:
        actions = list_actions(session, limit=query["limit"], before_id=query["cursor"])
    next_cursor = actions[-1].id if len(actions) == query["limit"] else None
    response = jsonify(actions=[as_json(one) for one in actions], next_cursor=next_cursor)
    return _with_next_page(response, ".get_audit", next_cursor)


def _reason() -> str:
    reason: str = read_body(ReasonSchema())["reason"]
    return reason


def _start_bulk(action: Action) -> Response:
    body = read_body(BulkSchema())
    plan = BulkPlan(action, body["wanted"], body["per_minute"], is_all=body["all"])
    with services().count_permits.hold(), services().sessions.begin() as session:
        if body["dry_run"]:
            require_filter(plan)
            return jsonify(found=count_matching(session, plan.wanted), dry_run=True)
        bulk = start_bulk(session, plan, current_operator().audit(body["reason"]))
    services().bulk_worker.wake()
    response = jsonify(as_json(bulk))
    response.status_code = HTTPStatus.ACCEPTED
    response.headers["Location"] = url_for(".get_bulk_action", bulk_id=bulk.id)
    return response


def _with_next_page(response: Response, endpoint: str, cursor: UUID | int | None) -> Response:
    """Add the link to the list's next page if there is one (RFC 8288)."""
    if cursor:
        address = url_with_query(endpoint, request.args.to_dict() | {"cursor": str(cursor)})
        response.headers["Link"] = f'<{address}>; rel="next"'
    return response
