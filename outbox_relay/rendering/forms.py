"""Every form that a message can take, prepared when the relay starts.

So a broken template stops the start, and no message ever waits for one to be read.
"""

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

from outbox_relay.rendering.mail import MailWords, mail_skeleton
from outbox_relay.rendering.pens import Place, Value
from outbox_relay.rendering.sender import Sender
from outbox_relay.rendering.skeleton import Skeleton, cut, mark
from outbox_relay.rendering.sms import one_tap_line, sms_name
from outbox_relay.rendering.words import Words
from shared.vocabulary import Channel, Locale, Template


class Form(NamedTuple):
    """What decides the fixed words of a message."""

    template: Template
    channel: Channel
    locale: Locale
    has_name: bool


class Origin(NamedTuple):
    """Where messages come from: what links begin with, who writes, and the domain of one-tap codes if they are on."""

    public_url: str
    sender: Sender
    one_tap_domain: str | None


Forms = Mapping[tuple[Template, Channel, Locale, bool], Skeleton]
"""The letter of each form, by the form's parts: to make a Form of them would double the time of a look-up."""


def prepare_forms(origin: Origin) -> Forms:
    """Prepare the forms of every template. Raises Jinja's TemplateError for one that is broken."""
    words = {locale: Words(locale, origin.sender.name) for locale in Locale}
    forms = product(Template, Channel, Locale, (True, False))
    return {form: _prepared(Form(*form), words[form[2]], origin) for form in forms}


def activation_link(public_url: str, link_token: str) -> str:
    """Return the address of the page that asks to press its button."""
    return f"{public_url}/activate?token={link_token}"


def _prepared(form: Form, words: Words, origin: Origin) -> Skeleton:
    match form.channel:
        case Channel.EMAIL:
            return mail_skeleton(_mail_words(form, words, origin.public_url), origin.sender, form.locale)
        case Channel.SMS:
            return cut(_sms_words(form, words, origin).encode())


def _mail_words(form: Form, words: Words, public_url: str) -> MailWords:
    return MailWords(
        subject=words.say(form.template, "subject.txt", {}),
        text=words.say(form.template, "body.txt", _marks(Place.TEXT, form, public_url)),
        html=words.say(form.template, "body.html", _marks(Place.HTML, form, public_url)),
    )


def _sms_words(form: Form, words: Words, origin: Origin) -> str:
    marks = _marks(Place.SMS, form, origin.public_url) | {"product": sms_name(origin.sender.name)}
    text, code = words.say(form.template, "sms.txt", marks), mark(Place.SMS, Value.CODE)
    if origin.one_tap_domain is None or code not in text:
        return text
    return text + one_tap_line(origin.one_tap_domain, code)


def _marks(place: Place, form: Form, public_url: str) -> dict[str, str | None]:
    return {
        "name": mark(place, Value.NAME) if form.has_name else None,
        "code": mark(place, Value.CODE),
        "link": activation_link(public_url, mark(place, Value.LINK)),
        "expires": mark(place, Value.EXPIRES),
    }
