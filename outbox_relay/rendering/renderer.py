"""Filling the prepared form of a message with the values that are its own."""

from collections.abc import Callable, Mapping
from uuid import UUID

from outbox_relay.messages import ClaimedMessage
from outbox_relay.rendering.errors import RenderingError
from outbox_relay.rendering.forms import Form, Origin, prepare_forms
from outbox_relay.rendering.sender import Sender
from outbox_relay.rendering.skeleton import Skeleton, Value
from outbox_relay.rendering.values import expiry_text, greeted_name, header_date, plain_address
from shared.secrets import SecretKeys, code_for, link_token_for


class Renderer:
    """Puts messages into words. Made once, at the start, which prepares every form of every template."""

    def __init__(self, keys: SecretKeys, public_url: str, sender: Sender, *, one_tap_domain: str | None = None) -> None:
        self._keys = keys
        self._forms = prepare_forms(Origin(public_url, sender, one_tap_domain))
        self._sources: Mapping[Value, Callable[[ClaimedMessage], str]] = {
            Value.RECIPIENT: lambda message: plain_address(message.recipient),
            Value.DATE: lambda message: header_date(message.created_at),
            Value.ID: lambda message: str(message.id),
            Value.CODE: lambda message: self._derived(code_for, message),
            Value.LINK: lambda message: self._derived(link_token_for, message),
            Value.EXPIRES: _expiry,
        }

    def render(self, message: ClaimedMessage) -> bytes:
        """Return the content of the message's letter, the same at each attempt.

        The only place where a code or a link is ever written down. Raises RenderingError, and
        UnknownKeyError if SECRET_KEYS does not hold the key that the message names.
        """
        name = greeted_name(message.payload.get("name"))
        skeleton = self._skeleton(message, has_name=name is not None)
        values = {value: source(message) for value, source in self._sources.items() if value in skeleton.values}
        return skeleton.filled(values | {Value.NAME: name or ""})

    def _skeleton(self, message: ClaimedMessage, *, has_name: bool) -> Skeleton:
        try:
            return self._forms[Form(message.template, message.channel, message.locale, has_name)]
        except KeyError:
            raise RenderingError("there are no words for this template, channel and locale") from None

    def _derived(self, derive: Callable[[UUID, bytes], str], message: ClaimedMessage) -> str:
        key_id = message.payload.get("key_id")
        if message.token_id is None or not isinstance(key_id, str):
            raise RenderingError("the message names no token, or its payload no key_id")
        return derive(message.token_id, self._keys[key_id])


def _expiry(message: ClaimedMessage) -> str:
    if message.expires_at is None:
        raise RenderingError("the message has no expires_at")
    return expiry_text(message.expires_at, message.locale, message.channel)
