"""Deferrals: when a due message waits without spending an attempt, and for how long. Pure decisions.

A message is deferred for reasons that are not its own: no provider can take it, its provider has failed, a key is
missing, or this relay cannot finish it within its lease.
"""

from datetime import timedelta

from outbox_relay.model import Deferred, Failure, FailureClass

PROVIDER_PAUSE = timedelta(seconds=5)
"""After a failure of the provider, unless the provider or its breaker asks for longer."""

KEY_PAUSE = timedelta(minutes=1)
"""While SECRET_KEYS of this relay lacks the key of the message: another relay may have it, or this one tomorrow."""

SHORTEST_DEFERRAL = timedelta(seconds=1)
"""While no provider can be tried."""

RELEASED = Deferred(timedelta(0))
"""The outcome of a message that was not tried: due at once, in its old place."""


def for_missing_key(error: str) -> Deferred:
    """Return the outcome of a message whose code cannot be derived."""
    return Deferred(KEY_PAUSE, Failure(FailureClass.PROVIDER, None, error))


def until_provider_is_back(remaining: timedelta, last_failure: Failure | None) -> Deferred:
    """Return the outcome of a message that no provider can take for the next ``remaining``."""
    return Deferred(max(remaining, SHORTEST_DEFERRAL), last_failure)


def after_provider_failure(failure: Failure, breaker_remaining: timedelta, seconds_left: float) -> Deferred:
    """Return the outcome of a message whose provider has failed.

    It is due when the breaker and the provider allow, but when it expires at the latest, so that its death is
    reported in time.
    """
    pause = max(breaker_remaining, failure.retry_after or timedelta(0)) or PROVIDER_PAUSE
    left = max(seconds_left, 0.0)  # infinite for a message that never expires
    return Deferred(pause if pause.total_seconds() <= left else timedelta(seconds=left), failure)
