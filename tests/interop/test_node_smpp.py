"""The relay with an SMSC that is built on another SMPP library."""

import pytest

from tests.support.callbacks import reports
from tests.support.eventually import eventually
from tests.support.node_smsc import NodeSmsc, node_smsc
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

MATCHED = """
select m.recipient, r.kind, r.cause, r.status_code
  from delivery_reports as r
  join outbox_messages as m on m.provider = r.provider and m.provider_message_id = r.provider_message_id
 order by m.recipient
"""


def provider(smsc: NodeSmsc) -> dict[str, str]:
    url = f"smpp://us:pw@127.0.0.1:{smsc.port}?from=Signpost&tls=none&receipts=yes&connections=1"
    return {"SMS_PROVIDERS": url}


@pytest.mark.parametrize(
    ("role", "binds"), [("one", ["bind_transceiver"]), ("two", ["bind_transmitter", "bind_receiver"])]
)
def test_receipts_match_their_messages(outbox: Outbox, role: str, binds: list[str]) -> None:
    numbers = [f"+3361234567{digit}" for digit in range(5)]
    for number in numbers:
        outbox.put(channel="sms", recipient=f"'{number}'")
    with node_smsc(role) as smsc, running_relay(outbox.database, **provider(smsc)):
        eventually(lambda: smsc.all("acknowledged") == [0] * 5 and outbox.is_all_sent())
        assert smsc.all("bound") == binds
        assert smsc.all("registered") == [1] * 5
    assert outbox.execute(MATCHED) == [(number, "bounced", "recipient", "UNDELIV 027") for number in numbers]


def test_receipts_reach_another_relay_after_the_first_was_killed(outbox: Outbox) -> None:
    outbox.put(channel="sms", recipient="'+33612345678'")
    with node_smsc("later") as smsc:
        with running_relay(outbox.database, **provider(smsc)) as first:
            eventually(outbox.is_all_sent)
            first.kill()
        assert reports(outbox.database) == []
        with running_relay(outbox.database, **provider(smsc)):
            eventually(lambda: smsc.all("acknowledged"))
    assert outbox.execute(MATCHED) == [("+33612345678", "bounced", "recipient", "UNDELIV 027")]
