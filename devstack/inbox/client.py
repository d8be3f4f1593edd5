"""An HTTP client of the inbox, for the demo and the tests."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import httpx

POLL_SECONDS = 0.02
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class ReceivedMessage:
    """A received message with its parsed parts; ``headers`` are in their original order."""

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
        """Return the message of an entry in the inbox's JSON list."""
        received_at = datetime.fromisoformat(fields["received_at"])
        headers = [(name, value) for name, value in fields["headers"]]
        return cls(**fields | {"received_at": received_at, "headers": headers})


class InboxClient:
    """Access to received messages and rejected addresses."""

    def __init__(self, http_url: str) -> None:
        self.http_url = http_url
        # A connection for each call, because the inbox may restart between calls.
        self._http = httpx.Client(base_url=http_url, headers={"Connection": "close"}, trust_env=False)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def messages_for(self, recipient: str) -> list[ReceivedMessage]:
        """Return the messages to a recipient, newest first."""
        return self._messages({"recipient": recipient})

    def all_messages(self) -> list[ReceivedMessage]:
        """Return all messages, newest first."""
        return self._messages({})

    def wait_for(self, recipient: str, count: int = 1, timeout: float = TIMEOUT_SECONDS) -> list[ReceivedMessage]:
        """Return the recipient's messages once there are ``count``. Raises TimeoutError after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while len(found := self.messages_for(recipient)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} messages arrived within {timeout:g} s")
            time.sleep(POLL_SECONDS)
        return found

    def raw(self, message: ReceivedMessage) -> bytes:
        """Return a message's bytes as stored: for mail, the envelope's lines and the content."""
        return self._http.get(f"/messages/{message.id}/raw").raise_for_status().content

    def refuse(self, address: str) -> None:
        """Reject messages to the address."""
        self._http.put(f"/refusals/{address}").raise_for_status()

    def accept(self, address: str) -> None:
        """Accept messages to the address again."""
        self._http.delete(f"/refusals/{address}").raise_for_status()

    def _messages(self, query: dict[str, str]) -> list[ReceivedMessage]:
        response = self._http.get("/messages.json", params=query).raise_for_status()
        return [ReceivedMessage.from_json(fields) for fields in response.json()]
