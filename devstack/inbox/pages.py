"""The received messages as pages without scripts, and as JSON for programs."""

import re
from typing import Any

from flask import Blueprint, Response, abort, jsonify, render_template, request

from devstack.inbox.refusals import Refusals
from devstack.inbox.store import Arrival, Store

# A frame shows the message's HTML and may neither run scripts nor load files. Links in it open a new page outside of
# the sandbox, so that a mail's button works.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
FRAME_POLICY = (
    f"sandbox {SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)


def pages(store: Store, refusals: Refusals) -> Blueprint:
    """Return the pages of that store, and the routes that change the list of rejected addresses."""
    blueprint = Blueprint("pages", __name__)

    @blueprint.get("/")
    def show_list() -> str:
        return render_template("list.html", arrivals=store.newest_first(), refused=refusals.all())

    @blueprint.get("/messages.json")
    def list_for_programs() -> Response:
        return jsonify([_for_programs(arrival) for arrival in store.newest_first(request.args.get("recipient"))])

    @blueprint.get("/messages/<arrival_id>")
    def show_message(arrival_id: str) -> str:
        return render_template("message.html", arrival=_arrival(store, arrival_id), sandbox=SANDBOX)

    @blueprint.get("/messages/<arrival_id>/html")
    def show_html(arrival_id: str) -> Response:
        html = _with_links_outwards(_arrival(store, arrival_id).reading.html or "")
        page = Response(html, mimetype="text/html")
        page.headers["Content-Security-Policy"] = FRAME_POLICY
        return page

    @blueprint.get("/messages/<arrival_id>/raw")
    def show_raw(arrival_id: str) -> Response:
        return Response(_arrival(store, arrival_id).content, mimetype="text/plain")

    @blueprint.put("/refusals/<path:address>")
    def refuse(address: str) -> tuple[str, int]:
        refusals.add(address)
        return "", 204

    @blueprint.delete("/refusals/<path:address>")
    def accept(address: str) -> tuple[str, int]:
        refusals.remove(address)
        return "", 204

    return blueprint


def _arrival(store: Store, arrival_id: str) -> Arrival:
    return store.get(arrival_id) or abort(404)


def _with_links_outwards(html: str) -> str:
    """Make links open outside of the frame, in a page without access to it (``_blank`` implies noopener)."""
    base = '<base target="_blank">'
    head = HEAD.search(html)
    end = head.end() if head else 0
    return f"{html[:end]}{base}{html[end:]}"


def _for_programs(arrival: Arrival) -> dict[str, Any]:
    reading = arrival.reading
    return {
        "id": arrival.id,
        "channel": arrival.channel,
        "recipients": arrival.recipients,
        "received_at": arrival.received_at.isoformat(),
        "sender": reading.sender,
        "subject": reading.subject,
        "headers": reading.headers,
        "text": reading.text,
        "html": reading.html,
        "code": reading.code,
        "link": reading.link,
    }
