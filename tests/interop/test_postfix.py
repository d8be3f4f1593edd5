"""Postfix stops and starts while messages are rare: two relays find out that it is back, and no operator is woken."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.alarms import needs_promtool, promtool, written_cases
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.maintenance import maintenance_on, turn
from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox
from tests.support.postfix import Postfix, postfix
from tests.support.relays import RunningRelay, running_relay

Relays = tuple[RunningRelay, RunningRelay]

DIGESTS = "select count(*) from outbox_messages where template = 'operator_digest'"
TO_OPERATORS = {"OPERATOR_ADDRESSES": "ada@example.org", "RELAY_LATE_SECONDS": "60"}
AN_HOUR_PASSES = (
    "update providers set since = since - interval '1 hour', open_until = open_until - interval '1 hour',"
    " last_failed_at = last_failed_at - interval '1 hour'"
)


@pytest.fixture
def server() -> Iterator[Postfix]:
    with postfix() as server:
        yield server


def two_relays(ending: ExitStack, outbox: Outbox, providers: str) -> Relays:
    first, second = (ending.enter_context(running_relay(outbox.database, EMAIL_PROVIDERS=providers)) for _ in range(2))
    for relay in (first, second):
        relay.wait_until_ready()
    return first, second


def breaker(outbox: Outbox, server: Postfix) -> str:
    listed = lines_of(outboxctl(outbox.database, "providers", "list", "--json"))
    return next(str(one["breaker"]) for one in listed if one["provider"] == server.name)


def gauges(relays: Relays, server: Postfix) -> list[float]:
    """Return the gauge of the breaker in each relay."""
    series = re.escape(f'signpost_breaker_open{{provider="{server.name}"}}')
    found = [re.search(rf"^{series} (\S+)$", relay.get("/metrics").text, re.MULTILINE) for relay in relays]
    return [float(one[1]) for one in found if one]


def deliver_next(outbox: Outbox) -> None:
    outbox.execute("update outbox_messages set due_at = now() where status = 'pending'")


def stays_quiet(server: Postfix, during: list[float], after: list[float], folder: Path) -> None:
    """Assert that no alarm fires in the hour after the outage, while no further message comes."""
    series = {
        f'signpost_breaker_open{{job="signpost-relay",instance="r{number}:8002",provider="{server.name}"}}': (
            f"0x5 {down:g}x2 {now:g}x60"
        )
        for number, (down, now) in enumerate(zip(during, after, strict=True))
    }
    case = {"when": "Postfix was restarted", "series": series, "quiet_at": 60}
    promtool("test", "rules", written_cases("SignpostProviderDown", [case], folder))


@needs_promtool
def test_a_mail_server_that_restarts_is_healthy_after_the_message_that_waited(
    server: Postfix, outbox: Outbox, tmp_path: Path
) -> None:
    with ExitStack() as ending:
        relays = two_relays(ending, outbox, server.provider)
        server.stop()
        outbox.put()
        during = eventually(lambda: (found := gauges(relays, server)) == [1, 1] and found)
        server.start()
        deliver_next(outbox)
        eventually(outbox.is_all_sent)
        eventually(lambda: breaker(outbox, server) == "closed")
        after = eventually(lambda: (found := gauges(relays, server)) == [0, 0] and found)
        for _ in range(2):
            outbox.execute(AN_HOUR_PASSES)
            turn(maintenance_on(outbox, **TO_OPERATORS))
            outbox.put()
            eventually(outbox.is_all_sent)
            assert breaker(outbox, server) == "closed"
        stays_quiet(server, during, after, tmp_path)
        assert outbox.number(DIGESTS) == 0
    with running_relay(outbox.database, EMAIL_PROVIDERS=server.provider) as restarted:
        restarted.wait_until_ready()
        assert restarted.logged("provider down") == []


@needs_promtool
def test_a_mail_server_that_restarts_is_healthy_without_a_further_message(
    server: Postfix, outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    with ExitStack() as ending:
        relays = two_relays(ending, outbox, f"{server.provider},{sink.provider}")
        server.stop()
        outbox.put()
        eventually(outbox.is_all_sent)
        during = eventually(lambda: (found := gauges(relays, server)) == [1, 1] and found)
        server.start()
        outbox.execute(AN_HOUR_PASSES)
        eventually(lambda: breaker(outbox, server) == "closed")
        after = eventually(lambda: (found := gauges(relays, server)) == [0, 0] and found)
        stays_quiet(server, during, after, tmp_path)
    assert sink.arrived.total() == 1
