"""One POST of a form for each letter, to the account's Messages.json.

Source: https://www.twilio.com/docs/messaging/api/message-resource. The API has no idempotency key: a
letter whose answer was lost may arrive twice.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from outbox_relay.channels.http.session import ABOUT_US, Answer, message_id_in
from outbox_relay.channels.twilio.errors import from_twilio_code, is_about_us
from outbox_relay.model import Failure, RenderedMessage, Sent


@dataclass(frozen=True)
class TwilioApi:
    """The account ``sid`` at ``base_url``; ``sender`` is a number, a name, or a messaging service (``MG…``)."""

    name: str
    base_url: str
    sid: str
    token: str = field(repr=False)
    sender: str

    def request(self, letter: RenderedMessage) -> Mapping[str, Any]:
        """Ask to send a letter."""
        sender = "MessagingServiceSid" if self.sender.startswith("MG") else "From"
        return {
            "method": "POST",
            "url": f"{self.base_url}/2010-04-01/Accounts/{self.sid}/Messages.json",
            "data": {"To": letter.message.recipient, sender: self.sender, "Body": letter.content.decode()},
            "headers": {"Authorization": f"Basic {b64encode(f'{self.sid}:{self.token}'.encode()).decode()}"},
        }

    def fate(self, answer: Answer) -> Sent | Failure:
        """Understand the answer: its code where it has one, or else its status."""
        said = answer.object
        code = _code(said.get("code") or said.get("error_code"))
        if answer.is_success and code is None:
            return Sent(self.name, message_id_in(said.get("sid")))
        is_reply = not (is_about_us(code) or answer.status in ABOUT_US)
        words = f"{code}: {said.get('message') or said.get('error_message')}" if code else ""
        return answer.failure(self.name, from_twilio_code(code), words=words, is_reply=is_reply)


def _code(given: object) -> int | None:
    return given if isinstance(given, int) else None
