"""Codes for resets and new addresses are deleted a day after their end. Registration tokens stay."""

from tests.support.accounts import ADA, Account, ask_for_reset, signed_in
from tests.support.api import PASSWORD, api_on
from tests.support.maintenance import maintenance_on, turn
from tests.support.outbox import Outbox

PURPOSES = "select purpose from tokens order by purpose"


def test_codes_about_an_address_are_deleted_a_day_after_their_end(outbox: Outbox) -> None:
    with api_on(outbox.database) as api:
        ada = Account(api, api.activated(email=ADA), signed_in(api))
        ask_for_reset(api)
        ask_for_reset(api, "stranger@example.org")
        ada.post("/v1/me/email", email="new@example.org", password=PASSWORD)
    maintenance = maintenance_on(outbox)
    everything = [("activation",), ("address_change",), ("decoy",), ("password_reset",)]
    for age, left in (("23 hours", everything), ("25 hours", everything[:1])):
        outbox.execute(f"update tokens set expires_at = now() - interval '{age}'")
        turn(maintenance)
        assert outbox.execute(PURPOSES) == left
