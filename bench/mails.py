"""The mail that everybody sends: our own, rendered once, as bytes and as words with places for name and code."""

from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache

from outbox_relay.rendering import Renderer, Sender
from outbox_relay.rendering.samples import fresh_activation
from shared.secrets import SecretKeys, code_for
from shared.vocabulary import Channel, Locale

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
    message = fresh_activation(Channel.EMAIL, locale, "bench", name=NAME)
    content = Renderer(SecretKeys({"bench": KEY}), "https://signpost.example", SENDER).render(message)
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert message.token_id is not None
    text, html = (str(part.get_content()) for part in parsed.iter_parts())
    code = code_for(message.token_id, KEY)
    words = {"subject": str(parsed["Subject"]), "text": text, "html": html}
    return Mail(content, {kind: _with_places(word, code) for kind, word in words.items()})


def _with_places(words: str, code: str) -> str:
    return words.replace(NAME, "{name}").replace(code, "{code}")
