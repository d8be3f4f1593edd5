"""The mail that everybody sends: ours in a short theme, as bytes and as words with places for name and code.

It has 2 KB, and all that makes the mail of a message its own: code, link, name, language and expiry.
"""

from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from pathlib import Path

from outbox_relay.rendering import Renderer, Sender
from outbox_relay.rendering.look import Brand, Look
from outbox_relay.rendering.samples import fresh_activation
from shared.secrets import SecretKeys, code_for
from shared.vocabulary import Channel, Locale

SENDER = Sender("Signpost", "no-reply@signpost.example")
KEY = b"b" * 32
NAME = "Ada Lovelace"
THEME = Path(__file__).parent / "theme"


@dataclass(frozen=True)
class Mail:
    """A mail as it goes out, and the words it was made of."""

    content: bytes
    words: dict[str, str]
    """subject, text and html, with {name} and {code} where those go."""


@cache
def mail_in(locale: Locale, theme: Path | None = THEME) -> Mail:
    """Render an activation mail, and take it apart again; without a theme, the one that the product ships."""
    message = fresh_activation(Channel.EMAIL, locale, "bench", name=NAME)
    look = Look(Brand(SENDER.name), theme_folder=theme)
    content = Renderer(SecretKeys({"bench": KEY}), "https://signpost.example", SENDER, look=look).render(message)
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert message.token_id is not None
    text, html = (str(part.get_content()) for part in parsed.iter_parts())
    code = code_for(message.token_id, KEY)
    words = {"subject": str(parsed["Subject"]), "text": text, "html": html}
    return Mail(content, {kind: _with_places(word, code) for kind, word in words.items()})


def _with_places(words: str, code: str) -> str:
    return words.replace(NAME, "{name}").replace(code, "{code}")
