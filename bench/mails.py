"""The mail that everybody sends: our own, rendered once, as bytes and as words with places for name and code."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from uuid import uuid4

from outbox_relay.messages import ClaimedMessage
from outbox_relay.rendering import Renderer, Sender
from shared.ids import uuid7
from shared.secrets import SecretKeys, code_for
from shared.vocabulary import Channel, Locale, Template

SENDER = Sender("Signpost", "no-reply@signpost.example")
KEY = b"b" * 32
NAME = "Ada Lovelace"


@dataclass(frozen=True)
class Mail:
    """A mail as it goes out, and the words it was made of."""

    content: bytes
    words: dict[str, str]
    """subject, text and html, with {name} and {code} where those go."""


@cache
def mail_in(locale: Locale) -> Mail:
    """Render an activation mail, and take it apart again."""
    message = activation(locale)
    content = Renderer(SecretKeys({"bench": KEY}), "https://signpost.example", SENDER).render(message)
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert message.token_id is not None
    text, html = (str(part.get_content()) for part in parsed.iter_parts())
    code = code_for(message.token_id, KEY)
    words = {"subject": str(parsed["Subject"]), "text": text, "html": html}
    return Mail(content, {kind: _with_places(word, code) for kind, word in words.items()})


def activation(locale: Locale) -> ClaimedMessage:
    """Return a claimed message that asks for an activation mail."""
    now = datetime.now(UTC)
    return ClaimedMessage(
        id=uuid7(),
        template=Template.ACTIVATION,
        channel=Channel.EMAIL,
        recipient="ada@example.org",
        locale=locale,
        payload={"name": NAME, "key_id": "bench"},
        token_id=uuid4(),
        attempt=0,
        max_attempts=8,
        expiries=0,
        created_at=now,
        due_at=now,
        expires_at=now + timedelta(days=1),
        lease_token=uuid4(),
        lease_ends_monotonic=0.0,
        expires_monotonic=0.0,
        enqueued_monotonic=0.0,
    )


def _with_places(words: str, code: str) -> str:
    return words.replace(NAME, "{name}").replace(code, "{code}")
