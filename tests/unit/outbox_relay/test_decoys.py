from outbox_relay.model import Failure, FailureClass
from outbox_relay.organizations.decoys import MEMORY_SECONDS, SECONDS_AT_FIRST, Decoys, seconds_for_decoy

REFUSED = Failure(FailureClass.PROVIDER, "provision:here:5432", "no right to make a database")
ITS_OWN = Failure(FailureClass.CONTENT, "provision:here:5432", "a name that cannot be stored")


def test_a_decoy_takes_as_long_as_one_of_the_last_real_ones() -> None:
    assert {seconds_for_decoy([0.1, 0.4, 2.0], jitter) for jitter in (0.0, 0.5, 0.999)} == {0.1, 0.4, 2.0}
    assert seconds_for_decoy([], 0.5) == SECONDS_AT_FIRST


def test_a_decoy_meets_the_servers_refusal_for_a_while_and_until_it_takes_a_real_one() -> None:
    decoys = Decoys()
    assert decoys.failure(100.0) is None
    decoys.saw(REFUSED, 100.0)
    assert decoys.failure(100.0 + MEMORY_SECONDS - 1) == REFUSED
    assert decoys.failure(100.0 + MEMORY_SECONDS) is None
    decoys.saw(None, 101.0)
    assert decoys.failure(102.0) is None


def test_what_is_an_organizations_own_fault_is_no_decoys() -> None:
    decoys = Decoys()
    decoys.saw(ITS_OWN, 100.0)
    assert decoys.failure(100.0) is None
