"""Kill, freeze and disconnect relays at random under load: no message is lost, and each copy has its reason."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import httpx

from tests.support.api import PASSWORD
from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.processes import HASTY_API, RunningApi, running_api
from tests.support.relay_group import relay_group, resume, stop, times

RELAYS = 4
VERDICT_SECONDS = 0.14
"""With three connections for each of four relays, the server takes 85 messages a second."""

KILLS = times(10)
MESSAGES = times(1_700)
"""Enough messages for all kills, with 25 to 100 before each."""

SESSIONS = (
    "select pid from pg_stat_activity where usename = 'relay' and datname = current_database()"
    " and application_name in ('outbox-relay claim', 'outbox-relay settle') order by backend_start"
)
END = "select pid from unnest(%s::int[]) as pid where pg_terminate_backend(pid)"
LEASES = "select distinct lease_token from outbox_messages where lease_token is not null"
STILL_LEASED = "select count(*) from outbox_messages where lease_token = any(%s)"


def test_relays_killed_at_random_lose_no_message(
    outbox: Outbox, ledger: Ledger, sink: MailSink, jitter: random.Random
) -> None:
    sink.reply_seconds = VERDICT_SECONDS
    with (
        running_api(outbox.database, command=HASTY_API) as api,
        relay_group(RELAYS, outbox.database, EMAIL_PROVIDERS=sink.provider) as group,
        arriving(ledger, messages=MESSAGES - 40, registrations=40, api=api),
    ):
        while not is_nearly_done(sink, MESSAGES) and ledger.disturbances < KILLS:
            progress(sink, jitter.randint(25, 100))
            number = jitter.randrange(RELAYS)
            group.kill(number)
            ledger.note_disturbance()
            group.replace(number)
        sink.reply_seconds = 0
        eventually(outbox.is_all_sent, seconds=60)
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.dead, tally.pending, tally.poisoned) == (MESSAGES, 0, 0, 0)
    assert ledger.disturbances >= 10
    assert tally.copies > 0, "no kill came between the server's yes and the settle: this has tested little"


def test_relays_frozen_for_longer_than_their_lease_do_no_harm_when_they_resume(
    outbox: Outbox, ledger: Ledger, sink: MailSink, jitter: random.Random
) -> None:
    sink.reply_seconds = VERDICT_SECONDS
    with relay_group(RELAYS, outbox.database, EMAIL_PROVIDERS=sink.provider) as group:
        for _round in range(2):  # a relay may be frozen in both rounds
            with arriving(ledger, messages=300):
                progress(sink, jitter.randint(25, 75))
                frozen = jitter.sample(group.relays, 2)
                for relay in frozen:
                    stop(relay)
                leases = [token for (token,) in outbox.execute(LEASES)]
                assert ledger.note_disturbance() > 0
                eventually(lambda leases=leases: not outbox.execute(STILL_LEASED, leases)[0][0], seconds=60)
                for relay in frozen:
                    resume(relay)
            eventually(outbox.is_all_sent, seconds=60)
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.dead, tally.pending, tally.poisoned) == (600, 0, 0, 0)
    assert outbox.number("select count(*) from outbox_messages where lost_leases > 0") > 0, (
        "no frozen relay held anything"
    )


def test_relays_whose_sessions_end_at_random_lose_no_message(
    outbox: Outbox, ledger: Ledger, sink: MailSink, jitter: random.Random
) -> None:
    sink.reply_seconds = VERDICT_SECONDS
    ended: set[int] = set()
    with relay_group(RELAYS, outbox.database, EMAIL_PROVIDERS=sink.provider), arriving(ledger, messages=1_200):
        while not is_nearly_done(sink, 1_200):
            progress(sink, jitter.randint(10, 50))
            pids = sessions(outbox)
            ended.update(pid for (pid,) in outbox.execute(END, jitter.sample(pids, len(pids) // 2)))
            ledger.note_disturbance()
        sink.reply_seconds = 0
        eventually(outbox.is_all_sent, seconds=60)
        eventually(lambda: ended.isdisjoint(sessions(outbox)))
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.dead, tally.pending, tally.poisoned) == (1_200, 0, 0, 0)
    assert ledger.disturbances >= 10
    # The relay replaces an idle session silently: no log event is written.
    assert len(ended) > 2 * RELAYS, "no session ended but those that the relays began with"


def sessions(outbox: Outbox) -> list[int]:
    return [pid for (pid,) in outbox.execute(SESSIONS)]


@contextmanager
def arriving(ledger: Ledger, *, messages: int, registrations: int = 0, api: RunningApi | None = None) -> Iterator[None]:
    """Enqueue during the block, with half as many again in transactions that roll back. Then wait for delivery."""
    with ThreadPoolExecutor(2) as writers:
        work = [writers.submit(ledger.enqueue, messages, rolled_back=messages // 2)]
        if api:
            work.append(writers.submit(register, ledger, api, registrations))
        yield
        for written in work:
            written.result()


def register(ledger: Ledger, api: RunningApi, count: int) -> None:
    with httpx.Client(base_url=api.base_url, timeout=30) as client:
        answers = [
            client.post("/v1/registrations", json={"email": f"r{number}@example.org", "password": PASSWORD})
            for number in range(count)
        ]
    assert {response.status_code for response in answers} == {202}
    ledger.registered([UUID(response.json()["id"]) for response in answers])


def progress(sink: MailSink, count: int) -> None:
    """Wait until that many more messages have arrived."""
    before = sink.arrived.total()
    eventually(lambda: sink.arrived.total() >= before + count, seconds=60)


def is_nearly_done(sink: MailSink, messages: int) -> bool:
    return len(sink.arrived) >= messages - 400
