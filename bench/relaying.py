"""What the relay does: how many messages it drains, and how soon a single one is accepted."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import func
from sqlalchemy.orm import Session

from api_service.notifier import Notifier
from bench.ground import Ground, cpu_seconds, mail_sink_program, wait_for_port
from bench.smtp_sender import send_bare
from devstack.ports import LOOPBACK, free_ports
from shared.engine import create_database_engine
from shared.enqueue import NewMessage, enqueue
from shared.vocabulary import WAKE_CHANNEL, Channel, Locale, Template

CONNECTIONS = 8
IS_PENDING = "select exists (select from outbox_messages where status = 'pending')"
POLL_SECONDS = 0.1
FILL = """
insert into outbox_messages (id, template, channel, recipient, locale, payload, token_id, max_attempts, expires_at)
select overlay(overlay(gen_random_uuid()::text placing left(signpost_uuid7_floor(clock_timestamp())::text, 13) from 1)
               placing '7' from 15)::uuid,
       'activation', 'email', 'user' || n || '@example.org', case n %% 2 when 0 then 'en' else 'fr' end,
       jsonb_build_object('name', 'User ' || n, 'key_id', %s::text), gen_random_uuid(), 8, now() + interval '1 day'
  from generate_series(1, %s) as n
"""


@dataclass(frozen=True)
class Drain:
    """Messages a second, and the CPU that the relay's process used for each thousand."""

    rate: float
    cpu_per_thousand: float


@contextmanager
def mail_sink(ground: Ground, *, is_hanging: bool = False) -> Iterator[int]:
    """Run a sink and yield its port."""
    port = free_ports().inbox_smtp
    with ground.running(mail_sink_program(port, is_hanging=is_hanging)):
        wait_for_port(port)
        yield port


def drain(ground: Ground, messages: int) -> Drain:
    """Commit so many messages at once beside a relay that waits, and measure until the last is settled."""
    ground.empty()
    with mail_sink(ground) as port, ground.running(ground.relay(port)) as relay, ground.connect() as connection:
        key_id = ground.secret_keys.partition(":")[0]
        idle_cpu = cpu_seconds(relay.pid)
        connection.execute(FILL, [key_id, messages])
        began = time.time()
        connection.execute("select pg_notify(%s, '')", [WAKE_CHANNEL])
        while connection.execute(IS_PENDING).fetchone() != (False,):
            relay.raise_if_ended()
            time.sleep(POLL_SECONDS)
        cpu = cpu_seconds(relay.pid) - idle_cpu
        ended = ground.number("select extract(epoch from max(settled_at)) from outbox_messages")
    if ground.number("select count(*) from outbox_messages where status = 'sent'") != messages:
        raise RuntimeError("not all messages were sent")
    return Drain(messages / (ended - began), cpu / messages * 1000)


def bare_sender(ground: Ground, messages: int) -> float:
    """Send as many letters without a database or rendering; return letters a second."""
    with mail_sink(ground) as port:
        return messages / asyncio.run(send_bare(LOOPBACK, port, messages, CONNECTIONS))


def acceptance_latencies(ground: Ground, messages: int, every: timedelta) -> list[float]:
    """Commit one message at a time into an idle system; return milliseconds until each is settled as sent.

    Counted from the start of its transaction to the settle that follows the provider's yes, so a
    little more than from commit to acceptance.
    """
    ground.empty()
    engine = create_database_engine(ground.url("api"), application_name="bench", pool_size=1)
    notifier = Notifier(ground.url("api"))
    with mail_sink(ground) as port, ground.running(ground.relay(port)) as relay:
        for _ in range(messages):
            with Session(engine) as session, session.begin():
                enqueue(session, _message(ground))
            notifier.wake()
            time.sleep(every.total_seconds())
        while ground.number(f"select ({IS_PENDING})::integer"):
            relay.raise_if_ended()
            time.sleep(POLL_SECONDS)
    notifier.close()
    engine.dispose()
    with ground.connect() as connection:
        rows = connection.execute("select extract(epoch from settled_at - created_at)::float8 from outbox_messages")
        return [seconds * 1000 for (seconds,) in rows]


def percentile(values: list[float], percent: int) -> float:
    """Return the value that so many per cent of them do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _message(ground: Ground) -> NewMessage:
    return NewMessage(
        template=Template.ACTIVATION,
        channel=Channel.EMAIL,
        recipient="ada@example.org",
        locale=Locale.EN,
        payload={"name": "Ada", "key_id": ground.secret_keys.partition(":")[0]},
        token_id=uuid4(),
        expires_at=func.now() + timedelta(days=1),  # type: ignore[arg-type] # PostgreSQL's clock, not ours
    )
