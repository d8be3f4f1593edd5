"""From a claimed message to what its channel hands over.

Read downwards: ``renderer`` fills a prepared form · ``forms`` prepares them all when the relay starts
· ``mail`` the MIME around the words of an e-mail · ``words`` the templates in each language
· ``skeleton`` fixed bytes with holes, which ``quoted_printable`` keeps 7-bit · ``values`` what goes into
the holes · ``sender`` who writes · ``errors``.
"""

from outbox_relay.rendering.errors import RenderingError
from outbox_relay.rendering.renderer import Renderer
from outbox_relay.rendering.sender import Sender, parse_sender

__all__ = ["Renderer", "RenderingError", "Sender", "parse_sender"]
