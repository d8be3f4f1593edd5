"""What the relay does: how many messages it drains, and how soon a single one is accepted."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy.orm import Session

from api_service.outbox_signals.wake_relays import Notifier
from bench.ground import Ground, mail_sink_program, telling_sink_program, wait_for_port
from bench.mails import THEME, mail_in
from bench.smtp_sender import send_bare
from bench.usage import cpu_seconds, peak_megabytes
from devstack.ports import free_port
from devstack.processes import Process, Program
from shared.engine import create_database_engine
from shared.enqueue import NewMessage, enqueue
from shared.vocabulary import Channel, Locale, Template

CONNECTIONS = 8
IS_PENDING = "select exists (select from outbox_messages where status = 'pending')"
POLL_SECONDS = 0.1
WARM_UP = 50
"""Messages whose latency is not counted, as with peers: the first one opens the connection."""
FILL = """
insert into outbox_messages (id, template, channel, recipient, locale, payload, token_id, max_attempts, expires_at)
select uuidv7(),
       'activation', 'email', 'user' || n || '@example.org', case n %% 2 when 0 then 'en' else 'fr' end,
       jsonb_build_object('name', 'User ' || n, 'key_id', %s::text), gen_random_uuid(), 8, now() + interval '1 day'
  from generate_series(1, %s) as n
"""
# Due for an hour: no claim looks again for what may have been committed lately, which would depend on the time.
FILL_LATE = FILL.replace("expires_at)", "expires_at, due_at)").replace("1 day'", "1 day', now() - interval '1 hour'")
FILL_SMS = FILL.replace("'email'", "'sms'").replace("'user' || n || '@example.org'", "'+1415' || lpad(n::text, 7, '0')")


@dataclass(frozen=True)
class Drain:
    """Messages a second, and what it took: CPU seconds for each thousand, megabytes at the most.

    The store is PostgreSQL, or a peer's Redis.
    """

    rate: float
    cpu_per_thousand: float
    store_cpu_per_thousand: float
    peak_megabytes: float

    @property
    def whole_cpu_per_thousand(self) -> float:
        """The CPU seconds of worker and store."""
        return self.cpu_per_thousand + self.store_cpu_per_thousand


@contextmanager
def mail_sink(ground: Ground, *, is_hanging: bool = False, milliseconds: int = 0) -> Iterator[int]:
    """Run a sink, which takes so long for each message, and yield its port."""
    port = free_port()
    with ground.running(mail_sink_program(port, is_hanging=is_hanging, milliseconds=milliseconds)):
        wait_for_port(port)
        yield port


def drain(ground: Ground, messages: int, theme: Path | None = THEME) -> Drain:
    """Commit so many messages at once beside a relay that waits, and measure until the last is settled."""
    with mail_sink(ground) as port:
        return drain_by(ground, [ground.relay(port, theme=theme)], messages)


def drain_by(ground: Ground, relays: Sequence[Program], messages: int, filling: str = FILL) -> Drain:
    """Do so with these relays, and with what this statement fills in."""
    ground.empty()
    with ExitStack() as ending:
        running = [ending.enter_context(ground.running(relay)) for relay in relays]
        ground.fill(filling, messages)
        used_before = _used(ground, running)
        began = time.time()
        ground.wake_relays()
        _wait_until_settled(ground, running)
        used = [after - before for before, after in zip(used_before, _used(ground, running), strict=True)]
        memory = sum(peak_megabytes(relay.pid) for relay in running)
    ended = ground.number("select extract(epoch from max(settled_at)) from outbox_messages")
    if ground.number("select count(*) from outbox_messages where status = 'sent'") != messages:
        raise RuntimeError("not all messages were sent")
    by_relays, by_store = (seconds / messages * 1000 for seconds in used)
    return Drain(messages / (ended - began), by_relays, by_store, memory)


def _used(ground: Ground, relays: list[Process]) -> tuple[float, float]:
    return sum(cpu_seconds(relay.pid) for relay in relays), cpu_seconds(ground.cluster_pid)


def _wait_until_settled(ground: Ground, relays: list[Process]) -> None:
    with ground.connect() as connection:
        while connection.execute(IS_PENDING).fetchone() != (False,):
            for relay in relays:
                relay.raise_if_ended()
            time.sleep(POLL_SECONDS)


def bare_sender(ground: Ground, messages: int, theme: Path | None = THEME) -> float:
    """Send as many of the same letter without a database or rendering; return letters a second."""
    letter = mail_in(Locale.EN, theme).content
    with mail_sink(ground) as port:
        return messages / asyncio.run(send_bare(port, messages, CONNECTIONS, letter))


@dataclass(frozen=True)
class Promptness:
    """Milliseconds for each message: from commit to the provider's yes; from before its transaction until settled."""

    accepted: list[float]
    settled: list[float]


def promptness(ground: Ground, messages: int, every: timedelta) -> Promptness:
    """Commit one message at a time into an idle system whose mail server is a sink that tells the time."""
    ground.empty()
    port, times, commits = free_port(), ground.folder / "accepted", []
    engine = create_database_engine(ground.url("api"), application_name="bench", pool_size=1)
    notifier = Notifier(ground.url("api"))
    with ground.running(telling_sink_program(port, times)), ground.running(ground.relay(port)) as relay:
        for _ in range(WARM_UP + messages):
            with Session(engine) as session, session.begin():
                enqueue(session, _message(ground))
            commits.append(time.time())
            notifier.wake()
            time.sleep(every.total_seconds())
        _wait_until_settled(ground, [relay])
    notifier.close()
    engine.dispose()
    with ground.connect() as connection:
        rows = connection.execute(
            "select extract(epoch from settled_at - created_at)::float8 from outbox_messages order by id"
        )
        settled = [seconds * 1000 for (seconds,) in rows]
    accepted = sorted(map(float, times.read_text().split()))
    took = [(yes - commit) * 1000 for yes, commit in zip(accepted, commits, strict=True)]
    return Promptness(took[WARM_UP:], settled[WARM_UP:])


def _message(ground: Ground) -> NewMessage:
    return NewMessage(
        template=Template.ACTIVATION,
        channel=Channel.EMAIL,
        recipient="ada@example.org",
        locale=Locale.EN,
        payload={"name": "Ada", "key_id": ground.key_id},
        token_id=uuid4(),
    )
