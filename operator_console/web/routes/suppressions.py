"""/suppressions: the addresses that get no messages for a while, as keyed hashes."""

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, request, url_for

from operator_console.actions.suppressions import Hashes, add_suppression, list_suppressions, remove_suppression
from operator_console.actions.tokens import Scope
from operator_console.errors import NotSuppressedError
from operator_console.queries.messages import show_message
from operator_console.views import unmasked
from operator_console.web.access import current_operator, requires
from operator_console.web.pages import page, redirect_to
from operator_console.web.problems import field_texts
from operator_console.web.schemas import (
    MAX_LIMIT,
    SuppressionForm,
    SuppressionsFormQuery,
    read_form,
    read_form_reason,
    read_query,
)
from operator_console.web.services import services
from shared.web.problems import ValidationFailedError

blueprint = Blueprint("suppressions", __name__, url_prefix="/suppressions")

DAYS = (1, 7, 30, 365)
"""The lengths that the page offers."""


@blueprint.get("")
@requires(Scope.READ)
def get_list() -> Response:
    """List the newest entries, or those of an address or of a message's recipient."""
    query = read_query(SuppressionsFormQuery())
    address, message_id = query["address"], query["message_id"]
    try:
        hashes = services().hashes_of(address, "looked-up") if address else None
    except ValidationFailedError as error:
        return _list_page(address=address, errors=field_texts(error), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    if message_id:
        with services().sessions.begin() as session:
            recipient = show_message(session, message_id, mask=unmasked).recipient
        hashes = services().hashes_of(recipient, "message_id")
    return _list_page(hashes, address=address, message_id=message_id)


@blueprint.post("")
@requires(Scope.ACT)
def post_add() -> Response:
    """Suppress an address. A form with a wrong field is shown again."""
    try:
        form = read_form(SuppressionForm())
        hashes = services().hashes_of(form["address"], "address")
    except ValidationFailedError as error:
        return _list_page(errors=field_texts(error), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    with services().sessions.begin() as session:
        add_suppression(session, hashes, timedelta(days=form["days"]), current_operator().audit(form["reason"]))
    return redirect_to(url_for(".get_list"), notice="suppressed")


@blueprint.post("/<entry_id>/remove")
@requires(Scope.ACT)
def post_remove(entry_id: str) -> Response:
    """Remove all entries with that hash. This needs no keys."""
    reason = read_form_reason()
    try:
        hashed = bytes.fromhex(entry_id)
    except ValueError:
        raise NotSuppressedError from None
    with services().sessions.begin() as session:
        remove_suppression(session, [hashed], current_operator().audit(reason))
    return redirect_to(url_for(".get_list"), notice="unsuppressed")


def _list_page(
    hashes: Hashes | None = None,
    *,
    address: str | None = None,
    message_id: UUID | None = None,
    errors: Mapping[str, str] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    """Show the entries with these hashes, or the newest, and the forms."""
    with services().sessions.begin() as session:
        entries = list_suppressions(session, hashes, limit=MAX_LIMIT)
    return page(
        "suppressions.html",
        status,
        entries=entries,
        is_complete=len(entries) < MAX_LIMIT,
        is_look_up=hashes is not None,
        address=address,
        message_id=message_id,
        has_keys=services().feedback_keys is not None,
        days=DAYS,
        errors=errors or {},
        form=request.form,
    )
