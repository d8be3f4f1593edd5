"""How long a due message waits without spending an attempt."""

from datetime import timedelta

import pytest

from outbox_relay.delivery.deferral import RELEASED, after_provider_failure, for_missing_key, until_provider_is_back
from outbox_relay.model import Deferred, Failure, FailureClass

NO_TIME, INFINITE = timedelta(0), float("inf")


def failure(retry_after: timedelta | None = None) -> Failure:
    return Failure(FailureClass.PROVIDER, "smtp:mx:25", "connection refused", retry_after)


def test_a_released_message_is_due_at_once_and_has_no_failure() -> None:
    assert Deferred(NO_TIME, None) == RELEASED


def test_a_message_with_a_missing_key_waits_for_a_minute() -> None:
    expected = Failure(FailureClass.PROVIDER, None, "no key 2026-11")
    assert for_missing_key("no key 2026-11") == Deferred(timedelta(minutes=1), expected)


@pytest.mark.parametrize(("remaining", "delay"), [(0.0, 1), (0.9, 1), (1.1, 1.1), (30, 30)])
def test_a_message_waits_until_a_provider_is_back_but_at_least_a_second(remaining: float, delay: float) -> None:
    outcome = until_provider_is_back(timedelta(seconds=remaining), failure())
    assert outcome == Deferred(timedelta(seconds=delay), failure())


@pytest.mark.parametrize(
    ("breaker", "retry_after", "delay"),
    [(0, None, 5), (0, 2, 2), (3, None, 3), (3, 2, 3), (3, 7, 7)],
)
def test_after_a_provider_failure_the_breaker_and_the_provider_decide(
    breaker: float, retry_after: float | None, delay: float
) -> None:
    failed = failure(None if retry_after is None else timedelta(seconds=retry_after))
    outcome = after_provider_failure(failed, timedelta(seconds=breaker), INFINITE)
    assert outcome == Deferred(timedelta(seconds=delay), failed)


@pytest.mark.parametrize(("left", "delay"), [(6.0, 5), (5.0, 5), (4.5, 4.5), (0.0, 0), (-3.0, 0)])
def test_after_a_provider_failure_a_message_is_due_when_it_expires_at_the_latest(left: float, delay: float) -> None:
    assert after_provider_failure(failure(), NO_TIME, left) == Deferred(timedelta(seconds=delay), failure())
