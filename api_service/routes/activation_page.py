"""/activate: the page behind the link in a message. Only its buttons change anything.

Mail scanners open links and some run scripts. So GET only shows the buttons, and there is no script.
"""

import base64
import hashlib
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.exceptions import RequestEntityTooLarge

from api_service.errors import InvalidOrExpiredError, OverloadedError, PasswordRequiredError, WrongPasswordError
from api_service.http.accept_language import preferred_locale
from api_service.http.annotations import (
    FORM,
    HTML,
    RATE_LIMIT_HEADERS,
    OperationDoc,
    RequestDoc,
    ResponseDoc,
    Tag,
)
from api_service.http.problems import problem, problem_response
from api_service.rate_limits import TooManyRequestsError
from api_service.routes.activations import by_link
from api_service.schemas.responses import ActivationFormSchema, DeclineFormSchema
from api_service.security.passwords import normalised
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.activate import activate, decline
from shared.db.engine import DATABASE_FAILURES
from shared.web.bodies import LONGEST_BODY_BYTES
from shared.web.problem_responses import database_unavailable


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


TEMPLATES = files("api_service") / "templates"
TEXTS: Mapping[str, Mapping[str, Any]] = tomllib.loads((TEMPLATES / "activation.toml").read_text(encoding="utf-8"))
ASKS_FOR_PASSWORD = (Page.BUTTON_WITH_PASSWORD, Page.PASSWORD, Page.WRONG_PASSWORD)

blueprint = Blueprint("activation_page", __name__, url_prefix="/activate")

STYLE = (TEMPLATES / "activation.css").read_text(encoding="utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "X-Robots-Tag": "noindex, nofollow",
    "Vary": "Accept-Language",
}
TOO_LARGE = ResponseDoc("A page: the form has more than 16 KiB.", media_type=HTML)


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
        HTTPStatus.SERVICE_UNAVAILABLE: ResponseDoc(
            "A page: the database is unavailable, or the service is busy.", media_type=HTML, headers=("Retry-After",)
        ),
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
        in_transaction(
            services().sessions, lambda session: activate(session, confirmation, is_registrant_needed=_always_asks())
        )
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
        HTTPStatus.SERVICE_UNAVAILABLE: ResponseDoc(
            "A page: the database is unavailable, or the service is busy.", media_type=HTML, headers=("Retry-After",)
        ),
    },
    body=RequestDoc(DeclineFormSchema, media_type=FORM),
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


def read_form() -> Mapping[str, str]:
    """Return the form. Raises RequestEntityTooLarge, also for chunked requests."""
    if len(request.get_data()) > LONGEST_BODY_BYTES:
        raise RequestEntityTooLarge
    return request.form


def _too_many_requests(error: TooManyRequestsError) -> Response:
    page = _page(Page.TOO_OFTEN, HTTPStatus.TOO_MANY_REQUESTS)
    page.headers["Retry-After"] = str(error.retry_after_seconds)
    return page


blueprint.register_error_handler(TooManyRequestsError, _too_many_requests)


@blueprint.errorhandler(RequestEntityTooLarge)
def _too_large(_error: RequestEntityTooLarge) -> Response:
    # No valid link or password is as long.
    return _page(Page.INVALID, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _unavailable(response: Response) -> Response:
    """Return the page in place of a problem response with a Retry-After header."""
    page = _page(Page.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE)
    page.headers["Retry-After"] = response.headers["Retry-After"]
    return page


blueprint.register_error_handler(OverloadedError, lambda error: _unavailable(problem_response(error)))
for failure in DATABASE_FAILURES:
    blueprint.register_error_handler(failure, lambda error: _unavailable(database_unavailable(problem, error)))


def _page(page: Page, status: HTTPStatus, link_token: str = "") -> Response:
    locale = preferred_locale()
    html = render_template(
        "activation.html",
        locale=locale,
        texts=TEXTS[locale]["pages"][page],
        labels=TEXTS[locale]["labels"],
        asks_for_password=page in ASKS_FOR_PASSWORD,
        link_token=link_token,
        style=STYLE,
    )
    return make_response(html, status, {**HEADERS, "Content-Language": locale})
