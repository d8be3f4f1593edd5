"""From a claimed message to what its channel hands over.

Read downwards: ``renderer`` fills a prepared form · ``forms`` prepares them all when the relay starts
· ``mail`` the MIME around the words of an e-mail · ``sms`` what keeps an SMS to one · ``words`` the
templates in each language · ``skeleton`` fixed bytes with holes · ``pens`` how a value is written in its
holes, which ``quoted_printable`` keeps 7-bit · ``values`` what is written · ``sender`` who writes · ``dkim``
signs what is filled · ``errors``.
"""

from outbox_relay.rendering.dkim import Dkim, DkimKey, Signer, parse_dkim_keys
from outbox_relay.rendering.errors import RenderingError
from outbox_relay.rendering.renderer import Renderer
from outbox_relay.rendering.sender import Sender, parse_reply_to, parse_sender
from outbox_relay.rendering.sms import one_tap_domain

__all__ = [
    "Dkim",
    "DkimKey",
    "Renderer",
    "RenderingError",
    "Sender",
    "Signer",
    "one_tap_domain",
    "parse_dkim_keys",
    "parse_reply_to",
    "parse_sender",
]
