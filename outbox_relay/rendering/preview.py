"""Show messages with sample values, rendered like any other message and parsed again."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from math import inf
from typing import NamedTuple
from uuid import UUID, uuid4

from outbox_relay.model import ClaimedMessage
from outbox_relay.rendering.renderer import Renderer
from shared.ids import uuid7
from shared.secrets import SecretKeys
from shared.templates import Template
from shared.vocabulary import Channel, Locale

SAMPLE_KEYS = SecretKeys({"sample": bytes(32)})
"""Publicly known. Codes and links derived from them are not valid anywhere."""

_NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_RECIPIENTS = {Channel.EMAIL: "ada@example.org", Channel.SMS: "+33612345678"}
_CAUSES = (
    {"cause": "rejected, mail1.example.org: 550 5.1.1 no such user", "count": 27},
    {"cause": "expired, sms.example.org: 503 service unavailable", "count": 12},
    {"cause": "poison", "count": 1},
)
_EVENTS = (
    {"at": "2026-11-20T11:31:07+00:00", "device": "Firefox (Linux)", "network": "192.0.2.*"},
    {"at": "2026-11-20T11:58:42+00:00", "device": "Safari (iPhone)", "network": "2001:db8:1:*"},
)
_BUBBLE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>SMS</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
    "<style>body{{margin:1rem;font:16px/22px system-ui,sans-serif}}p{{max-width:20rem;margin:0;padding:.6rem .9rem;"
    "border-radius:1.1rem;background:#e9e9eb;color:#000;white-space:pre-wrap;overflow-wrap:anywhere}}</style></head>"
    "<body><p>{}</p></body></html>"
)


class Preview(NamedTuple):
    """What a recipient sees. An SMS has only a text."""

    text: str
    subject: str | None = None
    html: str | None = None

    def as_text(self) -> str:
        """Return subject and text for a terminal."""
        return f"{self.subject}\n\n{self.text.rstrip()}\n" if self.subject else f"{self.text}\n"

    def as_page(self) -> str:
        """Return a page for a browser, which shows an SMS in a speech bubble."""
        return self.html or _BUBBLE.format(escape(self.text))


def preview(
    renderer: Renderer, template: Template, channel: Channel, locale: Locale, *, name: str | None = "Ada"
) -> Preview:
    """Render a sample message. The renderer needs SAMPLE_KEYS."""
    content = renderer.render(sample_message(template, channel, locale, name=name))
    match channel:
        case Channel.SMS:
            return Preview(content.decode())
        case Channel.EMAIL:
            return _parsed(content)


def sample_message(template: Template, channel: Channel, locale: Locale, *, name: str | None = "Ada") -> ClaimedMessage:
    """Return a message with every value that a template can use."""
    return ClaimedMessage(
        id=UUID("019aa5c0-0000-7000-8000-000000000001"),
        template=template,
        channel=channel,
        recipient=_RECIPIENTS[channel],
        locale=locale,
        payload={**template.texts, "name": name, "key_id": "sample", "dead": 40, "causes": _CAUSES, "events": _EVENTS},
        token_id=UUID("0b9fa9a3-6a4e-4d0f-8a57-0a6d8a0f1c11"),
        attempt=0,
        max_attempts=8,
        lost_leases=0,
        created_at=_NOON,
        due_at=_NOON,
        expires_at=_NOON + timedelta(days=1),
        lease_token=UUID("7d4ce6a8-9d34-4a52-9bb5-0b1e1f1e2a10"),
        lease_ends_monotonic=0.0,
        expires_monotonic=0.0,
        enqueued_monotonic=0.0,
    )


def fresh_activation(
    channel: Channel, locale: Locale, key_id: str, *, name: str | None = None, life: timedelta = timedelta(days=1)
) -> ClaimedMessage:
    """Return an activation created now, with new ids and an endless lease. Its code belongs to no user."""
    now = datetime.now(UTC)
    return sample_message(Template("activation"), channel, locale)._replace(
        id=uuid7(),
        token_id=uuid4(),
        payload={"name": name, "key_id": key_id},
        created_at=now,
        due_at=now,
        expires_at=now + life,
        lease_ends_monotonic=inf,
        expires_monotonic=inf,
    )


def _parsed(content: bytes) -> Preview:
    mail = message_from_bytes(content, policy=policy.default)
    if not isinstance(mail, EmailMessage):
        raise TypeError("the standard library's policy makes EmailMessages")
    return Preview(_body(mail, "plain"), str(mail["Subject"]), _body(mail, "html"))


def _body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part else ""
