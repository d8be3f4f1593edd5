"""What the story is told with: a client of the API, an operator's command line, and checks that say what was seen."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from devstack.inbox.client import InboxClient
from devstack.stack import Stack

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 20.0


class StepFailedError(Exception):
    """A step did not hold; it says what was expected and what was seen instead."""

    def __init__(self, expected: str, seen: object) -> None:
        super().__init__(f"expected {expected}, saw {seen}")
        self.expected = expected
        self.seen = str(seen)


def expect(expected: str, *, seen: object, is_so: bool) -> None:
    """Raise StepFailedError unless it is so."""
    if not is_so:
        raise StepFailedError(expected, seen)


@dataclass
class Scene:
    """One telling of the story: the stack it happens on, and the registrations by their address."""

    stack: Stack
    registrations: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        programs = self.stack.programs
        self.api = httpx.Client(base_url=programs.api_url, timeout=30, trust_env=False)
        self.inbox = InboxClient(programs.inbox_url)

    def close(self) -> None:
        """Let go of the connections."""
        self.api.close()
        self.inbox.close()

    def register(self, address: str) -> dict[str, Any]:
        """Register an e-mail address or a number, expect 202, and return the registration."""
        kind = "email" if "@" in address else "phone"
        body = {kind: address, "password": "a walk by the harbour", "full_name": "Ada"}
        answer = self.api.post("/v1/registrations", json=body)
        expect("202 from POST /v1/registrations", seen=told(answer), is_so=answer.status_code == httpx.codes.ACCEPTED)
        registration: dict[str, Any] = answer.json()
        self.registrations[address] = registration["id"]
        return registration

    def registration(self, address: str) -> dict[str, Any]:
        """Look a registration up."""
        answer = self.api.get(f"/v1/registrations/{self.registrations[address]}")
        expect("200 from GET /v1/registrations/{id}", seen=told(answer), is_so=answer.is_success)
        registration: dict[str, Any] = answer.json()
        return registration

    def wait_for_delivery(self, address: str, **wanted: object) -> None:
        """Wait until the registration's ``delivery`` shows the wanted values."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not wanted.items() <= (delivery := self.registration(address)["delivery"]).items():
            expect(f"delivery to show {wanted}", seen=delivery, is_so=time.monotonic() < deadline)
            time.sleep(POLL_SECONDS)

    def code_from(self, address: str) -> str:
        """Wait for the one message to this address and return the code in its text."""
        try:
            [message] = self.inbox.wait_for(address, patience=PATIENCE_SECONDS)
        except TimeoutError as error:
            raise StepFailedError(f"a message for {address} in the inbox", error) from error
        if message.code is None:
            raise StepFailedError("six digits in the message's text", message.text)
        return message.code

    def activate(self, address: str) -> None:
        """Offer the code that arrived, and expect the registration to be active."""
        body = {"registration_id": self.registrations[address], "code": self.code_from(address)}
        answer = self.api.post("/v1/activations", json=body)
        expect("200 and status active from POST /v1/activations", seen=told(answer), is_so=is_active(answer))
        registration = self.registration(address)
        expect("the registration to be active", seen=registration, is_so=registration["status"] == "active")

    def dead_messages(self) -> list[dict[str, Any]]:
        """List the dead as an operator does."""
        lines = self.stack.outboxctl("list", "--status", "dead", "--json").splitlines()
        return [json.loads(line) for line in lines]


def is_active(answer: httpx.Response) -> bool:
    """Tell whether an activation was granted."""
    return answer.is_success and answer.json()["status"] == "active"


def told(answer: httpx.Response) -> str:
    """Return an answer in a line."""
    return f"{answer.status_code} {answer.text.strip()}"
