"""Render claimed messages: every template is compiled when the relay starts, and filled with values for each message.

Read ``renderer`` first. It compiles templates that ``catalog`` renders in each language, with the ``branding``, into a
``compiled_template``: fixed bytes with placeholders, built by ``mail`` or ``sms``. ``values`` computes the
values, and ``dkim`` signs the result. ``preview`` shows a message with sample values.
"""

from outbox_relay.rendering.branding import (
    DEFAULT_COLOUR,
    Brand,
    Branding,
    Sender,
    colour_from,
    parse_reply_to,
    parse_sender,
)
from outbox_relay.rendering.catalog import BrokenTemplateError
from outbox_relay.rendering.dkim import Dkim, DkimKey, Signer, parse_dkim_keys
from outbox_relay.rendering.preview import Preview, preview
from outbox_relay.rendering.renderer import Renderer
from outbox_relay.rendering.sms import one_tap_domain
from outbox_relay.rendering.values import RenderingError

__all__ = [
    "DEFAULT_COLOUR",
    "Brand",
    "Branding",
    "BrokenTemplateError",
    "Dkim",
    "DkimKey",
    "Preview",
    "Renderer",
    "RenderingError",
    "Sender",
    "Signer",
    "colour_from",
    "one_tap_domain",
    "parse_dkim_keys",
    "parse_reply_to",
    "parse_sender",
    "preview",
]
