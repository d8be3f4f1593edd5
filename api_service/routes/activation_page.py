"""/activate: the page behind the link in a message. Only its buttons change anything."""

from enum import StrEnum
from http import HTTPStatus

from flask import Blueprint, Response, request

from api_service.errors import InvalidOrExpiredError, PasswordRequiredError, WrongPasswordError
from api_service.http.annotations import (
    FORM,
    HTML,
    RATE_LIMIT_HEADERS,
    OperationDoc,
    RequestDoc,
    ResponseDoc,
    Tag,
)
from api_service.http.pages import TOO_LARGE, UNAVAILABLE, read_form, show_failures, show_page, texts_of
from api_service.routes.activations import activated_by, by_link
from api_service.schemas.responses import ActivationFormSchema, LinkFormSchema
from api_service.security.passwords import normalised
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.activate import decline


class Page(StrEnum):
    """The variants of the page."""

    BUTTON = "button"
    DONE = "done"
    DECLINED = "declined"
    INVALID = "invalid"
    BUTTON_WITH_PASSWORD = "button_with_password"  # noqa: S105 - the name of a page
    PASSWORD = "password"  # noqa: S105 - the name of a variant
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - the name of a page
    TOO_OFTEN = "too_often"
    UNAVAILABLE = "unavailable"


TEXTS = texts_of("activation")
ASKS_FOR_PASSWORD = (Page.BUTTON_WITH_PASSWORD, Page.PASSWORD, Page.WRONG_PASSWORD)

blueprint = Blueprint("activation_page", __name__, url_prefix="/activate")


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
def get_page() -> Response:
    """Show the buttons."""
    link_token = request.args.get("token", "")
    if not link_token:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.BUTTON_WITH_PASSWORD if _always_asks() else Page.BUTTON, HTTPStatus.OK, link_token)


@blueprint.post("")
@OperationDoc(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("A page: the account is active.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is invalid.", media_type=HTML),
        HTTPStatus.FORBIDDEN: ResponseDoc("A page: the registration's password is missing or wrong.", media_type=HTML),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
        HTTPStatus.TOO_MANY_REQUESTS: ResponseDoc(
            "A page: too many wrong passwords.", media_type=HTML, headers=("Retry-After", *RATE_LIMIT_HEADERS)
        ),
        HTTPStatus.SERVICE_UNAVAILABLE: UNAVAILABLE,
    },
    body=RequestDoc(ActivationFormSchema, media_type=FORM),
    needs_database=False,
)
def post_page() -> Response:
    """Activate the registration. If the address was registered several times, ask for the password.

    With UNCONFIRMED_ACCESS, the page always asks.
    """
    form = read_form()
    link_token, password = form.get("token", ""), form.get("password")
    try:
        confirmation = by_link(link_token, normalised(password) if password else None)
        in_transaction(services().sessions, lambda session: activated_by(session, confirmation))
    except InvalidOrExpiredError:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    except PasswordRequiredError:
        page = Page.BUTTON_WITH_PASSWORD if _always_asks() else Page.PASSWORD
        return _page(page, HTTPStatus.FORBIDDEN, link_token)
    except WrongPasswordError:
        return _page(Page.WRONG_PASSWORD, HTTPStatus.FORBIDDEN, link_token)
    return _page(Page.DONE, HTTPStatus.OK)


@blueprint.post("/decline")
@OperationDoc(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("A page: the registration is cancelled.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is invalid.", media_type=HTML),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
        HTTPStatus.SERVICE_UNAVAILABLE: UNAVAILABLE,
    },
    body=RequestDoc(LinkFormSchema, media_type=FORM),
    needs_database=False,
)
def post_declined() -> Response:
    """Cancel the registration, because the mailbox's owner did not register."""
    link_token = read_form().get("token", "")
    try:
        in_transaction(services().sessions, lambda session: decline(session, services().keys, link_token))
    except InvalidOrExpiredError:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.DECLINED, HTTPStatus.OK)


def _always_asks() -> bool:
    # A registrant with access may have added data already. A link alone would give the owner of the mailbox an account
    # with a stranger's data and password.
    return services().session_policy.admits_limited


show_failures(
    blueprint,
    "activation",
    TEXTS,
    invalid=Page.INVALID,
    unavailable=Page.UNAVAILABLE,
    too_often=Page.TOO_OFTEN,
)


def _page(page: Page, status: HTTPStatus, link_token: str = "") -> Response:
    asks_for_password = page in ASKS_FOR_PASSWORD
    return show_page("activation", TEXTS, page, status, asks_for_password=asks_for_password, link_token=link_token)
