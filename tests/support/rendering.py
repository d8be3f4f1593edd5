"""A renderer that tests share, because compiling all templates takes a third of a second."""

from outbox_relay.rendering.branding import Sender
from outbox_relay.rendering.renderer import Renderer
from shared.secrets import SecretKeys

KEY = b"k" * 32
KEYS = SecretKeys({"k1": KEY})
PUBLIC_URL = "https://signpost.example"
SENDER = Sender("Signpost", "no-reply@signpost.example")
RENDERER = Renderer(KEYS, PUBLIC_URL, SENDER)
