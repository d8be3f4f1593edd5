"""Render messages: compile every variant of every template once, and fill it with the values of a message."""

from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import NamedTuple

from outbox_relay.model import ClaimedMessage
from outbox_relay.rendering.branding import Brand, Branding, Sender
from outbox_relay.rendering.catalog import PAGE, BrokenTemplateError, TemplateCatalog, check_theme
from outbox_relay.rendering.compiled_template import (
    CompiledTemplate,
    OutputContext,
    RenderValues,
    Value,
    compile_template,
    placeholder,
)
from outbox_relay.rendering.mail import MailTexts, compile_mail
from outbox_relay.rendering.sms import one_tap_line, sms_name
from outbox_relay.rendering.values import RenderingError, greeted_name, load_dates
from shared.secrets import SecretKeys
from shared.templates import TEMPLATES, AnyTemplate, Template
from shared.vocabulary import AnyChannel, Channel, Locale


class TemplateVariant(NamedTuple):
    """The properties that decide a message's fixed text."""

    template: Template
    channel: Channel
    locale: Locale
    has_name: bool


Placeholders = dict[str, str | None]
"""The template's variables while it is compiled. A name may be missing."""


class Renderer:
    """Renders messages. Creating one compiles all templates, so that a broken one prevents the start.

    Without ``branding``, the brand is the sender's name. For each language, ``untranslated`` has the sentences without
    a translation, which its messages show in English. Raises BrokenTemplateError.
    """

    def __init__(
        self,
        keys: SecretKeys,
        public_url: str,
        sender: Sender,
        *,
        one_tap_domain: str | None = None,
        branding: Branding | None = None,
    ) -> None:
        load_dates()
        self._keys = keys
        self._public_url = public_url
        self._sender = sender
        self._one_tap_domain = one_tap_domain
        self._branding = branding or Branding(Brand(sender.name))
        self.untranslated: dict[Locale, set[str]] = {}
        # The key is a plain tuple: to create a TemplateVariant for each message would double the time of the look-up.
        self._compiled: Mapping[tuple[AnyTemplate, AnyChannel, Locale, bool], CompiledTemplate] = self._compile_all()

    def render(self, message: ClaimedMessage) -> bytes:
        """Return the content of a message, the same at each attempt.

        This is the only place where codes and links are written. Raises RenderingError, and UnknownKeyError if
        SECRET_KEYS lacks the key that the message names.
        """
        name = greeted_name(message.payload.get("name"))
        try:
            compiled = self._compiled[message.template, message.channel, message.locale, name is not None]
        except KeyError:
            raise RenderingError("this template does not exist for this channel and locale") from None
        return compiled.fill(RenderValues(message, name or "", self._keys))

    def _compile_all(self) -> dict[tuple[AnyTemplate, AnyChannel, Locale, bool], CompiledTemplate]:
        if self._branding.theme_folder:
            check_theme(self._branding.theme_folder)
        catalogs = {locale: TemplateCatalog(locale, self._branding) for locale in Locale}
        self.untranslated.update((locale, catalog.untranslated) for locale, catalog in catalogs.items())
        compiled = cache(lambda variant: self._compile(variant, catalogs[variant.locale]))
        keys = product(TEMPLATES, Channel, Locale, (True, False))
        return {key: compiled(_without_unused_name(TemplateVariant(*key))) for key in keys}

    def _compile(self, variant: TemplateVariant, catalog: TemplateCatalog) -> CompiledTemplate:
        try:
            match variant.channel:
                case Channel.EMAIL:
                    return compile_mail(self._mail_texts(variant, catalog), self._sender, variant.locale)
                case Channel.SMS:
                    return compile_template(self._sms_text(variant, catalog).encode())
        except (KeyError, ValueError) as error:  # a value where it is not allowed, or a subject of two lines
            raise BrokenTemplateError(f"{variant.template}, by {variant.channel}: {error}") from error

    def _mail_texts(self, variant: TemplateVariant, catalog: TemplateCatalog) -> MailTexts:
        return MailTexts(
            subject=catalog.render(variant.template, "subject.txt", {}),
            text=_rendered(variant, catalog, "body.txt", self._placeholders(OutputContext.TEXT, variant)),
            html=_rendered(variant, catalog, PAGE, self._placeholders(OutputContext.HTML, variant)),
        )

    def _sms_text(self, variant: TemplateVariant, catalog: TemplateCatalog) -> str:
        placeholders = self._placeholders(OutputContext.SMS, variant)
        text = _rendered(variant, catalog, "sms.txt", placeholders | {"product": sms_name(self._branding.brand.name)})
        code = placeholder(OutputContext.SMS, Value.CODE)
        if self._one_tap_domain is None or code not in text:
            return text
        return text + one_tap_line(self._one_tap_domain, code)

    def _placeholders(self, context: OutputContext, variant: TemplateVariant) -> Placeholders:
        """Return a placeholder for each value that the template may use."""
        values = {*variant.template.values, *variant.template.texts}
        placeholders: Placeholders = {value: placeholder(context, value) for value in values}
        if Value.LINK in values:
            placeholders["link"] = activation_link(self._public_url, placeholder(context, Value.LINK))
        if Value.END_LINK in values:
            placeholders["end_link"] = end_sessions_link(self._public_url, placeholder(context, Value.END_LINK))
        if Value.INVITATION_LINK in values:
            token = placeholder(context, Value.INVITATION_LINK)
            placeholders["invitation_link"] = invitation_link(self._public_url, token)
        if Value.NAME in values and not variant.has_name:
            placeholders["name"] = None
        return placeholders


def activation_link(public_url: str, link_token: str) -> str:
    """Return the URL of the activation page, which has a button to confirm."""
    return f"{public_url}/activate?token={link_token}"


def end_sessions_link(public_url: str, link_token: str) -> str:
    """Return the URL of the page with the button that ends all sessions."""
    return f"{public_url}/end-sessions?token={link_token}"


def invitation_link(public_url: str, link_token: str) -> str:
    """Return the URL of the page with the button that accepts an invitation."""
    return f"{public_url}/invitation?token={link_token}"


def _without_unused_name(variant: TemplateVariant) -> TemplateVariant:
    """Return the variant without a name if the template has no greeting. SMS have no greeting, for lack of space."""
    has_greeting = variant.channel is Channel.EMAIL and Value.NAME in variant.template.values
    return variant._replace(has_name=variant.has_name and has_greeting)


def _rendered(variant: TemplateVariant, catalog: TemplateCatalog, file: str, placeholders: Placeholders) -> str:
    """Render a file, which must contain the code if the template has one."""
    text, code = catalog.render(variant.template, file, placeholders), placeholders.get("code")
    if code and code not in text:
        raise BrokenTemplateError(f"{variant.template}/{file}: leaves out the code")
    return text
