"""Every form that a message can take, prepared when the relay starts.

So a broken template stops the start, and no message ever waits for one to be read.
"""

from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import NamedTuple

from outbox_relay.rendering.errors import BrokenTemplateError
from outbox_relay.rendering.look import Look
from outbox_relay.rendering.mail import MailWords, mail_skeleton
from outbox_relay.rendering.pens import Place, Value
from outbox_relay.rendering.sender import Sender
from outbox_relay.rendering.skeleton import Skeleton, cut, mark
from outbox_relay.rendering.sms import one_tap_line, sms_name
from outbox_relay.rendering.theme import check_theme
from outbox_relay.rendering.words import PAGE, Compiled, Words
from shared.vocabulary import AnyChannel, AnyTemplate, Channel, Locale, Template

# Kept for the next reload, which compiles what a theme has changed: Jinja compares the source with what it compiled.
_COMPILED = Compiled()


class Form(NamedTuple):
    """What decides the fixed words of a message."""

    template: Template
    channel: Channel
    locale: Locale
    has_name: bool


class Origin(NamedTuple):
    """Where messages come from: what links begin with, who writes, one-tap codes' domain if they are on, and looks."""

    public_url: str
    sender: Sender
    one_tap_domain: str | None
    look: Look


Marks = dict[str, str | None]
"""What stands in for the values while a template is said; a name may be missing."""

Forms = Mapping[tuple[AnyTemplate, AnyChannel, Locale, bool], Skeleton]
"""The letter of each form, by the form's parts: to make a Form of them would double the time of a look-up."""


def prepare_forms(origin: Origin) -> Forms:
    """Prepare the forms of every template. Raises BrokenTemplateError for one that is broken."""
    if origin.look.theme_folder:
        check_theme(origin.look.theme_folder)
    words = {locale: Words(locale, origin.look, _COMPILED) for locale in Locale}
    prepared = cache(lambda form: _prepared(form, words[form.locale], origin))
    forms = product(Template, Channel, Locale, (True, False))
    return {form: prepared(_as_greeted(Form(*form))) for form in forms}


def activation_link(public_url: str, link_token: str) -> str:
    """Return the address of the page that asks to press its button."""
    return f"{public_url}/activate?token={link_token}"


def _as_greeted(form: Form) -> Form:
    """Return the form without a name where nobody is greeted by it: in an SMS there is no room for one."""
    greets = form.channel is Channel.EMAIL and Value.NAME in _values(form.template)
    return form._replace(has_name=form.has_name and greets)


def _prepared(form: Form, words: Words, origin: Origin) -> Skeleton:
    try:
        match form.channel:
            case Channel.EMAIL:
                return mail_skeleton(_mail_words(form, words, origin.public_url), origin.sender, form.locale)
            case Channel.SMS:
                return cut(_sms_words(form, words, origin).encode())
    except (KeyError, ValueError) as error:  # a value where it cannot be written, a subject of two lines
        raise BrokenTemplateError(f"{form.template}, by {form.channel}: {error}") from error


def _mail_words(form: Form, words: Words, public_url: str) -> MailWords:
    return MailWords(
        subject=words.say(form.template, "subject.txt", {}),
        text=_said(form, words, "body.txt", _marks(Place.TEXT, form, public_url)),
        html=_said(form, words, PAGE, _marks(Place.HTML, form, public_url)),
    )


def _said(form: Form, words: Words, file: str, marks: Marks) -> str:
    """Say a file, which has to bring the code if the template has one: without it the message would be for nothing."""
    text, code = words.say(form.template, file, marks), marks.get("code")
    if code and code not in text:
        raise BrokenTemplateError(f"{form.template}/{file}: leaves out the code")
    return text


def _sms_words(form: Form, words: Words, origin: Origin) -> str:
    marks = _marks(Place.SMS, form, origin.public_url) | {"product": sms_name(origin.look.brand.name)}
    text, code = _said(form, words, "sms.txt", marks), mark(Place.SMS, Value.CODE)
    if origin.one_tap_domain is None or code not in text:
        return text
    return text + one_tap_line(origin.one_tap_domain, code)


def _marks(place: Place, form: Form, public_url: str) -> Marks:
    """Return a mark for each value that the template may use."""
    marks: Marks = {value.value: mark(place, value) for value in _values(form.template)}
    if Value.LINK in marks:
        marks["link"] = activation_link(public_url, mark(place, Value.LINK))
    if Value.NAME in marks and not form.has_name:
        marks["name"] = None
    return marks


def _values(template: Template) -> set[Value]:
    """Return what differs in messages of a template; no name where a stranger may have typed it."""
    match template:
        case Template.ACTIVATION | Template.PASSWORD_RESET:
            code = {Value.NAME, Value.CODE, Value.EXPIRES}
            return code | {Value.LINK} if template is Template.ACTIVATION else code
        case Template.ADDRESS_CHANGE:
            return {Value.CODE, Value.EXPIRES}
        case Template.WELCOME | Template.PASSWORD_CHANGED | Template.ADDRESS_CHANGED | Template.ORGANIZATION_FAILED:
            return {Value.NAME}
        case Template.OPERATOR_DIGEST:
            return {Value.DEAD, Value.CAUSES}
        case Template.ACCOUNT_EXISTS | Template.NO_ACCOUNT:
            return set()
