"""The relay with an SMSC that is built on another SMPP library."""

import pytest

from tests.support.callbacks import reports
from tests.support.eventually import eventually
from tests.support.node_smsc import NodeSmsc, node_smsc
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

STATES = """
select recipient, state, cause, status_code
  from delivery_states
  join outbox_messages on outbox_messages.id = message_id
 order by recipient
"""
DELIVERED = ("+33612345670", "delivered", None, "DELIVRD 000")


def provider(smsc: NodeSmsc) -> dict[str, str]:
    url = f"smpp://us:pw@127.0.0.1:{smsc.port}?from=Signpost&tls=none&receipts=yes&connections=1"
    return {"SMS_PROVIDERS": url, "RELAY_MAINTENANCE_SECONDS": "1"}


def states(outbox: Outbox, count: int) -> list[tuple[str, str, str | None, str]]:
    """Wait until so many messages have a state, and return all."""
    return eventually(lambda: (found := outbox.execute(STATES))[count - 1 :] and found)


@pytest.mark.parametrize(
    ("role", "binds"), [("one", ["bind_transceiver"]), ("two", ["bind_transmitter", "bind_receiver"])]
)
def test_receipts_change_the_states_of_their_messages(outbox: Outbox, role: str, binds: list[str]) -> None:
    numbers = [f"+3361234567{digit}" for digit in range(5)]
    for number in numbers:
        outbox.put(channel="sms", recipient=f"'{number}'")
    with node_smsc(role) as smsc, running_relay(outbox.database, **provider(smsc)):
        eventually(lambda: smsc.all("acknowledged") == [0] * 5 and outbox.is_all_sent())
        assert smsc.all("bound") == binds
        assert smsc.all("registered") == [1] * 5
        bounced = [(number, "bounced", "recipient", "UNDELIV 027") for number in numbers[1:]]
        assert states(outbox, 5) == [DELIVERED, *bounced]


def test_receipts_reach_another_relay_after_the_first_was_killed(outbox: Outbox) -> None:
    outbox.put(channel="sms", recipient="'+33612345670'")
    with node_smsc("later") as smsc:
        with running_relay(outbox.database, **provider(smsc)) as first:
            eventually(outbox.is_all_sent)
            first.kill()
        outbox.execute("update leader_lease set leased_until = now()")
        assert reports(outbox.database) == []
        with running_relay(outbox.database, **provider(smsc)):
            assert states(outbox, 1) == [DELIVERED]
