"""One POST of JSON for each letter; any 2xx is a yes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from outbox_relay.channels.http.session import ABOUT_US, Answer, message_id_in
from outbox_relay.failures import from_http_status
from outbox_relay.model import Failure, RenderedMessage, Sent


@dataclass(frozen=True)
class HttpJsonApi:
    """A gateway at ``url``; the message's id is the idempotency key."""

    name: str
    url: str
    token: str = field(repr=False)

    def request(self, letter: RenderedMessage) -> Mapping[str, Any]:
        """Ask to send a letter."""
        message = letter.message
        return {
            "method": "POST",
            "url": self.url,
            "json": {"to": message.recipient, "text": letter.content.decode(), "id": str(message.id)},
            "headers": {"Authorization": f"Bearer {self.token}", "Idempotency-Key": str(message.id)},
        }

    def fate(self, answer: Answer) -> Sent | Failure:
        """Understand the answer."""
        said = answer.object
        if answer.is_success:
            return Sent(self.name, message_id_in(said.get("id")))
        problem = said.get("code")
        kind = from_http_status(answer.status, problem if isinstance(problem, str) else None)
        words = json.dumps(said) if said else ""
        return answer.failure(self.name, kind, words=words, is_reply=answer.status not in ABOUT_US)
