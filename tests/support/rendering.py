"""Renderers that tests share, because compiling all templates takes a tenth of a second or more."""

from functools import cache
from typing import Any

from outbox_relay.rendering.branding import Branding, Sender
from outbox_relay.rendering.renderer import Renderer
from shared.secrets import SecretKeys

KEY = b"k" * 32
KEYS = SecretKeys({"k1": KEY})
PUBLIC_URL = "https://signpost.example"
SENDER = Sender("Signpost", "no-reply@signpost.example")
_SHARED: dict[str, Renderer] = {}


@cache
def usual_renderer() -> Renderer:
    return Renderer(KEYS, PUBLIC_URL, SENDER)


def shared_renderer(keys: SecretKeys, *arguments: Any, branding: Branding, **options: Any) -> Renderer:
    """Return the renderer for these settings. It is shared, unless it has a theme, whose files may change."""
    key = repr((keys.by_id, arguments, branding, options))
    renderer = _SHARED.get(key) or Renderer(keys, *arguments, branding=branding, **options)
    if not branding.theme_folder:
        _SHARED[key] = renderer
    return renderer
