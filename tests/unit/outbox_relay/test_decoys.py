from outbox_relay.model import Failure, FailureClass
from outbox_relay.organizations.provider import (
    DECOY_FAILURE_SECONDS,
    DEFAULT_DECOY_SECONDS,
    DecoyFailures,
    decoy_seconds,
)

REFUSED = Failure(FailureClass.PROVIDER, "provision:here:5432", "no right to make a database")
ITS_OWN = Failure(FailureClass.CONTENT, "provision:here:5432", "a name that cannot be stored")


def test_a_decoy_takes_as_long_as_a_recent_real_organization() -> None:
    assert {decoy_seconds([0.1, 0.4, 2.0], jitter) for jitter in (0.0, 0.5, 0.999)} == {0.1, 0.4, 2.0}
    assert decoy_seconds([], 0.5) == DEFAULT_DECOY_SECONDS


def test_a_decoy_repeats_the_servers_latest_failure_for_a_while() -> None:
    failures = DecoyFailures()
    assert failures.current(100.0) is None
    failures.record(REFUSED, 100.0)
    assert failures.current(100.0 + DECOY_FAILURE_SECONDS - 1) == REFUSED
    assert failures.current(100.0 + DECOY_FAILURE_SECONDS) is None
    failures.record(None, 101.0)
    assert failures.current(102.0) is None


def test_a_decoy_does_not_repeat_an_organizations_own_failure() -> None:
    failures = DecoyFailures()
    failures.record(ITS_OWN, 100.0)
    assert failures.current(100.0) is None
