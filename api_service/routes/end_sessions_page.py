"""/end-sessions: the page behind the link in a security notice. Only its button changes anything."""

from enum import StrEnum
from http import HTTPStatus

from flask import Blueprint, Response, request

from api_service.errors import InvalidOrExpiredError
from api_service.http.annotations import FORM, HTML, OperationDoc, RequestDoc, ResponseDoc, Tag
from api_service.http.pages import TOO_LARGE, read_form, show_failures, show_page, texts_of
from api_service.schemas.responses import LinkFormSchema
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.end_sessions import end_sessions_by_link


class Page(StrEnum):
    """The variants of the page."""

    BUTTON = "button"
    DONE = "done"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"


TEXTS = texts_of("end_sessions")

blueprint = Blueprint("end_sessions_page", __name__, url_prefix="/end-sessions")
show_failures(blueprint, "end_sessions", TEXTS, invalid=Page.INVALID, unavailable=Page.UNAVAILABLE)


@blueprint.get("")
@OperationDoc(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("The page with the button.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is incomplete.", media_type=HTML),
    },
    parameters=("token",),
    needs_database=False,
)
def get_end_sessions() -> Response:
    """Show the button."""
    link_token = request.args.get("token", "")
    if not link_token:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.BUTTON, HTTPStatus.OK, link_token)


@blueprint.post("")
@OperationDoc(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("A page: all sessions of the account have ended.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is invalid or too old.", media_type=HTML),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
        HTTPStatus.SERVICE_UNAVAILABLE: ResponseDoc(
            "A page: the database is unavailable.", media_type=HTML, headers=("Retry-After",)
        ),
    },
    body=RequestDoc(LinkFormSchema, media_type=FORM),
    needs_database=False,
)
def post_end_sessions() -> Response:
    """End all sessions of the account. The link is the proof, so that a user without a device can do it."""
    link_token = read_form().get("token", "")
    try:
        in_transaction(services().sessions, lambda session: end_sessions_by_link(session, services().keys, link_token))
    except InvalidOrExpiredError:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.DONE, HTTPStatus.OK)


def _page(page: Page, status: HTTPStatus, link_token: str = "") -> Response:
    return show_page("end_sessions", TEXTS, page, status, link_token=link_token)
