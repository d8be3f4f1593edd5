"""Previews of all templates in all languages, with sample values."""

from collections.abc import Callable
from functools import cache
from itertools import product

from flask import Blueprint, Response, abort, render_template
from flask.typing import ResponseReturnValue

from devstack.inbox.pages import FRAME_POLICY, SANDBOX
from outbox_relay.rendering.branding import Sender
from outbox_relay.rendering.preview import SAMPLE_KEYS, Preview, preview
from outbox_relay.rendering.renderer import Renderer
from shared.templates import TEMPLATES, Template
from shared.vocabulary import Channel, Locale

SENDER = Sender("Signpost", "no-reply@signpost.example")

Show = Callable[[Template, Channel, Locale], Preview]


def sample_shower() -> Show:
    """Return a function that renders samples as the devstack's relay does. It compiles templates at first use."""
    ready = cache(lambda: Renderer(SAMPLE_KEYS, "https://signpost.example", SENDER))
    return lambda template, channel, locale: preview(ready(), template, channel, locale)


def gallery(show: Show) -> Blueprint:
    """Return the pages; ``show`` renders a sample."""
    blueprint = Blueprint("gallery", __name__)

    @blueprint.get("/gallery")
    def show_all() -> str:
        pieces = {
            template: [
                (locale, channel, show(template, channel, locale)) for locale, channel in product(Locale, Channel)
            ]
            for template in TEMPLATES
        }
        return render_template("gallery.html", pieces=pieces)

    @blueprint.get("/gallery/<template>/<locale>/<channel>")
    def show_one(template: str, locale: str, channel: str) -> ResponseReturnValue:
        piece = _found(show, template, locale, channel)
        return render_template(
            "piece.html", piece=piece, template=template, locale=locale, channel=channel, sandbox=SANDBOX
        )

    @blueprint.get("/gallery/<template>/<locale>/<channel>/html")
    def show_html(template: str, locale: str, channel: str) -> ResponseReturnValue:
        page = Response(_found(show, template, locale, channel).as_page(), mimetype="text/html")
        page.headers["Content-Security-Policy"] = FRAME_POLICY
        return page

    return blueprint


def _found(show: Show, template: str, locale: str, channel: str) -> Preview:
    try:
        return show(Template(template), Channel(channel), Locale(locale))
    except ValueError:
        abort(404)
