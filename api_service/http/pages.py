"""Pages behind links in messages: HTML without a script, in the reader's language.

Mail scanners open links and some run scripts. So GET only shows buttons, and only a POST of a form changes anything.
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

from api_service.errors import OverloadedError
from api_service.http.accept_language import preferred_locale
from api_service.http.annotations import HTML, ResponseDoc
from api_service.http.problems import problem, problem_response
from api_service.rate_limits import TooManyRequestsError
from shared.db.engine import DATABASE_FAILURES
from shared.web.problem_responses import database_unavailable
from shared.web.requests import LONGEST_BODY_BYTES

TEMPLATES = files("api_service") / "templates"
STYLE = (TEMPLATES / "page.css").read_text(encoding="utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "X-Robots-Tag": "noindex, nofollow",
    "Vary": "Accept-Language",
}
TOO_LARGE = ResponseDoc("A page: the form has more than 16 KiB.", media_type=HTML)
UNAVAILABLE = ResponseDoc(
    "A page: the database is unavailable, or the service is busy.", media_type=HTML, headers=("Retry-After",)
)

Texts = Mapping[str, Mapping[str, Any]]


def texts_of(name: str) -> Texts:
    """Return the texts of a page by language: its variants, and the labels of its forms."""
    return tomllib.loads((TEMPLATES / f"{name}.toml").read_text(encoding="utf-8"))


def show_page(name: str, texts: Texts, variant: StrEnum, status: HTTPStatus, **values: Any) -> Response:
    """Return a variant of the page with that name in the reader's language."""
    locale = preferred_locale()
    html = render_template(
        f"{name}.html",
        locale=locale,
        texts=texts[locale]["pages"][variant],
        labels=texts[locale]["labels"],
        style=STYLE,
        **values,
    )
    return make_response(html, status, {**HEADERS, "Content-Language": locale})


def read_form() -> Mapping[str, str]:
    """Return the form. Raises RequestEntityTooLarge, also for chunked requests."""
    if len(request.get_data()) > LONGEST_BODY_BYTES:
        raise RequestEntityTooLarge
    return request.form


def show_failures(
    blueprint: Blueprint,
    name: str,
    texts: Texts,
    *,
    invalid: StrEnum,
    unavailable: StrEnum,
    too_often: StrEnum | None = None,
) -> None:
    """Show pages instead of problems, if a form is too large, a limit is reached, or the service cannot work."""

    def too_large(_error: RequestEntityTooLarge) -> Response:
        # No valid link or password is as long.
        return show_page(name, texts, invalid, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def later(variant: StrEnum, response: Response) -> Response:
        page = show_page(name, texts, variant, HTTPStatus(response.status_code))
        page.headers["Retry-After"] = response.headers["Retry-After"]
        return page

    def cannot_work(response: Response) -> Response:
        return later(unavailable, response)

    blueprint.register_error_handler(RequestEntityTooLarge, too_large)
    if too_often is not None:
        blueprint.register_error_handler(TooManyRequestsError, lambda error: later(too_often, problem_response(error)))
    blueprint.register_error_handler(OverloadedError, lambda error: cannot_work(problem_response(error)))
    for failure in DATABASE_FAILURES:
        blueprint.register_error_handler(failure, lambda error: cannot_work(database_unavailable(problem, error)))
