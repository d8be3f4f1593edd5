"""Digests to operators: each cause once an hour, by mail and by webhook, and never about digests."""

import asyncio
import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outbox_relay.maintenance.leader import Maintenance
from shared.db.connection_settings import driver_url
from shared.ids import uuid7
from tests.support.eventually import eventually
from tests.support.http_gateway import HttpGateway, answer
from tests.support.listening import listening
from tests.support.maintenance import maintenance_on, turn
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

DIGESTS_SENT = "select recipient, locale, payload from outbox_messages where template = 'operator_digest' order by id"
AN_HOUR_LATER = "update reported_causes set reported_at = reported_at - interval '61 minutes'"
BY_MAIL = {"OPERATOR_ADDRESSES": "ada@example.org, grace@example.org", "OPERATOR_LOCALE": "fr"}
KEY = "a key of the receiver's"
SHORT_LIMIT = {"RELAY_LATE_SECONDS": "60"}


def put_dead(outbox: Outbox, count: int = 1, reason: str = "rejected", **columns: str) -> None:
    dead = {"status": "'dead'", "dead_reason": f"'{reason}'", "settled_at": "now()", "provider": "'smtp:m:25'"}
    outbox.put(count=count, **dead | {"last_error_class": "'recipient'"} | columns)


def digests(outbox: Outbox) -> list[dict[str, Any]]:
    """Return the payloads of the digests so far, and forget the digests."""
    payloads = [payload for _, _, payload in outbox.execute(DIGESTS_SENT)]
    outbox.execute("delete from outbox_messages where template = 'operator_digest'")
    return payloads


def test_each_operator_gets_deaths_by_cause_without_provider_texts(outbox: Outbox) -> None:
    put_dead(outbox, 3, last_error="'550 no such user ada@example.org'")
    put_dead(outbox, 1, "expired", last_error_class="null", provider="null")
    turn(maintenance_on(outbox, **BY_MAIL))
    sent = outbox.execute(DIGESTS_SENT)
    assert [(recipient, locale) for recipient, locale, _ in sent] == [
        ("ada@example.org", "fr"),
        ("grace@example.org", "fr"),
    ]
    assert sent[0][2] == {
        "dead": 4,
        "causes": [
            {"kind": "dead", "cause": "rejected, smtp:m:25, recipient", "count": 3},
            {"kind": "dead", "cause": "expired", "count": 1},
        ],
    }


def test_a_cause_is_reported_once_an_hour_with_later_deaths(outbox: Outbox) -> None:
    maintenance = maintenance_on(outbox, OPERATOR_ADDRESSES="ada@example.org")
    put_dead(outbox, 3)
    turn(maintenance)
    put_dead(outbox, 2)
    turn(maintenance)
    assert [sent["dead"] for sent in digests(outbox)] == [3]
    outbox.execute(AN_HOUR_LATER)
    outbox.execute("update outbox_messages set settled_at = settled_at - interval '61 minutes'")
    put_dead(outbox, 4)
    turn(maintenance)
    turn(maintenance)
    assert [sent["dead"] for sent in digests(outbox)] == [6]


def test_late_messages_and_a_provider_that_stays_down_are_reported(outbox: Outbox) -> None:
    outbox.put(count=5, channel="sms", due_at="now() - interval '2 minutes'")
    outbox.put(count=5, due_at="now() - interval '2 minutes'", lease_token="gen_random_uuid()",
               leased_until="now() + interval '1 minute'")  # fmt: skip
    outbox.put(due_at="now() - interval '10 seconds'")
    outbox.execute(
        "insert into providers (name, consecutive_opens, open_until, since, seen_at) values"
        " ('smtp:down', 3, now(), now() - interval '1 hour', now()),"
        " ('smtp:back', 0, null, now() - interval '1 hour', now()),"
        " ('smtp:down for a moment', 1, now(), now(), now()),"
        " ('smtp:untried', 3, now() - interval '6 minutes', now() - interval '1 hour', now()),"
        " ('smtp:taken out', 3, now(), now() - interval '1 hour', now() - interval '1 hour')"
    )
    turn(maintenance_on(outbox, OPERATOR_ADDRESSES="ada@example.org", **SHORT_LIMIT))
    [sent] = digests(outbox)
    assert sent == {
        "dead": 5,
        "causes": [
            {"kind": "late", "cause": "late, sms", "count": 5},
            {"kind": "provider_down", "cause": "provider down, smtp:down", "count": None},
        ],
    }


@pytest.mark.parametrize(
    "words", [{"reason": "superseded"}, {"reason": "discarded"}, {"template": "'operator_digest'"}]
)
def test_expected_deaths_and_dead_digests_cause_no_digest(outbox: Outbox, words: dict[str, str]) -> None:
    put_dead(outbox, **words)
    outbox.put(template="'operator_digest'", due_at="now() - interval '1 day'")
    before = outbox.execute(DIGESTS_SENT)
    turn(maintenance_on(outbox, OPERATOR_ADDRESSES="ada@example.org", **SHORT_LIMIT))
    assert outbox.execute(DIGESTS_SENT) == before


def test_one_of_two_concurrent_relays_sends_the_digest(outbox: Outbox) -> None:
    put_dead(outbox, 3)

    def tell(_number: int) -> Any:
        with psycopg.connect(driver_url(outbox.database.relay_url), autocommit=True) as relay:
            statement = "select signpost_enqueue_digests(%s, '{ada@example.org}', 'en', '1 hour')"
            row = relay.execute(statement, [[uuid7()]]).fetchone()
            return row and row[0]

    with ThreadPoolExecutor(8) as relays:
        sent = list(relays.map(tell, range(8)))
    assert sum(news is not None for news in sent) == 1
    assert len(digests(outbox)) == 1


def test_without_operators_no_cause_counts_as_reported(outbox: Outbox) -> None:
    put_dead(outbox)
    turn(maintenance_on(outbox))
    assert outbox.number("select count(*) from reported_causes") == 0


def test_a_digest_is_posted_with_a_signature_until_it_is_accepted(outbox: Outbox) -> None:
    put_dead(outbox, 3)

    async def post_twice() -> HttpGateway:
        async with HttpGateway(answer(503)) as gateway:
            maintenance = maintenance_on(
                outbox, OPERATOR_WEBHOOK_URL=f"http://127.0.0.1:{gateway.port}/hook?to=ops", OPERATOR_WEBHOOK_KEY=KEY
            )
            await maintenance.run_round()
            gateway.reply = answer(204)
            await turns(maintenance, 2)
            return gateway

    first, second = asyncio.run(post_twice()).requests
    assert first.content == second.content
    assert first.line.split()[1] == "/hook?to=ops"
    assert first.body["messages"] == 3
    assert first.body["text"] == "Signpost: 3 rejected, smtp:m:25, recipient"
    moment, _, signed = second.headers["signpost-signature"].partition(",v1=")
    expected = hmac.new(KEY.encode(), moment.removeprefix("t=").encode() + b"." + second.content, hashlib.sha256)
    assert signed == expected.hexdigest()
    assert digests(outbox) == []


def test_an_unreachable_receiver_does_not_stop_maintenance(outbox: Outbox) -> None:
    put_dead(outbox)
    maintenance = maintenance_on(
        outbox, OPERATOR_WEBHOOK_URL="http://127.0.0.1:9/", OPERATOR_ADDRESSES="ada@example.org"
    )
    turn(maintenance)
    assert len(digests(outbox)) == 1
    assert outbox.number("select count(*) from reported_causes") == 1


def test_a_receiver_with_an_endless_response_does_not_stop_maintenance(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_dead(outbox)
    monkeypatch.setattr("outbox_relay.maintenance.digests.POST_SECONDS", 0.5)

    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def post() -> None:
        async with listening(trickle) as port, asyncio.timeout(10):
            await maintenance_on(outbox, OPERATOR_WEBHOOK_URL=f"http://127.0.0.1:{port}/").run_round()

    asyncio.run(post())
    assert outbox.number("select count(*) from reported_causes") == 1


def test_a_relay_sends_the_digest_like_any_other_message(outbox: Outbox, tmp_path: Path) -> None:
    put_dead(outbox, 7)
    settings = {"OPERATOR_ADDRESSES": "ada@example.org", "RELAY_MAINTENANCE_SECONDS": "1"}
    with running_relay(outbox.database, EMAIL_PROVIDERS=f"file://{tmp_path}", **settings):
        [mail] = eventually(lambda: list(tmp_path.glob("*.eml")), seconds=30)
    assert "      7  rejected, smtp:m:25, recipient" in mail.read_text()


async def turns(maintenance: Maintenance, count: int) -> None:
    for _ in range(count):
        await maintenance.run_round()
