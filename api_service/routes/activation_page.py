"""/activate: the page behind the link in a message. Looking at it changes nothing; its buttons do.

Mail scanners open links, and some run scripts: so there is no script, and GET only shows the button.
"""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.exceptions import RequestEntityTooLarge

from api_service.answer_schemas import ButtonSchema, DeclineSchema
from api_service.describing import COUNTED, FORM, HTML, Answer, Body, Description, Tag, described
from api_service.errors import InvalidOrExpiredError, PasswordRequiredError, WrongPasswordError
from api_service.languages import preferred_locale
from api_service.pages import safe_headers, style_named
from api_service.passwords import normalised
from api_service.problems import problem
from api_service.rate_limits import TooManyRequestsError
from api_service.routes.activation_words import WORDS, Page
from api_service.routes.activations import by_link
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.activate import activate
from api_service.use_cases.decline import decline
from shared.engine import DATABASE_FAILURES
from shared.web.bodies import LONGEST_BODY_BYTES
from shared.web.problems import database_unavailable

blueprint = Blueprint("activation_page", __name__, url_prefix="/activate")

STYLE = style_named("activation")
SAFE_HEADERS = safe_headers(STYLE, form_action="'self'") | {
    "X-Robots-Tag": "noindex, nofollow",
    "Vary": "Accept-Language",
}
TOO_LARGE = Answer("A page: the form has more than 16 KiB.", media_type=HTML)


@blueprint.get("")
@described(
    Description(
        Tag.PAGES,
        {
            HTTPStatus.OK: Answer("The page with the button.", media_type=HTML),
            HTTPStatus.BAD_REQUEST: Answer("A page: the link is incomplete.", media_type=HTML),
        },
        parameters=("token",),
        needs_database=False,
    )
)
def get_page() -> Response:
    """Show the button."""
    link_token = request.args.get("token", "")
    if not link_token:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.BUTTON, HTTPStatus.OK, link_token)


@blueprint.post("")
@described(
    Description(
        Tag.PAGES,
        {
            HTTPStatus.OK: Answer("A page: the account is active.", media_type=HTML),
            HTTPStatus.BAD_REQUEST: Answer("A page: the link does not work.", media_type=HTML),
            HTTPStatus.FORBIDDEN: Answer("A page: the registration's password is needed, or wrong.", media_type=HTML),
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
            HTTPStatus.TOO_MANY_REQUESTS: Answer(
                "A page: too many wrong passwords.", media_type=HTML, headers=("Retry-After", *COUNTED)
            ),
            HTTPStatus.SERVICE_UNAVAILABLE: Answer(
                "A page: the database is away.", media_type=HTML, headers=("Retry-After",)
            ),
        },
        body=Body(ButtonSchema, media_type=FORM),
        needs_database=False,
    )
)
def post_page() -> Response:
    """Activate, and say whether it worked, or ask for the password where the address was registered more than once."""
    form = read_form()
    link_token, password = form.get("token", ""), form.get("password")
    try:
        confirmation = by_link(link_token, normalised(password) if password else None)
        in_transaction(services().sessions, lambda session: activate(session, confirmation))
    except InvalidOrExpiredError:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    except PasswordRequiredError:
        return _page(Page.PASSWORD, HTTPStatus.FORBIDDEN, link_token)
    except WrongPasswordError:
        return _page(Page.WRONG_PASSWORD, HTTPStatus.FORBIDDEN, link_token)
    return _page(Page.DONE, HTTPStatus.OK)


@blueprint.post("/decline")
@described(
    Description(
        Tag.PAGES,
        {
            HTTPStatus.OK: Answer("A page: the registration is cancelled.", media_type=HTML),
            HTTPStatus.BAD_REQUEST: Answer("A page: the link does not work.", media_type=HTML),
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
            HTTPStatus.SERVICE_UNAVAILABLE: Answer(
                "A page: the database is away.", media_type=HTML, headers=("Retry-After",)
            ),
        },
        body=Body(DeclineSchema, media_type=FORM),
        needs_database=False,
    )
)
def post_declined() -> Response:
    """Cancel the registration, for whoever reads the mailbox says that it is not theirs."""
    link_token = read_form().get("token", "")
    try:
        in_transaction(services().sessions, lambda session: decline(session, services().keys, link_token))
    except InvalidOrExpiredError:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.DECLINED, HTTPStatus.OK)


def read_form() -> Mapping[str, str]:
    """Return the form that was sent. Raises RequestEntityTooLarge, also where its length is not told beforehand."""
    if len(request.get_data()) > LONGEST_BODY_BYTES:
        raise RequestEntityTooLarge
    return request.form


def _too_often(error: TooManyRequestsError) -> Response:
    page = _page(Page.TOO_OFTEN, HTTPStatus.TOO_MANY_REQUESTS)
    page.headers["Retry-After"] = str(error.retry_after_seconds)
    return page


blueprint.register_error_handler(TooManyRequestsError, _too_often)


@blueprint.errorhandler(RequestEntityTooLarge)
def _too_large(_error: RequestEntityTooLarge) -> Response:
    # No link that was sent is as long, and no password that was taken.
    return _page(Page.INVALID, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _unavailable(error: Exception) -> Response:
    refusal = database_unavailable(problem, error)
    page = _page(Page.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE)
    page.headers["Retry-After"] = refusal.headers["Retry-After"]
    return page


for failure in DATABASE_FAILURES:
    blueprint.register_error_handler(failure, _unavailable)


def _page(page: Page, status: HTTPStatus, link_token: str = "") -> Response:
    locale = preferred_locale()
    answer = make_response(
        render_template(
            "activation.html", locale=locale, words=WORDS[locale][page], link_token=link_token, style=STYLE
        ),
        status,
    )
    answer.headers.update(SAFE_HEADERS)
    answer.headers["Content-Language"] = locale
    return answer
