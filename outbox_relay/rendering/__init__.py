"""From a claimed message to what its channel hands over.

Read downwards: ``preview`` shows a message with ``samples`` for its values · ``renderer`` fills a prepared
form · ``forms`` prepares them all when the relay starts · ``theme`` the folder that goes before our templates
· ``mail`` the MIME around the words of an e-mail · ``sms`` what keeps an SMS to one · ``words`` the
templates in each language · ``pages`` MJML to HTML · ``look`` and ``colours`` whose they are, and readable ·
``skeleton`` fixed bytes with holes · ``pens`` how a value is written in its holes, which
``quoted_printable`` keeps 7-bit · ``values`` and ``digest`` what is written · ``sender`` who writes · ``dkim``
signs what is filled · ``errors``.
"""

from outbox_relay.rendering.colours import colour_from
from outbox_relay.rendering.dkim import Dkim, DkimKey, Signer, parse_dkim_keys
from outbox_relay.rendering.errors import BrokenTemplateError, RenderingError
from outbox_relay.rendering.look import USUAL_COLOUR, Brand, Look
from outbox_relay.rendering.preview import Preview, preview
from outbox_relay.rendering.renderer import Renderer
from outbox_relay.rendering.sender import Sender, parse_reply_to, parse_sender
from outbox_relay.rendering.sms import one_tap_domain

__all__ = [
    "USUAL_COLOUR",
    "Brand",
    "BrokenTemplateError",
    "Dkim",
    "DkimKey",
    "Look",
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
