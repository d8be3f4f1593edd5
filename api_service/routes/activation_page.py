"""/activate: the page behind the link in a message. Looking at it changes nothing; its button does.

Mail scanners open links, and some run scripts: so there is no script, and GET only shows the button.
"""

import base64
import hashlib
from http import HTTPStatus
from importlib.resources import files

from flask import Blueprint, Response, make_response, render_template, request

from api_service.errors import DATABASE_FAILURES, InvalidOrExpiredError
from api_service.languages import preferred_locale
from api_service.problems import database_unavailable
from api_service.routes.activation_words import WORDS, Page
from api_service.services import services
from api_service.use_cases.activate import activate_by_link

blueprint = Blueprint("activation_page", __name__, url_prefix="/activate")

STYLE = files("api_service").joinpath("templates/activation.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
SAFE_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Vary": "Accept-Language",
}


@blueprint.get("")
def get_page() -> Response:
    """Show the button."""
    link_token = request.args.get("token", "")
    if not link_token:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.BUTTON, HTTPStatus.OK, link_token)


@blueprint.post("")
def post_page() -> Response:
    """Activate, and say whether it worked."""
    try:
        activate_by_link(services().sessions, services().keys, request.form.get("token", ""))
    except InvalidOrExpiredError:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.DONE, HTTPStatus.OK)


def _unavailable(error: Exception) -> Response:
    refusal = database_unavailable(error)
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
