"""A message as its reader gets it, with sample values: rendered like any other, and read back."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from typing import NamedTuple

from outbox_relay.rendering.renderer import Renderer
from outbox_relay.rendering.samples import sample_message
from shared.vocabulary import Channel, Locale, Template

_BUBBLE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>SMS</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
    "<style>body{{margin:1rem;font:16px/22px system-ui,sans-serif}}p{{max-width:20rem;margin:0;padding:.6rem .9rem;"
    "border-radius:1.1rem;background:#e9e9eb;color:#000;white-space:pre-wrap;overflow-wrap:anywhere}}</style></head>"
    "<body><p>{}</p></body></html>"
)


class Preview(NamedTuple):
    """What a reader sees: of an SMS the text alone."""

    text: str
    subject: str | None = None
    html: str | None = None

    def as_text(self) -> str:
        """Return it for a terminal: subject, text and nothing else."""
        return f"{self.subject}\n\n{self.text.rstrip()}\n" if self.subject else f"{self.text}\n"

    def as_page(self) -> str:
        """Return it for a browser: an SMS in a bubble."""
        return self.html or _BUBBLE.format(escape(self.text))


def preview(
    renderer: Renderer, template: Template, channel: Channel, locale: Locale, *, name: str | None = "Ada"
) -> Preview:
    """Render a sample; the renderer must have been made with the keys of ``samples``."""
    content = renderer.render(sample_message(template, channel, locale, name=name))
    match channel:
        case Channel.SMS:
            return Preview(content.decode())
        case Channel.EMAIL:
            return _read(content)


def _read(content: bytes) -> Preview:
    mail = message_from_bytes(content, policy=policy.default)
    if not isinstance(mail, EmailMessage):
        raise TypeError("the standard library's policy makes EmailMessages")
    return Preview(_body(mail, "plain"), str(mail["Subject"]), _body(mail, "html"))


def _body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part else ""
