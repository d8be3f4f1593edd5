"""What the pages have in common: headers that allow nothing from elsewhere, and the way to the sign-in."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, g, make_response, redirect, render_template, request, url_for
from flask.globals import request_ctx

from operator_console.web.notes import leave_note, note_left, take_note_back
from operator_console.web.schemas import FilterSchema

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}
SIGN_IN, SIGN_OUT = "signing_in.get_sign_in", "signing_in.post_sign_out"
ABOUT = FilterSchema().fields.keys()
"""What says in a form or an address which messages are meant."""
LONGEST_WAY_BACK = 1000
"""Three times as long when it is written in an address, of which the server takes 4,094 bytes."""
FOR_PROGRAMS = ("/v1/", "/livez", "/readyz", "/metrics")


def is_for_people() -> bool:
    """Tell whether the request's answer is a page, by its address."""
    return not request.path.startswith(FOR_PROGRAMS)


def is_renewal() -> bool:
    """Tell whether an open page asks for itself again; that nobody need be sitting before it."""
    return "HX-Request" in request.headers


def page(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
    """Return the page that the template makes of the values, with the note that was left for it."""
    note = None if is_renewal() else note_left()
    answer = make_response(render_template(template, asker=g.get("asker"), note=note, **values), status)
    answer.headers.update(HEADERS)
    if note:
        take_note_back(answer)
    return answer


def to_sign_in(form: Mapping[str, str]) -> Response:
    """Send whoever has no session to the page for signing in, and from there back to where they wanted to go.

    The form is not kept: it leads back to the page that it stood on, and it is said that nothing was done.

    The cookie is not sent along from other sites (SameSite=Strict), as from a link in a mail: then the page is
    asked for once more, from here, before anybody has to sign in again.
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method == "GET":
        return page("bounce.html")
    is_form = request.method == "POST"
    wanted = _page_of(form) if is_form else request.full_path.rstrip("?")
    if len(wanted) > LONGEST_WAY_BACK:
        wanted = wanted.partition("?")[0]
    address = address_of(SIGN_IN, {"next": wanted})
    if is_renewal():
        return Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    return see_other(address, did=_undone() if is_form else None)


def _undone() -> str:
    """Say what became of a form without a session: whoever wanted to sign out is."""
    return "signed-out" if request.endpoint == SIGN_OUT else "undone"


def _page_of(form: Mapping[str, str]) -> str:
    """Return the address of the page that the form stood on: the form's own, less what names the act.

    Browsers do not tell it, since pages send no referrer. Of the form stays what says which messages it is about.
    """
    pages = request_ctx.url_adapter
    path = request.path
    while pages is not None and path and not pages.test(path, "GET"):
        path = path.rpartition("/")[0]
    if path != request.path:
        return path or "/"
    about = {name: value for name, value in form.items() if name in ABOUT and value}
    return f"{path}?{urlencode(about)}" if about else path


def see_other(address: str, did: str | None = None) -> Response:
    """Send the browser to another page of ours, by GET, which says once what was done."""
    answer = make_response(redirect(address, HTTPStatus.SEE_OTHER))
    if did:
        leave_note(answer, did, address)
    return answer


def address_of(endpoint: str, query: Mapping[str, str]) -> str:
    """Return a route's address with that query, whatever stands in it."""
    return f"{url_for(endpoint)}?{urlencode(query)}" if query else url_for(endpoint)


def with_next_page(answer: Response, endpoint: str, cursor: UUID | int | None) -> Response:
    """Return a list's answer, which says where the list goes on if it does (RFC 8288)."""
    if cursor:
        following = address_of(endpoint, request.args.to_dict() | {"cursor": str(cursor)})
        answer.headers["Link"] = f'<{following}>; rel="next"'
    return answer


def safe_next(wanted: str) -> str:
    """Return the address to go on to, if it is a path of this site; else the first page."""
    is_path = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_path else "/"
