"""The mail that Signpost and its peers send: the activation mail in a short theme, about 2 KB.

Peers get its texts with the placeholders ``{name}`` and ``{code}``, and build the mail in their own way.
"""

from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from pathlib import Path

from outbox_relay.rendering.branding import Brand, Branding, Sender
from outbox_relay.rendering.preview import fresh_activation
from outbox_relay.rendering.renderer import Renderer
from shared.secrets import SecretKeys, code_for
from shared.vocabulary import Channel, Locale

SENDER = Sender("Signpost", "no-reply@signpost.example")
KEY = b"b" * 32
NAME = "Ada Lovelace"
THEME = Path(__file__).parent / "theme"


@cache
def rendered(locale: Locale) -> tuple[bytes, dict[str, str]]:
    """Return the mail as bytes, and its texts with placeholders: subject, text and html."""
    message = fresh_activation(Channel.EMAIL, locale, "bench", name=NAME)
    branding = Branding(Brand(SENDER.name), theme_folder=THEME)
    content = Renderer(SecretKeys({"bench": KEY}), "https://signpost.example", SENDER, branding=branding).render(
        message
    )
    mail = message_from_bytes(content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert message.token_id is not None
    text, html = (str(part.get_content()) for part in mail.iter_parts())
    code = code_for(message.token_id, KEY)
    texts = {"subject": str(mail["Subject"]), "text": text, "html": html}
    return content, {kind: words.replace(NAME, "{name}").replace(code, "{code}") for kind, words in texts.items()}
