"""Spans of a message: claim, attempts, settlement. Without addresses and texts of servers."""

from collections.abc import Iterable

from outbox_relay.model import ClaimedMessage, Dead, DeliveryResult, Failure, Outcome, RenderedMessage, Sent
from shared.tracing import Tracer


def record_claims(tracer: Tracer, messages: Iterable[ClaimedMessage], seconds: float) -> None:
    """Record the claim of each message; they were claimed together, in so many seconds."""
    for message in messages:
        tracer.record("claim", message.traceparent, seconds, _attributes(message))


def record_attempt(
    tracer: Tracer, rendered: RenderedMessage, provider: str, result: DeliveryResult, seconds: float
) -> None:
    """Record one attempt, from taking the message to the provider's reply."""
    attributes = _attributes(rendered.message) | {
        "signpost.provider": provider,
        "signpost.attempt": rendered.message.attempt + 1,
    }
    match result:
        case Sent():
            tracer.record("deliver", rendered.message.traceparent, seconds, attributes)
        case Failure(kind=kind):
            failed = attributes | {"signpost.failure_class": kind.value}
            tracer.record("deliver", rendered.message.traceparent, seconds, failed, has_failed=True)


def record_settlements(tracer: Tracer, settled: Iterable[tuple[ClaimedMessage, Outcome]], seconds: float) -> None:
    """Record the settlement of each message; they were settled together, in so many seconds."""
    for message, outcome in settled:
        attributes = _attributes(message) | {"signpost.outcome": _word(outcome)}
        tracer.record("settle", message.traceparent, seconds, attributes, has_failed=isinstance(outcome, Dead))


def _attributes(message: ClaimedMessage) -> dict[str, str | int]:
    return {
        "signpost.message_id": str(message.id),
        "signpost.channel": message.channel.value,
        "signpost.template": str(message.template),
    }


def _word(outcome: Outcome) -> str:
    return outcome.reason.value if isinstance(outcome, Dead) else outcome.word
