"""Deferrals: the outcomes of due messages that wait without spending an attempt, with their delays. No IO.

The callers decide which messages are deferred. The reason is never the message itself: no provider can take it, its
provider has failed, its template is paused, a key is missing, or this relay cannot finish it within its lease.
"""

from datetime import timedelta

from outbox_relay.model import Deferred, Failure, FailureClass

PROVIDER_PAUSE = timedelta(seconds=5)
"""The delay after a failure of the provider, if neither the provider (Retry-After) nor its circuit breaker sets one."""

KEY_PAUSE = timedelta(minutes=1)
"""The delay while this relay's SECRET_KEYS lack the key of the message. Another relay may have the key, or this relay
may get it later."""

SHORTEST_DEFERRAL = timedelta(seconds=1)
"""The shortest delay of a message while no provider can be tried."""

RELEASED = Deferred(timedelta(0))
"""The outcome of a message that was claimed but not submitted. It is due at once, at its old place in the queue."""


def for_missing_key(error: str) -> Deferred:
    """Return the outcome of a message whose code cannot be derived."""
    return Deferred(KEY_PAUSE, Failure(FailureClass.PROVIDER, None, error))


def until_provider_is_back(remaining: timedelta, last_failure: Failure | None) -> Deferred:
    """Return the outcome of a message that no provider can take for the next ``remaining``."""
    return Deferred(max(remaining, SHORTEST_DEFERRAL), last_failure)


def after_provider_failure(failure: Failure, breaker_remaining: timedelta, seconds_left: float) -> Deferred:
    """Return the outcome of a message whose provider has failed, if no later provider can take it.

    It becomes due when both the breaker and the provider allow another try, or when it expires if that is earlier. So
    an expired message is marked as dead in time.
    """
    pause = max(breaker_remaining, failure.retry_after or timedelta(0)) or PROVIDER_PAUSE
    left = max(seconds_left, 0.0)  # infinite for a message that never expires
    return Deferred(pause if pause.total_seconds() <= left else timedelta(seconds=left), failure)
