"""Pages: rendering with safe headers, redirects, notices, and the way through the sign-in and back.

A notice is the text about a form's result. A cookie carries it to the page to which the form redirects, and that page
deletes the cookie. In the address it would appear again at each reload, and in bookmarks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Response, current_app, g, make_response, redirect, render_template, request, url_for
from flask.globals import request_ctx

from operator_console.filters import MessageFilter
from operator_console.web.labels import FAILURE_NOTICES, NOTICES

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}
SIGN_IN, SIGN_OUT = "sign_in.get_sign_in", "sign_in.post_sign_out"
FILTER_FIELDS = {one.name for one in fields(MessageFilter)}
MAX_NEXT_LENGTH = 1000
"""Percent-encoding can triple it, and the server accepts addresses of 4,094 bytes."""
PROGRAM_PATHS = ("/v1/",)
NOTICE_COOKIE = "signpost-console-notice"
NOTICE_COOKIE_IS_SECURE = "NOTICE_COOKIE_IS_SECURE"
"""The key in the app's configuration; true if browsers reach the console by https."""
NOTICE_SECONDS = 60


def is_page_request() -> bool:
    """Return whether the response is a page, judging by the address."""
    return not request.path.startswith(PROGRAM_PATHS)


def is_auto_refresh() -> bool:
    """Return whether an open page refreshes itself, which is no sign of a person."""
    return "HX-Request" in request.headers


def page(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
    """Render a page, with its notice if there is one."""
    notice = None if is_auto_refresh() else _notice()
    html = render_template(template, operator=g.get("operator"), notice=notice, **values)
    response = make_response(html, status)
    response.headers.update(HEADERS)
    if notice:
        response.delete_cookie(NOTICE_COOKIE, **_notice_cookie_options(request.path))
    return response


def redirect_to(address: str, notice: str | None = None) -> Response:
    """Redirect to another page of the console by GET; it shows the text of the key in NOTICES once."""
    response = make_response(redirect(address, HTTPStatus.SEE_OTHER))
    if notice:
        options = _notice_cookie_options(urlsplit(address).path)
        response.set_cookie(NOTICE_COOKIE, notice, max_age=NOTICE_SECONDS, **options)
    return response


def redirect_to_sign_in(form: Mapping[str, str]) -> Response:
    """Redirect to the sign-in, and from there back to the requested page.

    A submitted form is dropped. The operator returns to its page, with a notice that the form had no effect.

    Browsers do not send the cookie with links from other sites (SameSite=Strict), such as a link in a mail. For these
    the page is requested again from here before the operator has to sign in.
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method == "GET":
        return page("bounce.html")
    is_form = request.method == "POST"
    wanted = form_page(form) if is_form else request.full_path.rstrip("?")
    if len(wanted) > MAX_NEXT_LENGTH:
        wanted = wanted.partition("?")[0]
    address = url_with_query(SIGN_IN, {"next": wanted})
    if is_auto_refresh():
        return Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    notice = "signed-out" if request.endpoint == SIGN_OUT else "session-ended"
    return redirect_to(address, notice if is_form else None)


def form_page(form: Mapping[str, str]) -> str:
    """Return the address of the page that contains the form: the form's own without the action's name.

    Pages send no referrer, so the browser does not say it. The filter's fields stay in the query.
    """
    adapter = request_ctx.url_adapter
    path = request.path
    while adapter is not None and path and not adapter.test(path, "GET"):
        path = path.rpartition("/")[0]
    if path != request.path:
        return path or "/"
    query = {name: value for name, value in form.items() if name in FILTER_FIELDS and value}
    return f"{path}?{urlencode(query)}" if query else path


def url_with_query(endpoint: str, query: Mapping[str, str]) -> str:
    """Return a route's address with that query."""
    return f"{url_for(endpoint)}?{urlencode(query)}" if query else url_for(endpoint)


def safe_next(wanted: str) -> str:
    """Return the path to continue at after the sign-in; the overview instead of an address of another site."""
    is_path = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_path else "/"


@dataclass(frozen=True)
class Notice:
    """A text about a form's result."""

    text: str
    is_success: bool


def _notice() -> Notice | None:
    key = request.cookies.get(NOTICE_COOKIE, "") if request.method == "GET" else ""
    return Notice(NOTICES[key], is_success=key not in FAILURE_NOTICES) if key in NOTICES else None


def _notice_cookie_options(path: str) -> dict[str, Any]:
    is_secure = current_app.config[NOTICE_COOKIE_IS_SECURE]
    return {"path": path, "httponly": True, "samesite": "Strict", "secure": is_secure}
