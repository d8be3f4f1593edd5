"""/messages: the list with its filters, one message and its way, and what can be done to it."""

from uuid import UUID

from flask import Blueprint, Response, request, url_for

from operator_console.acting import Correction, closed_to, discard, requeue, undo_discard
from operator_console.filters import MessageFilter
from operator_console.operator_tokens import Scope
from operator_console.reading import search_messages
from operator_console.views import MessageDetail, Page
from operator_console.web.access import asker, needs
from operator_console.web.counting import causes_counted
from operator_console.web.forms import read_form, read_reason
from operator_console.web.looking import reveal, shown
from operator_console.web.pages import address_of, page, see_other
from operator_console.web.queries import asked, read_query
from operator_console.web.schemas import PageQuery, RequeueForm
from operator_console.web.services import services
from operator_console.web.words import BY_OPERATORS, HAPPENINGS
from shared import vocabulary

blueprint = Blueprint("messages", __name__, url_prefix="/messages")

RENEWED_AFTER = 10
"""Seconds, where it is not dear to count."""


@blueprint.get("")
@needs(Scope.READ)
def get_list() -> Response:
    """List messages, newest first, at an address that says what is asked, and no more than that."""
    wanted, limit, cursor = read_query(PageQuery())
    said = {name: value for name, value in request.args.items() if value}
    if len(said) < len(request.args):
        return see_other(address_of(".get_list", said))
    with services().sessions.begin() as session:
        found = search_messages(session, wanted, limit=limit, cursor=cursor)
    return page(
        "messages.html",
        wanted=wanted,
        shown=found,
        is_first=cursor is None,
        asked=asked(),
        can_be_acted_on=can_be_acted_on(wanted, found),
        words=vocabulary,
    )


def can_be_acted_on(wanted: MessageFilter, found: Page) -> bool:
    """Tell whether a bulk act could take any of these: all of a cause or a reason are closed to it, or none is."""
    is_open = any(one.dead_reason not in closed_to(wanted) for one in found.messages)
    return wanted.is_about_dead and (is_open or not (wanted.cause or wanted.dead_reason))


@blueprint.get("/causes")
@needs(Scope.READ)
def get_causes() -> Response:
    """Count the dead by what they died of."""
    answer = causes_counted()
    found, after = answer.value.counted, answer.renewed_after(RENEWED_AFTER)
    return page("causes.html", found=found, causes=found.causes, counted_at=answer.value.at, renewed_after=after)


@blueprint.get("/<uuid:message_id>")
@needs(Scope.READ)
def get_one(message_id: UUID) -> Response:
    """Show one message, its way, and what can be done."""
    return _page_of(shown(message_id))


@blueprint.post("/<uuid:message_id>/requeue")
@needs(Scope.ACT)
def post_requeue(message_id: UUID) -> Response:
    """Give it another try, corrected where something is filled in."""
    meant = read_form(RequeueForm())
    with services().sessions.begin() as session:
        correction = Correction(meant.get("recipient"), meant.get("locale"))
        requeue(session, message_id, asker().act(meant["reason"]), correction)
    return see_other(url_for(".get_one", message_id=message_id), did="requeued")


@blueprint.post("/<uuid:message_id>/discard")
@needs(Scope.ACT)
def post_discard(message_id: UUID) -> Response:
    """Close it."""
    with services().sessions.begin() as session:
        discard(session, message_id, asker().act(read_reason()))
    return see_other(url_for(".get_one", message_id=message_id), did="discarded")


@blueprint.post("/<uuid:message_id>/undo-discard")
@needs(Scope.ACT)
def post_undo_discard(message_id: UUID) -> Response:
    """Open it again."""
    with services().sessions.begin() as session:
        undo_discard(session, message_id, asker().act(read_reason()))
    return see_other(url_for(".get_one", message_id=message_id), did="restored")


@blueprint.post("/<uuid:message_id>/reveal")
@needs(Scope.REVEAL)
def post_reveal(message_id: UUID) -> Response:
    """Show its address, once, in the answer to this; the page as such goes on masking it."""
    return _page_of(shown(message_id), address=reveal(message_id, read_reason()).recipient)


def _page_of(message: MessageDetail, address: str | None = None) -> Response:
    """Return the message's page, on which its address is masked, beside that address where it is revealed."""
    return page(
        "message.html",
        message=message,
        address=address,
        happenings=HAPPENINGS,
        operators_words=BY_OPERATORS,
        locales=vocabulary.Locale,
    )
