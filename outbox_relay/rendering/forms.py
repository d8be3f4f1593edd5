"""Every form that a message can take, prepared when the relay starts.

So a broken template stops the start, and no message ever waits for one to be read.
"""

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

from outbox_relay.rendering.mail import MailWords, mail_skeleton
from outbox_relay.rendering.sender import Sender
from outbox_relay.rendering.skeleton import Place, Skeleton, Value, cut, mark
from outbox_relay.rendering.words import Words
from shared.vocabulary import Channel, Locale, Template


class Form(NamedTuple):
    """What decides the fixed words of a message."""

    template: Template
    channel: Channel
    locale: Locale
    has_name: bool


def prepare_forms(public_url: str, sender: Sender) -> Mapping[Form, Skeleton]:
    """Prepare the forms of every template. Raises Jinja's TemplateError for one that is broken."""
    words = {locale: Words(locale, sender.name) for locale in Locale}
    forms = (Form(*parts) for parts in product(Template, Channel, Locale, (True, False)))
    return {form: _prepared(form, words[form.locale], public_url, sender) for form in forms}


def activation_link(public_url: str, link_token: str) -> str:
    """Return the address of the page that asks to press its button."""
    return f"{public_url}/activate?token={link_token}"


def _prepared(form: Form, words: Words, public_url: str, sender: Sender) -> Skeleton:
    match form.channel:
        case Channel.EMAIL:
            return mail_skeleton(_mail_words(form, words, public_url), sender, form.locale)
        case Channel.SMS:
            return cut(words.say(form.template, "sms.txt", _marks(Place.SMS, form, public_url)).encode())


def _mail_words(form: Form, words: Words, public_url: str) -> MailWords:
    return MailWords(
        subject=words.say(form.template, "subject.txt", {}),
        text=words.say(form.template, "body.txt", _marks(Place.TEXT, form, public_url)),
        html=words.say(form.template, "body.html", _marks(Place.HTML, form, public_url)),
    )


def _marks(place: Place, form: Form, public_url: str) -> dict[str, str | None]:
    return {
        "name": mark(place, Value.NAME) if form.has_name else None,
        "code": mark(place, Value.CODE),
        "link": activation_link(public_url, mark(place, Value.LINK)),
        "expires": mark(place, Value.EXPIRES),
    }
