"""Those who wait for a message are rung for by the relay that settles it, whatever happens to connections."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from structlog.testing import capture_logs

from api_service.outbox_signals import wait_for_settled as waiting
from api_service.services import EXTENSION, Services
from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import Dead, Outcome, Sent
from outbox_relay.outbox.settle import SettlementStore
from outbox_relay.outbox.settled_notifier import IDS_A_NOTIFICATION, SettledNotifier
from shared.database import driver_url
from shared.vocabulary import SETTLED_CHANNEL, DeadReason
from tests.support.api import ApiUnderTest
from tests.support.bells import ring_for
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.gates import logins_refused
from tests.support.outbox import Outbox
from tests.support.settling import a_batcher

END = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
 where application_name = %s and datname = current_database()
"""


@pytest.fixture
def rung(own_api: ApiUnderTest, monkeypatch: pytest.MonkeyPatch) -> ApiUnderTest:
    """Nobody looks again of itself, once the relays are heard."""
    api = own_api
    monkeypatch.setattr(waiting, "LISTENING_LOOK_SECONDS", 60)
    services_of(api).settled.start()
    eventually(lambda: bells_of(api).is_fed)
    return api


@pytest.mark.parametrize("outcome", [Sent("mail", "1"), Dead(DeadReason.REJECTED, None)], ids=["sent", "dead"])
def test_whoever_waits_is_answered_when_the_relay_has_settled(
    rung: ApiUnderTest, outbox: Outbox, outcome: Outcome
) -> None:
    registration_id = rung.registered()
    with ThreadPoolExecutor(1) as client:
        response = client.submit(look_up_waiting, rung, registration_id)
        eventually(lambda: ring_for(bells_of(rung), rung.messages(registration_id)[0].id))
        settle_and_tell(outbox, outcome)
        document = response.result(60).json
    assert document["delivery"]["status"] == ("sent" if isinstance(outcome, Sent) else "dead")


def test_what_settles_while_nothing_is_heard_is_seen_when_the_relays_are_heard_again(rung: ApiUnderTest) -> None:
    registration_id = rung.registered()
    with ThreadPoolExecutor(1) as client, rung.database.connect() as owner:
        response = client.submit(look_up_waiting, rung, registration_id)
        eventually(lambda: ring_for(bells_of(rung), rung.messages(registration_id)[0].id))
        rung.rows("update outbox_messages set status = 'sent', settled_at = now()")
        assert owner.execute(END, ["signpost-api-settled"]).fetchone() == (1,)
        assert response.result(60).json["delivery"]["status"] == "sent"
    eventually(lambda: bells_of(rung).is_fed)


def test_anyone_may_notify_and_nothing_comes_of_nonsense(rung: ApiUnderTest, outbox: Outbox) -> None:
    with rung.database.connect() as stranger:
        for payload in ("", "x", "," * 5000, "\u00e9" * 1000):
            stranger.execute("select pg_notify(%s, %s)", [SETTLED_CHANNEL, payload])
    test_whoever_waits_is_answered_when_the_relay_has_settled(rung, outbox, Sent("mail", "1"))


def test_all_that_has_settled_is_told_also_more_than_fits_one_notification(database: Database) -> None:
    ids = [uuid4() for _ in range(2 * IDS_A_NOTIFICATION + 1)]

    async def tell() -> None:
        notifier = SettledNotifier(database.relay_url)
        notifier.notify(ids[:1])
        notifier.notify(ids[1:])
        await notifier.close()

    with listening(database) as connection:
        asyncio.run(tell())
        told = [notify.payload.split(",") for notify in connection.notifies(timeout=60, stop_after=3)]
    assert {UUID(word) for payload in told for word in payload} == set(ids)


def test_a_relay_that_was_cut_off_tells_what_settles_later(database: Database) -> None:
    first, last = uuid4(), uuid4()

    async def tell_through_a_cut() -> None:
        notifier = SettledNotifier(database.relay_url)
        notifier.notify([first])
        await asyncio.to_thread(eventually, lambda: received(first))
        with database.connect() as owner:
            owner.execute(END, ["outbox-relay tell"])

        def told_again() -> bool:
            loop.call_soon_threadsafe(notifier.notify, [last])
            return received(last)

        await asyncio.to_thread(eventually, told_again)
        await notifier.close()

    def received(message_id: UUID) -> bool:
        seen.extend(notify.payload for notify in connection.notifies(timeout=0.05))
        return any(message_id.hex in payload for payload in seen)

    seen: list[str] = []
    with listening(database) as connection, asyncio.Runner() as runner:
        loop = runner.get_loop()
        runner.run(tell_through_a_cut())


def test_a_relay_says_that_the_database_is_there_again_though_it_has_nothing_to_tell(database: Database) -> None:
    async def tell_through_an_outage() -> None:
        notifier = SettledNotifier(database.relay_url)
        with logins_refused(database):
            notifier.notify([uuid4()])
            await asyncio.to_thread(eventually, lambda: "database lost" in said())
        await asyncio.to_thread(eventually, lambda: "database found again" in said())
        await notifier.close()

    def said() -> list[str]:
        return [line["event"] for line in logged]

    with capture_logs() as logged:
        asyncio.run(tell_through_an_outage())
    assert said() == ["database lost", "database found again"]


def settle_and_tell(outbox: Outbox, outcome: Outcome) -> None:
    [message] = outbox.claim(1)

    async def settle() -> None:
        url = outbox.database.relay_url
        notifier, connection = SettledNotifier(url), ReconnectingConnection(url, "test")
        batcher = a_batcher(SettlementStore(connection), notifier)
        batcher.put(message, outcome)
        await batcher.flush()
        await notifier.close()
        await connection.close()

    asyncio.run(settle())


def listening(database: Database) -> psycopg.Connection[Any]:
    connection = psycopg.connect(driver_url(database.owner_url), autocommit=True)
    connection.execute(f"listen {SETTLED_CHANNEL}")
    return connection


def look_up_waiting(api: ApiUnderTest, registration_id: UUID) -> Any:
    return api.app.test_client().get(f"/v1/registrations/{registration_id}", headers={"Prefer": "wait=20"})


def services_of(api: ApiUnderTest) -> Services:
    services: Services = api.app.extensions[EXTENSION]
    return services


def bells_of(api: ApiUnderTest) -> Any:
    return services_of(api).settled.bells
