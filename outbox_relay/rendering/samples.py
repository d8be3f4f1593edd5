"""A message of each kind with made-up values, for people who look at words."""

from datetime import UTC, datetime, timedelta
from math import inf
from uuid import UUID, uuid4

from outbox_relay.model import ClaimedMessage
from shared.ids import uuid7
from shared.secrets import SecretKeys
from shared.vocabulary import Channel, Locale, Template

SAMPLE_KEYS = SecretKeys({"sample": bytes(32)})
"""Known to everybody: what is derived under them opens nothing."""

_NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_RECIPIENTS = {Channel.EMAIL: "ada@example.org", Channel.SMS: "+33612345678"}
_CAUSES = (
    {"cause": "rejected, mail1.example.org: 550 5.1.1 no such user", "count": 27},
    {"cause": "expired, sms.example.org: 503 service unavailable", "count": 12},
    {"cause": "poison", "count": 1},
)


def sample_message(template: Template, channel: Channel, locale: Locale, *, name: str | None = "Ada") -> ClaimedMessage:
    """Return a message with every value that a template may use."""
    return ClaimedMessage(
        id=UUID("019aa5c0-0000-7000-8000-000000000001"),
        template=template,
        channel=channel,
        recipient=_RECIPIENTS[channel],
        locale=locale,
        payload={"name": name, "key_id": "sample", "dead": 40, "causes": _CAUSES},
        token_id=UUID("0b9fa9a3-6a4e-4d0f-8a57-0a6d8a0f1c11"),
        attempt=0,
        max_attempts=8,
        expiries=0,
        created_at=_NOON,
        due_at=_NOON,
        expires_at=_NOON + timedelta(days=1),
        lease_token=UUID("7d4ce6a8-9d34-4a52-9bb5-0b1e1f1e2a10"),
        lease_ends_monotonic=0.0,
        expires_monotonic=0.0,
        enqueued_monotonic=0.0,
    )


def fresh_activation(
    channel: Channel, locale: Locale, key_id: str, *, name: str | None = None, life: timedelta = timedelta(days=1)
) -> ClaimedMessage:
    """Return an activation of now, with ids of its own and a lease without end; nobody's code is derived from it."""
    now = datetime.now(UTC)
    return sample_message(Template.ACTIVATION, channel, locale)._replace(
        id=uuid7(),
        token_id=uuid4(),
        payload={"name": name, "key_id": key_id},
        created_at=now,
        due_at=now,
        expires_at=now + life,
        lease_ends_monotonic=inf,
        expires_monotonic=inf,
    )
