"""Work done at startup, so that the first message need not wait for it."""

import asyncio

from tests.support.eventually import eventually
from tests.support.outbox import Outbox
from tests.support.relaying import assembled
from tests.support.relays import relay_environment, running_relay

CONNECTED = "select application_name from pg_stat_activity where datname = current_database()"


def test_a_relay_opens_its_connections_before_the_first_message(outbox: Outbox) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS="console:"):
        eventually(lambda: ("outbox-relay settle",) in outbox.execute(CONNECTED))
        assert outbox.number("select count(*) from outbox_messages") == 0


def test_a_failed_warm_up_is_left_to_the_first_use(outbox: Outbox) -> None:
    nowhere = {"DATABASE_URL": "postgresql+psycopg://relay@127.0.0.1:1/signpost", "EMAIL_PROVIDERS": "console:"}
    environment = relay_environment(outbox.database, **nowhere)

    async def look() -> tuple[int, bool]:
        parts = assembled(environment)
        await parts.warm_up()
        await parts.close()
        return parts.connections.failures, parts.connections.settling.is_lost

    assert asyncio.run(look()) == (0, False)
