"""Relays killed, frozen and cut off at random, under load: nothing is lost, and copies have their reason."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import httpx

from tests.support.api import PASSWORD
from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.fleet import fleet_of, go_on, stop, times
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.processes import HASTY_API, RunningApi, running_api

RELAYS = 4
VERDICT_SECONDS = 0.14
"""With three connections of each of four relays, 85 letters a second."""

KILLS = times(10)
MESSAGES = times(1_700)
"""Enough for all kills, with 25 to 100 letters before each."""

SESSIONS = (
    "select pid from pg_stat_activity where usename = 'relay' and datname = current_database()"
    " and application_name in ('outbox-relay claim', 'outbox-relay settle') order by backend_start"
)
END = "select pid from unnest(%s::int[]) as pid where pg_terminate_backend(pid)"
LEASES = "select distinct lease_token from outbox_messages where lease_token is not null"
STILL_LEASED = "select count(*) from outbox_messages where lease_token = any(%s)"


def test_relays_killed_at_random_lose_nothing(
    outbox: Outbox, ledger: Ledger, sink: MailSink, jitter: random.Random
) -> None:
    sink.verdict_seconds = VERDICT_SECONDS
    with (
        running_api(outbox.database, command=HASTY_API) as api,
        fleet_of(RELAYS, outbox.database, EMAIL_PROVIDERS=sink.provider) as fleet,
        arriving(ledger, messages=MESSAGES - 40, registrations=40, api=api),
    ):
        while not is_nearly_done(sink, MESSAGES) and ledger.disturbances < KILLS:
            progress(sink, jitter.randint(25, 100))
            number = jitter.randrange(RELAYS)
            fleet.kill(number)
            ledger.note_disturbance()
            fleet.replace(number)
        sink.verdict_seconds = 0
        eventually(outbox.is_all_sent, seconds=60)
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.dead, tally.pending, tally.poisoned) == (MESSAGES, 0, 0, 0)
    assert ledger.disturbances >= 10
    assert tally.copies > 0, "no kill came between the server's yes and the settle: this has tested little"


def test_relays_frozen_for_longer_than_their_lease_do_no_harm_when_they_go_on(
    outbox: Outbox, ledger: Ledger, sink: MailSink, jitter: random.Random
) -> None:
    sink.verdict_seconds = VERDICT_SECONDS
    with fleet_of(RELAYS, outbox.database, EMAIL_PROVIDERS=sink.provider) as fleet:
        for _round in range(2):  # so that those frozen in the second may have been so in the first
            with arriving(ledger, messages=300):
                progress(sink, jitter.randint(25, 75))
                frozen = jitter.sample(fleet.relays, 2)
                for relay in frozen:
                    stop(relay)
                leases = [token for (token,) in outbox.execute(LEASES)]
                assert ledger.note_disturbance() > 0
                eventually(lambda leases=leases: not outbox.execute(STILL_LEASED, leases)[0][0], seconds=60)
                for relay in frozen:
                    go_on(relay)
            eventually(outbox.is_all_sent, seconds=60)
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.dead, tally.pending, tally.poisoned) == (600, 0, 0, 0)
    assert outbox.number("select count(*) from outbox_messages where lost_leases > 0") > 0, (
        "no frozen relay held anything"
    )


def test_relays_whose_sessions_are_ended_at_random_lose_nothing(
    outbox: Outbox, ledger: Ledger, sink: MailSink, jitter: random.Random
) -> None:
    sink.verdict_seconds = VERDICT_SECONDS
    ended: set[int] = set()
    with fleet_of(RELAYS, outbox.database, EMAIL_PROVIDERS=sink.provider), arriving(ledger, messages=1_200):
        while not is_nearly_done(sink, 1_200):
            progress(sink, jitter.randint(10, 50))
            pids = sessions(outbox)
            ended.update(pid for (pid,) in outbox.execute(END, jitter.sample(pids, len(pids) // 2)))
            ledger.note_disturbance()
        sink.verdict_seconds = 0
        eventually(outbox.is_all_sent, seconds=60)
        eventually(lambda: ended.isdisjoint(sessions(outbox)))
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.dead, tally.pending, tally.poisoned) == (1_200, 0, 0, 0)
    assert ledger.disturbances >= 10
    # A session that ends while nothing waits for its answer is replaced without a word: not even the log shows it.
    assert len(ended) > 2 * RELAYS, "no session ended but those that the relays began with"


def sessions(outbox: Outbox) -> list[int]:
    return [pid for (pid,) in outbox.execute(SESSIONS)]


@contextmanager
def arriving(ledger: Ledger, *, messages: int, registrations: int = 0, api: RunningApi | None = None) -> Iterator[None]:
    """Enqueue while the block goes on, half as many again of them in transactions that roll back; then see it done."""
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
    assert {answer.status_code for answer in answers} == {202}
    ledger.registered([UUID(answer.json()["id"]) for answer in answers])


def progress(sink: MailSink, letters: int) -> None:
    """Wait until so many more letters have arrived."""
    before = sink.arrived.total()
    eventually(lambda: sink.arrived.total() >= before + letters, seconds=60)


def is_nearly_done(sink: MailSink, messages: int) -> bool:
    return len(sink.arrived) >= messages - 400
