from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from prometheus_client import REGISTRY

from outbox_relay.channels.base import CappedProvider, Session
from outbox_relay.metrics import forget_providers
from outbox_relay.model import WITHOUT_CAPS, Caps, Failure, FailureClass, Rate
from outbox_relay.providers.circuit_breaker import BreakerState
from outbox_relay.providers.pool import PooledProvider, ProviderPool, ProviderState
from tests.support.claimed import a_claimed_message

DOWN = Failure(FailureClass.PROVIDER, "first", "connection refused")
A_LETTER = UUID("019aa5c0-0000-7000-8000-000000000001")
CLOSED = ProviderState(consecutive_opens=0, open_for=0.0)


@dataclass(frozen=True)
class NamedProvider:
    name: str

    def session(self) -> Session:
        raise NotImplementedError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_pool(clock: Callable[[], float], *, first: Caps = WITHOUT_CAPS, connections: int = 8) -> ProviderPool:
    providers = [CappedProvider(NamedProvider("first"), first), CappedProvider(NamedProvider("second"))]
    return ProviderPool(providers, clock, connections)


def synchronize(provider: PooledProvider, state: ProviderState) -> None:
    """Synchronize the provider with the shared state."""
    provider.apply(provider.take_update(), state)


def half_open(provider: PooledProvider, clock: Clock) -> None:
    provider.failed(DOWN)
    synchronize(provider, ProviderState(consecutive_opens=1, open_for=1.0))
    clock.now += 60


def test_a_half_open_provider_gets_no_message_without_a_probe_permit() -> None:
    clock = Clock()
    first, _ = a_pool(clock).providers
    half_open(first, clock)
    assert not first.admits()
    synchronize(first, ProviderState(consecutive_opens=1, open_for=0.0, has_probe_permit=False))
    assert not first.admits()
    assert not first.needs_sync()  # one request a second suffices


def test_a_half_open_provider_gets_one_probe_with_one_message() -> None:
    clock = Clock()
    pool = a_pool(clock)
    first, second = pool.providers
    half_open(first, clock)
    second.failed(replace(DOWN, retry_after=timedelta(hours=1)))
    pool.allowance(500)
    synchronize(first, ProviderState(consecutive_opens=1, open_for=0.0, has_probe_permit=True))
    assert pool.allowance(500) == 1
    assert pool.allowance(500, waiting=1) == 0
    with first.worker():
        assert not first.admits()
        first.submitting(A_LETTER)
        assert not first.may_take()
        first.finished(A_LETTER)
        assert first.may_take()
    assert first.admits()


def test_a_provider_that_recovered_gets_all_messages() -> None:
    clock = Clock()
    pool = a_pool(clock)
    first, _ = pool.providers
    half_open(first, clock)
    first.admits()
    synchronize(first, ProviderState(consecutive_opens=1, open_for=0.0, has_probe_permit=True))
    with first.worker():
        first.succeeded()
        assert first.admits()
    assert pool.allowance(500) == 500


def test_a_state_change_is_sent_until_it_is_received() -> None:
    first, _ = a_pool(Clock()).providers
    first.failed(DOWN)
    report = first.take_update()
    assert report is not None
    assert report.change is BreakerState.OPEN
    assert first.take_update() is None
    first.apply(report, None)
    told_again = first.take_update()
    assert told_again is not None
    assert told_again.change is BreakerState.OPEN


def test_an_older_state_does_not_undo_a_change_of_this_relay() -> None:
    first, _ = a_pool(Clock()).providers
    first.failed(DOWN)
    first.apply(None, CLOSED)
    assert not first.is_usable()


def test_the_state_of_another_relay_applies_here() -> None:
    first, _ = a_pool(Clock()).providers
    first.apply(None, ProviderState(consecutive_opens=2, open_for=3.0))
    assert not first.is_usable()
    assert first.remaining() == timedelta(seconds=3)
    first.apply(None, CLOSED)
    assert first.admits()


def test_a_relay_without_shared_state_grants_itself_a_probe_permit_and_its_rate() -> None:
    clock = Clock()
    first, _ = a_pool(clock, first=Caps(Rate(14, "s"))).providers
    half_open(first, clock)
    assert not first.admits()
    first.apply(first.take_update(), None)
    first.admits()
    first.apply(first.take_update(), None)
    assert first.admits()


def test_a_provider_gets_no_messages_during_its_retry_after() -> None:
    pool = a_pool(Clock())
    first, second = pool.providers
    first.failed(Failure(FailureClass.PROVIDER, "first", "429", retry_after=timedelta(hours=1)))
    assert first.remaining() >= timedelta(minutes=59)
    assert pool.is_usable()
    second.failed(DOWN)
    assert not pool.is_usable()
    assert pool.first_back().remaining() < timedelta(minutes=1)


def test_a_provider_is_healthy_while_it_accepts_messages() -> None:
    clock = Clock()
    first, _ = a_pool(clock).providers
    assert not first.is_healthy()
    first.succeeded()
    assert first.is_healthy()
    clock.now += 31
    assert not first.is_healthy()


def test_a_provider_has_at_most_as_many_workers_as_connections() -> None:
    first, second = a_pool(Clock(), first=Caps(connections=1)).providers
    with first.worker(), second.worker():
        assert not first.admits()
        assert second.admits()
    assert first.admits()


def test_claims_are_limited_by_tokens_counted_once() -> None:
    clock = Clock()
    providers = [CappedProvider(NamedProvider("first"), Caps(Rate(14, "s")))]
    pool = ProviderPool(providers, clock, connections=8)
    [first] = pool.providers
    assert pool.allowance(500) == 0
    synchronize(first, ProviderState(consecutive_opens=0, open_for=0.0, granted=14, token_in=0.1))
    assert pool.allowance(500) == 14
    assert pool.allowance(500, waiting=10) == 4
    first.submitting(A_LETTER)
    assert pool.allowance(500, waiting=9) == 4


def test_at_a_rate_limit_new_messages_wait_and_late_ones_fail_over() -> None:
    clock = Clock()
    pool = a_pool(clock, first=Caps(connections=1))
    message = a_claimed_message(enqueued_monotonic=100.0)
    assert pool.is_for(0, message, first=0)
    assert not pool.is_for(1, message, first=0)
    clock.now = 106.0
    assert pool.is_for(1, message, first=0)


def test_a_message_does_not_wait_for_a_provider_that_is_down_or_failed_it() -> None:
    pool = a_pool(Clock())
    message = a_claimed_message(enqueued_monotonic=100.0)
    assert pool.is_for(1, message, first=1)
    assert not pool.is_for(0, message, first=1)
    pool.providers[0].failed(DOWN)
    assert pool.is_for(1, message, first=0)


def test_a_message_does_not_wait_for_a_distant_token() -> None:
    clock = Clock()
    pool = ProviderPool([CappedProvider(NamedProvider("first"), Caps(Rate(1, "m")))], clock, connections=8)
    [first] = pool.providers
    assert pool.is_worth_waiting(0)
    pool.allowance(1)
    synchronize(first, ProviderState(consecutive_opens=0, open_for=0.0, granted=0, token_in=59.0))
    assert not pool.is_worth_waiting(0)
    assert pool.first_back().remaining() == timedelta(seconds=59)


def test_a_provider_is_quiet_only_while_it_is_idle_and_healthy() -> None:
    clock = Clock()
    first, second = a_pool(clock, first=Caps(Rate(10, "s"))).providers
    assert first.is_quiet()
    with first.worker():
        assert not first.is_quiet()
    first.succeeded()
    assert not first.is_quiet()
    clock.now += 60
    assert first.is_quiet()
    first.offer(1)
    synchronize(first, ProviderState(consecutive_opens=0, open_for=0.0, granted=1))
    assert not first.is_quiet()  # other relays may need the prefetched token
    half_open(second, clock)
    assert not second.is_quiet()


def is_shown_as_open(name: str) -> float | None:
    return REGISTRY.get_sample_value("signpost_breaker_open", {"provider": name})


def test_a_provider_that_stays_configured_keeps_its_metrics_over_a_reload() -> None:
    forget_providers(["first", "second"])
    down, up = a_pool(Clock()).providers
    down.failed(DOWN)
    again, up_again = a_pool(Clock()).providers
    for provider in (again, up_again):
        provider.register_metrics()
    assert (is_shown_as_open(down.name), is_shown_as_open(up.name)) == (1, 0)
    again.apply(None, CLOSED)
    assert is_shown_as_open(down.name) == 0


def test_a_provider_without_a_rate_has_none_in_the_metrics() -> None:
    limited, _ = a_pool(Clock(), first=Caps(Rate(1, "s"))).providers
    limited.register_metrics()
    assert REGISTRY.get_sample_value("signpost_rate_wait_seconds", {"provider": "first"}) == 0
    unlimited, _ = a_pool(Clock()).providers
    unlimited.register_metrics()
    assert REGISTRY.get_sample_value("signpost_rate_wait_seconds", {"provider": "first"}) is None
