"""/invitation: the page behind the link in an invitation. Only its buttons change anything."""

from enum import StrEnum
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from api_service.errors import AddressTakenError, InvalidOrExpiredError, PasswordRequiredError
from api_service.http.accept_language import preferred_locale
from api_service.http.annotations import FORM, HTML, RATE_LIMIT_HEADERS, OperationDoc, RequestDoc, ResponseDoc, Tag
from api_service.http.pages import TOO_LARGE, UNAVAILABLE, read_form, show_failures, show_page, texts_of
from api_service.http.rate_limiting import by_network, spend
from api_service.rate_limits import Limit
from api_service.schemas.responses import InvitationFormSchema, LinkFormSchema
from api_service.security.passwords import normalised, violation_in
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.invitations import NewMember, accept_by_link, decline, invited_address, token_of_link


class Page(StrEnum):
    """The variants of the page."""

    BUTTON = "button"
    DONE = "done"
    DECLINED = "declined"
    INVALID = "invalid"
    PASSWORD = "password"  # noqa: S105 - the name of a variant
    IN_APPLICATION = "in_application"
    WEAK_PASSWORD = "weak_password"  # noqa: S105 - the name of a variant
    TOO_OFTEN = "too_often"
    UNAVAILABLE = "unavailable"


TEXTS = texts_of("invitation")
ASKS_FOR_PASSWORD = (Page.PASSWORD, Page.WEAK_PASSWORD)

blueprint = Blueprint("invitation_page", __name__, url_prefix="/invitation")


@blueprint.get("")
@OperationDoc(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("The page with the buttons.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is incomplete.", media_type=HTML),
    },
    parameters=("token",),
    needs_database=False,
)
def get_invitation_page() -> Response:
    """Show the buttons."""
    link_token = request.args.get("token", "")
    if not link_token:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.BUTTON, HTTPStatus.OK, link_token)


@blueprint.post("")
@OperationDoc(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("A page: the user belongs to the organization.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is invalid.", media_type=HTML),
        HTTPStatus.FORBIDDEN: ResponseDoc("A page: a new account needs a good password.", media_type=HTML),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
        HTTPStatus.TOO_MANY_REQUESTS: ResponseDoc(
            "A page: too many registrations.", media_type=HTML, headers=("Retry-After", *RATE_LIMIT_HEADERS)
        ),
        HTTPStatus.SERVICE_UNAVAILABLE: UNAVAILABLE,
    },
    body=RequestDoc(InvitationFormSchema, media_type=FORM),
    needs_database=False,
)
def post_invitation_page() -> Response:
    """Accept the invitation for the account with the invited address. Without one, ask for a password first."""
    form, parts = read_form(), services()
    link_token, password = form.get("token", ""), normalised(form.get("password", ""))
    new, needs_own_fields = NewMember(full_name=None, locale=preferred_locale()), _needs_own_fields()
    try:
        token_id = token_of_link(parts.keys, link_token)
        if password and _is_weak(password, token_id):
            return _page(Page.WEAK_PASSWORD, HTTPStatus.FORBIDDEN, link_token)
        password_hash = _hash(password) if password and not needs_own_fields else None
        parts.run_and_wake(lambda session: accept_by_link(session, token_id, new, password_hash))
    except (InvalidOrExpiredError, AddressTakenError):  # taken meanwhile, as if the form was sent twice
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    except PasswordRequiredError:
        if needs_own_fields:
            return _page(Page.IN_APPLICATION, HTTPStatus.FORBIDDEN)
        return _page(Page.PASSWORD, HTTPStatus.FORBIDDEN, link_token)
    return _page(Page.DONE, HTTPStatus.OK)


@blueprint.post("/decline")
@OperationDoc(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("A page: the invitation is declined.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is invalid.", media_type=HTML),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
        HTTPStatus.SERVICE_UNAVAILABLE: UNAVAILABLE,
    },
    body=RequestDoc(LinkFormSchema, media_type=FORM),
    needs_database=False,
)
def post_declined_invitation() -> Response:
    """Decline the invitation."""
    link_token = read_form().get("token", "")

    def declined(session: Session) -> None:
        decline(session, token_of_link(services().keys, link_token))

    try:
        in_transaction(services().sessions, declined)
    except InvalidOrExpiredError:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.DECLINED, HTTPStatus.OK)


def _is_weak(password: str, token_id: UUID) -> bool:
    with services().sessions.begin() as session:
        return violation_in(password, [invited_address(session, token_id).deliverable]) is not None


def _needs_own_fields() -> bool:
    """Return whether new users must have fields for which this page does not ask."""
    profiles = services().profiles
    return profiles is not None and bool(profiles.violations_in({}))


def _hash(password: str) -> str:
    hashes = services().other_hashes
    with hashes.admit():
        spend(by_network(Limit.REGISTRATIONS_PER_NETWORK))
        return hashes.hash(password)


show_failures(
    blueprint,
    "invitation",
    TEXTS,
    invalid=Page.INVALID,
    unavailable=Page.UNAVAILABLE,
    too_often=Page.TOO_OFTEN,
)


def _page(page: Page, status: HTTPStatus, link_token: str = "") -> Response:
    asks_for_password = page in ASKS_FOR_PASSWORD
    return show_page("invitation", TEXTS, page, status, asks_for_password=asks_for_password, link_token=link_token)
