"""The heartbeat rows, which show operators the relays alive."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from shared.vocabulary import RELAY_ALIVE_SECONDS
from tests.support.maintenance import maintenance_on, turn
from tests.support.outbox import Outbox
from tests.support.relaying import assembled
from tests.support.relays import relay_environment

ALIVE = f"select count(*) from relays where seen_at > now() - interval '{RELAY_ALIVE_SECONDS} seconds'"
WRITTEN = "select xmin::text, xmax::text from relays"
A_ROW = """
insert into relays (id, host, version, channels, batch_size, connections, seen_at)
values (gen_random_uuid(), 'old', '1', '{email}', 1, 1, now() - %s * interval '1 hour')
"""


def poll(outbox: Outbox, relay_id: UUID, **settings: str) -> None:
    """Poll once as a relay with that id."""

    async def poll_once() -> None:
        environment = relay_environment(outbox.database, EMAIL_PROVIDERS="console:", **settings)
        parts = assembled(environment, relay_id)
        await parts.poller.poll()
        await parts.close()

    asyncio.run(poll_once())


def heartbeats(outbox: Outbox) -> list[tuple[Any, ...]]:
    return outbox.execute("select channels, batch_size, connections, version from relays")


def test_a_relay_writes_its_heartbeat_and_not_again_at_the_next_poll(outbox: Outbox) -> None:
    relay_id = uuid4()
    poll(outbox, relay_id, RELAY_BATCH_SIZE="7")
    assert heartbeats(outbox) == [(["email"], 7, 8, "0.1.0")]
    written = outbox.execute(WRITTEN)
    poll(outbox, relay_id, RELAY_BATCH_SIZE="7")
    assert outbox.execute(WRITTEN) == written


def test_a_relay_not_seen_for_ten_seconds_is_updated_at_the_next_poll(outbox: Outbox) -> None:
    relay_id = uuid4()
    poll(outbox, relay_id)
    outbox.execute("update relays set seen_at = now() - interval '1 minute'")
    assert outbox.number(ALIVE) == 0
    poll(outbox, relay_id)
    assert outbox.number(ALIVE) == 1


def test_a_reload_updates_the_same_row_at_once(outbox: Outbox) -> None:
    relay_id = uuid4()
    poll(outbox, relay_id)
    poll(outbox, relay_id, SMS_PROVIDERS="console:", RELAY_CONNECTIONS="3")
    assert heartbeats(outbox) == [(["email", "sms"], 500, 3, "0.1.0")]


def test_maintenance_deletes_relays_not_seen_for_a_day(outbox: Outbox) -> None:
    for hours in (1, 25, 30):
        outbox.execute(A_ROW, hours)
    turn(maintenance_on(outbox))
    assert outbox.number("select count(*) from relays") == 1
