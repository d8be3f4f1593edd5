"""Asking a running inbox, over HTTP: for the story, and for tests."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import httpx

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class ReceivedMessage:
    """A message that arrived, with what was read of it; ``headers`` keeps the order of their coming."""

    id: str
    channel: str
    recipients: list[str]
    received_at: datetime
    sender: str
    subject: str
    headers: list[tuple[str, str]]
    text: str
    html: str | None
    code: str | None
    link: str | None

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Take an entry of the inbox's list."""
        received_at = datetime.fromisoformat(fields["received_at"])
        headers = [(name, value) for name, value in fields["headers"]]
        return cls(**fields | {"received_at": received_at, "headers": headers})


class InboxClient:
    """What arrived, and who is turned away."""

    def __init__(self, http_url: str) -> None:
        self.http_url = http_url
        # A connection for each call: the inbox may have been restarted in between.
        self._http = httpx.Client(base_url=http_url, headers={"Connection": "close"}, trust_env=False)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def messages_for(self, recipient: str) -> list[ReceivedMessage]:
        """Return what arrived for a recipient, newest first."""
        return self._messages({"recipient": recipient})

    def all_messages(self) -> list[ReceivedMessage]:
        """Return all that arrived, newest first."""
        return self._messages({})

    def wait_for(self, recipient: str, count: int = 1, patience: float = PATIENCE_SECONDS) -> list[ReceivedMessage]:
        """Return the recipient's messages once there are ``count``. Raises TimeoutError after ``patience`` seconds."""
        deadline = time.monotonic() + patience
        while len(found := self.messages_for(recipient)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} messages arrived within {patience:g} s")
            time.sleep(POLL_SECONDS)
        return found

    def raw(self, message: ReceivedMessage) -> bytes:
        """Return a message's bytes as the inbox keeps them: for mail, the envelope's lines and what was sent."""
        return self._http.get(f"/messages/{message.id}/raw").raise_for_status().content

    def refuse(self, address: str) -> None:
        """Have the address turned away from now on."""
        self._http.put(f"/refusals/{address}").raise_for_status()

    def take_in_again(self, address: str) -> None:
        """Have the address taken in again."""
        self._http.delete(f"/refusals/{address}").raise_for_status()

    def _messages(self, query: dict[str, str]) -> list[ReceivedMessage]:
        answer = self._http.get("/messages.json", params=query).raise_for_status()
        return [ReceivedMessage.from_json(fields) for fields in answer.json()]
