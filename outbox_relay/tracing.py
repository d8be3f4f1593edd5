"""What traces tell of a message: claim, attempts, settle. No address, and no word of a server's."""

from collections.abc import Iterable

from outbox_relay.model import ClaimedMessage, Dead, Failure, Outcome, RenderedMessage, Sent
from shared.tracing import Tracer


def record_claims(taker: Tracer, messages: Iterable[ClaimedMessage], seconds: float) -> None:
    """Record the claim of each message; they were claimed together, in that time."""
    for message in messages:
        taker.record("claim", message.traceparent, seconds, _facts(message))


def record_attempt(taker: Tracer, letter: RenderedMessage, provider: str, fate: Sent | Failure, seconds: float) -> None:
    """Record one attempt, from taking the letter in hand to the provider's answer."""
    facts = _facts(letter.message) | {"signpost.provider": provider, "signpost.attempt": letter.message.attempt + 1}
    match fate:
        case Sent():
            taker.record("deliver", letter.message.traceparent, seconds, facts)
        case Failure(kind=kind):
            failed = facts | {"signpost.failure_class": kind.value}
            taker.record("deliver", letter.message.traceparent, seconds, failed, has_failed=True)


def record_settlements(taker: Tracer, settled: Iterable[tuple[ClaimedMessage, Outcome]], seconds: float) -> None:
    """Record the settle of each message; they were settled together, in that time."""
    for message, outcome in settled:
        facts = _facts(message) | {"signpost.outcome": _word(outcome)}
        taker.record("settle", message.traceparent, seconds, facts, has_failed=isinstance(outcome, Dead))


def _facts(message: ClaimedMessage) -> dict[str, str | int]:
    return {
        "signpost.message_id": str(message.id),
        "signpost.channel": message.channel.value,
        "signpost.template": message.template.value,
    }


def _word(outcome: Outcome) -> str:
    return outcome.reason.value if isinstance(outcome, Dead) else outcome.word
