"""/messages: the list with its filter, one message, and the actions on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, request, url_for

from operator_console.actions.audit import record_reveal
from operator_console.actions.bulk import excluded_reasons
from operator_console.actions.discard import discard, undo_discard
from operator_console.actions.requeue import Correction, requeue
from operator_console.actions.tokens import Scope
from operator_console.errors import AddressNotTheirsError, WrongAddressError
from operator_console.filters import MessageFilter
from operator_console.queries.messages import search_messages, show_message
from operator_console.queries.stats import list_pauses, list_providers, provider_names
from operator_console.views import MessageDetail, Page, PauseView, ProviderView, unmasked
from operator_console.web.access import act, current_operator, requires
from operator_console.web.errors import Code
from operator_console.web.labels import DEAD_REASON_OPTIONS, EVENTS, OPERATOR_EVENTS
from operator_console.web.pages import page, redirect_to, url_with_query
from operator_console.web.problems import PROBLEM_TYPES, field_texts
from operator_console.web.schemas import (
    MessagesFormQuery,
    RequeueSchema,
    query_without_cursor,
    read_form,
    read_form_reason,
    read_query,
)
from operator_console.web.services import services
from shared.reports.report import ReportKind
from shared.templates import TEMPLATES_AND_WORK
from shared.vocabulary import CHANNELS, DeadReason, Locale, PauseKind, Status
from shared.web.problems import ValidationFailedError

blueprint = Blueprint("messages", __name__, url_prefix="/messages")

REFRESH_SECONDS = 10
"""For the causes, while counting them is cheap."""


@blueprint.get("")
@requires(Scope.READ)
def get_list() -> Response:
    """List messages, newest first; redirect to an address without the form's empty fields."""
    wanted, limit, cursor = read_query(MessagesFormQuery())
    query = {name: value for name, value in request.args.items() if value}
    if len(query) < len(request.args):
        return redirect_to(url_with_query(".get_list", query))
    with services().sessions.begin() as session:
        found = search_messages(session, wanted, limit=limit, cursor=cursor)
        providers = {*provider_names(session), *filter(None, [wanted.provider])}
    return page(
        "messages.html",
        wanted=wanted,
        found=found,
        cause=services().find_cause(wanted.cause),
        bounce=services().find_bounce_cause(wanted.bounce_cause),
        is_first=cursor is None,
        query=query_without_cursor(),
        allows_bulk=allows_bulk(wanted, found),
        dead_reason_options=DEAD_REASON_OPTIONS,
        choices={
            "status": Status,
            "dead_reason": DeadReason,
            "delivery_state": ReportKind,
            "channel": CHANNELS,
            "template": TEMPLATES_AND_WORK,
            "provider": sorted(providers),
        },
    )


def allows_bulk(wanted: MessageFilter, found: Page) -> bool:
    """Return whether a bulk action could take any matching message, judging by this page.

    A filter by cause or reason matches either only excluded messages or only included ones. Other filters may match
    included messages on a later page.
    """
    has_included = any(one.dead_reason not in excluded_reasons(wanted) for one in found.messages)
    has_more = found.next_cursor is not None and not (wanted.cause or wanted.dead_reason)
    return wanted.is_dead_only and (has_included or has_more)


@blueprint.get("/causes")
@requires(Scope.READ)
def get_causes() -> Response:
    """Count dead messages by cause."""
    cached = services().causes.get()
    return page("causes.html", found=cached.value, refresh_after=cached.refresh_after(REFRESH_SECONDS))


@blueprint.get("/bounces")
@requires(Scope.READ)
def get_bounces() -> Response:
    """Count bounced messages by cause."""
    cached = services().bounce_causes.get()
    return page("bounces.html", found=cached.value, refresh_after=cached.refresh_after(REFRESH_SECONDS))


@blueprint.get("/<uuid:message_id>")
@requires(Scope.READ)
def get_one(message_id: UUID) -> Response:
    """Show one message and the possible actions."""
    with services().sessions.begin() as session:
        message = show_message(session, message_id)
    return _message_page(message)


@blueprint.post("/<uuid:message_id>/requeue")
@requires(Scope.ACT)
def post_requeue(message_id: UUID) -> Response:
    """Give the message another attempt, with corrections if there are any.

    A form with a wrong field is shown again, with its values and the reason at the field.
    """
    try:
        form = read_form(RequeueSchema())
        correction = Correction(form.get("recipient"), form.get("locale"))
        with services().sessions.begin() as session:
            requeue(session, message_id, current_operator().audit(form["reason"]), correction)
    except ValidationFailedError as error:
        return _form_again(message_id, HTTPStatus.UNPROCESSABLE_ENTITY, field_texts(error))
    except (WrongAddressError, AddressNotTheirsError) as error:
        problem_type = PROBLEM_TYPES[Code(error.code)]
        return _form_again(message_id, HTTPStatus(problem_type.status), {"recipient": problem_type.detail})
    return redirect_to(url_for(".get_one", message_id=message_id), notice="requeued")


@blueprint.post("/<uuid:message_id>/discard")
@requires(Scope.ACT)
def post_discard(message_id: UUID) -> Response:
    """Discard the message."""
    act(discard, message_id, read_form_reason())
    return redirect_to(url_for(".get_one", message_id=message_id), notice="discarded")


@blueprint.post("/<uuid:message_id>/undo-discard")
@requires(Scope.ACT)
def post_undo_discard(message_id: UUID) -> Response:
    """Restore the reason that the message had before."""
    act(undo_discard, message_id, read_form_reason())
    return redirect_to(url_for(".get_one", message_id=message_id), notice="restored")


@blueprint.post("/<uuid:message_id>/reveal")
@requires(Scope.REVEAL)
def post_reveal(message_id: UUID) -> Response:
    """Show the address in this response only, after an audit row is committed."""
    audit = current_operator().audit(read_form_reason())
    with services().sessions.begin() as session:
        record_reveal(session, audit, message_id)
        address = show_message(session, message_id, mask=unmasked).recipient
        message = show_message(session, message_id)
    return _message_page(message, address)


@dataclass(frozen=True)
class Form:
    """A form of the message's page: empty, or sent with wrong fields, with a text for each of these."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """Return what the field contained."""
        return self.values.get(name, "")

    def error(self, name: str) -> str:
        """Return what is wrong with the field."""
        return self.errors.get(name, "")


def _form_again(message_id: UUID, status: HTTPStatus, errors: Mapping[str, str]) -> Response:
    with services().sessions.begin() as session:
        message = show_message(session, message_id)
    return _message_page(message, form=Form(request.form.to_dict(), errors), status=status)


def _message_page(
    message: MessageDetail,
    address: str | None = None,
    form: Form | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    is_correction = form is not None and "recipient" in form.values
    return page(
        "message.html",
        status,
        message=message,
        address=address,
        waits=_waits_for(message),
        # Only a page that was requested by GET can refresh itself.
        is_live=request.method == "GET",
        is_correction=is_correction,
        plain=(not is_correction and form) or Form(),
        correction=(is_correction and form) or Form(),
        events=EVENTS,
        operator_events=OPERATOR_EVENTS,
        locales=Locale,
    )


@dataclass(frozen=True)
class Waits:
    """Why a pending message waits: for the end of ``pauses``, and for providers that are ``down``."""

    pauses: Sequence[PauseView] = ()
    down: Sequence[ProviderView] = ()

    def __bool__(self) -> bool:
        return bool(self.pauses or self.down)


def _waits_for(message: MessageDetail) -> Waits:
    """Return the pauses and outages for which the message waits for certain.

    It waits for the provider of its last attempt if that is down. A message without an attempt, or with a paused
    provider, goes to the next provider of its channel. It waits if all of these are paused or down.
    """
    if message.status != Status.PENDING:
        return Waits()
    with services().sessions.begin() as session:
        providers = [one for one in list_providers(session) if one.channel == message.channel]
        pauses = list_pauses(session)
    usable = [one for one in providers if not one.is_paused]
    down = [one for one in usable if one.breaker != "closed"]
    is_stuck = len(down) == len(usable)
    held = {(PauseKind.CHANNEL, message.channel), (PauseKind.TEMPLATE, message.template)}
    if is_stuck:
        held |= {(PauseKind.PROVIDER, one.provider) for one in providers}
    return Waits(
        pauses=[one for one in pauses if (one.kind, one.name) in held],
        down=[one for one in down if one.provider == message.provider] or (down if is_stuck else []),
    )
