from outbox_relay.model import Scope, scopes_by_name
from tests.support.keys import KEY

JAMAICA, FRANCE, ANOTHER_IN_FRANCE = "+18765550123", "+33612345678", "+33687654321"


def test_an_sms_counts_in_total_by_prefix_and_by_number() -> None:
    scopes = scopes_by_name(FRANCE, KEY)
    assert list(scopes.values()) == [Scope.TOTAL, Scope.PREFIX, Scope.NUMBER]
    assert list(scopes)[:2] == ["total", "prefix:33"]
    assert list(scopes_by_name(JAMAICA, KEY))[1] == "prefix:1"


def test_each_number_has_its_own_account() -> None:
    [one, same, another] = [list(scopes_by_name(number, KEY))[2] for number in (FRANCE, FRANCE, ANOTHER_IN_FRANCE)]
    assert one == same != another


def test_a_numbers_account_cannot_be_computed_without_the_key() -> None:
    assert list(scopes_by_name(FRANCE, KEY))[2] != list(scopes_by_name(FRANCE, bytes(32)))[2]


def test_an_invalid_number_is_counted_too() -> None:
    assert list(scopes_by_name("nobody", KEY))[1] == "prefix:0"
