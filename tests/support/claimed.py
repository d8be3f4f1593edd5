"""A claimed message for tests that need no database."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from outbox_relay.model import ClaimedMessage
from shared.templates import Template
from shared.vocabulary import Channel, Locale

A_TOKEN = UUID("0b9fa9a3-6a4e-4d0f-8a57-0a6d8a0f1c11")

EVENTS = [
    {"at": "2026-11-20T09:12:59.123456+00:00", "device": "Firefox (Linux)", "network": "192.0.2.*"},
    {"at": "2026-11-20T09:58:00+00:00", "device": None, "network": None},
    {"at": "2026-11-20T10:00:00+00:00", "device": "Samsung Internet (Android)", "network": "2001:db8:ffff:*"},
]
"""Their devices and networks have the longest names."""

A_DIGEST: dict[str, Any] = {
    "dead": 39,
    "causes": [{"cause": "rejected, mail1: 550 <unknown> & gone", "count": 27}, {"cause": "poison", "count": 12}],
}


def a_claimed_message(**changes: Any) -> ClaimedMessage:
    """Return Ada's activation e-mail with these changes."""
    fields: dict[str, Any] = {
        "id": UUID("019aa5c0-0000-7000-8000-000000000001"),
        "template": Template("activation"),
        "channel": Channel.EMAIL,
        "recipient": "ada@example.org",
        "locale": Locale.EN,
        "payload": {"name": "Ada", "key_id": "k1", "events": EVENTS, **A_DIGEST},
        "token_id": A_TOKEN,
        "attempt": 0,
        "max_attempts": 8,
        "lost_leases": 0,
        "created_at": datetime(2026, 11, 20, 10, 0, 30, tzinfo=UTC),
        "due_at": datetime(2026, 11, 20, 10, 0, 30, tzinfo=UTC),
        "expires_at": datetime(2026, 11, 21, 10, 0, 30, tzinfo=UTC),
        "lease_token": UUID("7d4ce6a8-9d34-4a52-9bb5-0b1e1f1e2a10"),
        "lease_ends_monotonic": 60.0,
        "expires_monotonic": 86_400.0,
        "enqueued_monotonic": 0.0,
    }
    return ClaimedMessage(**fields | changes)
