"""The demo's tools: a client of the API, an operator's command line, and checks that report the actual values."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from devstack.inbox.client import InboxClient
from devstack.stack import Stack

POLL_SECONDS = 0.05
TIMEOUT_SECONDS = 20.0


class StepFailedError(Exception):
    """A check failed. Contains the expected and the actual result."""

    def __init__(self, expected: str, seen: object) -> None:
        super().__init__(f"expected {expected}, saw {seen}")
        self.expected = expected
        self.seen = str(seen)


def expect(expected: str, *, seen: object, is_so: bool) -> None:
    """Raise StepFailedError unless ``is_so``."""
    if not is_so:
        raise StepFailedError(expected, seen)


@dataclass
class Scene:
    """One run of the demo: its stack, and the ids of registrations by address."""

    stack: Stack
    registrations: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        programs = self.stack.programs
        self.api = httpx.Client(base_url=programs.api_url, timeout=30, trust_env=False)
        self.inbox = InboxClient(programs.inbox_url)

    def close(self) -> None:
        """Close the connections."""
        self.api.close()
        self.inbox.close()

    def register(self, address: str) -> dict[str, Any]:
        """Register an e-mail address or a number, expect 202, and return the registration."""
        kind = "email" if "@" in address else "phone"
        body = {kind: address, "password": "a walk by the harbour", "full_name": "Ada"}
        response = self.api.post("/v1/registrations", json=body)
        expect(
            "202 from POST /v1/registrations",
            seen=summary_of(response),
            is_so=response.status_code == httpx.codes.ACCEPTED,
        )
        registration: dict[str, Any] = response.json()
        self.registrations[address] = registration["id"]
        return registration

    def registration(self, address: str) -> dict[str, Any]:
        """Return a registration's status."""
        response = self.api.get(f"/v1/registrations/{self.registrations[address]}")
        expect("200 from GET /v1/registrations/{id}", seen=summary_of(response), is_so=response.is_success)
        registration: dict[str, Any] = response.json()
        return registration

    def wait_for_delivery(self, address: str, **wanted: object) -> None:
        """Wait until the registration's ``delivery`` shows the wanted values."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not wanted.items() <= (delivery := self.registration(address)["delivery"]).items():
            expect(f"delivery to show {wanted}", seen=delivery, is_so=time.monotonic() < deadline)
            time.sleep(POLL_SECONDS)

    def code_from(self, address: str) -> str:
        """Wait for the only message to this address, and return the code in its text."""
        try:
            [message] = self.inbox.wait_for(address, timeout=TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise StepFailedError(f"a message for {address} in the inbox", error) from error
        if message.code is None:
            raise StepFailedError("six digits in the message's text", message.text)
        return message.code

    def activate(self, address: str) -> None:
        """Activate the registration with the received code."""
        body = {"registration_id": self.registrations[address], "code": self.code_from(address)}
        response = self.api.post("/v1/activations", json=body)
        expect("200 and status active from POST /v1/activations", seen=summary_of(response), is_so=is_active(response))
        registration = self.registration(address)
        expect("the registration to be active", seen=registration, is_so=registration["status"] == "active")

    def dead_messages(self) -> list[dict[str, Any]]:
        """List dead messages with outboxctl."""
        lines = self.stack.outboxctl("list", "--status", "dead", "--json").splitlines()
        return [json.loads(line) for line in lines]


def is_active(response: httpx.Response) -> bool:
    """Return whether an activation succeeded."""
    return response.is_success and response.json()["status"] == "active"


def summary_of(response: httpx.Response) -> str:
    """Return a response in one line."""
    return f"{response.status_code} {response.text.strip()}"
