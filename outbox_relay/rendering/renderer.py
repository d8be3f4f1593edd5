"""Filling the prepared form of a message with the values that are its own."""

from outbox_relay.model import ClaimedMessage
from outbox_relay.rendering.errors import RenderingError
from outbox_relay.rendering.forms import Origin, prepare_forms
from outbox_relay.rendering.look import Brand, Look
from outbox_relay.rendering.pens import Facts
from outbox_relay.rendering.sender import Sender
from outbox_relay.rendering.skeleton import Skeleton
from outbox_relay.rendering.values import greeted_name, load_dates
from shared.secrets import SecretKeys


class Renderer:
    """Puts messages into words. Made once, at the start, which prepares every form of every template.

    Without a ``look``, messages have the sender's name and nothing else of a brand. Raises BrokenTemplateError.
    """

    def __init__(
        self,
        keys: SecretKeys,
        public_url: str,
        sender: Sender,
        *,
        one_tap_domain: str | None = None,
        look: Look | None = None,
    ) -> None:
        load_dates()
        self._keys = keys
        self._forms = prepare_forms(Origin(public_url, sender, one_tap_domain, look or Look(Brand(sender.name))))

    def render(self, message: ClaimedMessage) -> bytes:
        """Return the content of the message's letter, the same at each attempt.

        The only place where a code or a link is ever written down. Raises RenderingError, and
        UnknownKeyError if SECRET_KEYS does not hold the key that the message names.
        """
        name = greeted_name(message.payload.get("name"))
        skeleton = self._skeleton(message, has_name=name is not None)
        return skeleton.filled(Facts(message, name or "", self._keys))

    def _skeleton(self, message: ClaimedMessage, *, has_name: bool) -> Skeleton:
        try:
            return self._forms[message.template, message.channel, message.locale, has_name]
        except KeyError:
            raise RenderingError("there are no words for this template, channel and locale") from None
