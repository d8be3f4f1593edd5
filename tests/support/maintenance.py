"""Run maintenance in this process under the relay's role, and create rows of any age."""

import asyncio
from uuid import UUID, uuid4

from outbox_relay.maintenance.leader import REST_IN_ROUNDS, Maintenance
from outbox_relay.settings import RelaySettingsSchema
from tests.support.outbox import Outbox
from tests.support.relays import relay_environment


def maintenance_on(outbox: Outbox, **settings: str) -> Maintenance:
    """Return the maintenance of another relay."""
    environment = relay_environment(outbox.database, EMAIL_PROVIDERS="console:", **settings)
    return Maintenance(RelaySettingsSchema().read(environment), uuid4())


def turn(maintenance: Maintenance) -> None:
    """Run rounds until each step has run once, including the steps that pause between runs."""
    for _ in range(REST_IN_ROUNDS):
        one_turn(maintenance)


def one_turn(maintenance: Maintenance) -> None:
    asyncio.run(maintenance.run_round())


def put_old(outbox: Outbox, days: int, *, count: int = 1, **columns: str) -> list[UUID]:
    """Insert messages sent that many days ago into that week's partition. ``columns`` replace default values."""
    week = "date_trunc('week', now() - %s * interval '24 hours', 'UTC')"
    outbox.execute(f"select signpost_make_partition({week})", days)
    sent_then = {"status": "'sent'", "settled_at": f"now() - interval '{days} days'"}
    new = outbox.put(count=count, **sent_then | columns)
    moved = outbox.execute(
        "update outbox_messages set id = overlay(id::text placing"
        " left(signpost_uuid7_floor(now() - %s * interval '1 day')::text, 13) from 1)::uuid"
        " where id = any(%s) returning id",
        days,
        new,
    )
    return [message_id for (message_id,) in moved]


def partition_of(outbox: Outbox, days: int) -> str:
    """Return the name of the partition of the week so many days ago."""
    [(name,)] = outbox.execute(
        "select 'outbox_messages_' || to_char(date_trunc("
        "'week', (now() - %s * interval '24 hours') at time zone 'UTC'), 'YYYYMMDD')",
        days,
    )
    return str(name)


def has_partition(outbox: Outbox, days: int) -> bool:
    [(found,)] = outbox.execute("select to_regclass(%s) is not null", partition_of(outbox, days))
    return bool(found)
