"""A provider's outage of ten minutes, on a clock that the test turns."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from outbox_relay.bootstrap import RelayComponents
from outbox_relay.providers.circuit_breaker import PROBES_TO_CLOSE
from tests.support.outbox import Outbox
from tests.support.relaying import PATIENCE_SECONDS, relaying, until, until_all_are_settled
from tests.support.smtp_server import End, Moment, Script, SmtpServer

pytestmark = pytest.mark.anyio

OUTAGE_SECONDS = 600
STEP_SECONDS = 30
NOTHING_IS_DUE = "select 1 where not exists (select from outbox_messages where status = 'pending' and due_at <= now())"
# Of the turned clock, so that no lease ends in between; and no letter is given up because the machine is busy.
A_HOUR = {"RELAY_LEASE_SECONDS": "3600", "RELAY_SEND_SECONDS": "60"}


class TurnedClock:
    """The breakers' clock, which runs ahead as far as the test says."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> TurnedClock:
    clock = TurnedClock()
    # What this test moves back in time lies below where claims begin; every claim is to find it.
    monkeypatch.setattr("outbox_relay.outbox.claim.FULL_SCAN_SECONDS", 0.0)
    monkeypatch.setattr("outbox_relay.outbox.claim.REST_IN_FULL_SCANS", 0.0)
    monkeypatch.setattr("outbox_relay.bootstrap.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


async def pass_time(outbox: Outbox, parts: RelayComponents, clock: TurnedClock) -> None:
    """Let half a minute pass: for the breakers, for the fleet, and for what the outbox holds back."""
    in_hand = "select 1 where not exists (select from outbox_messages where lease_token is not null)"
    await until(outbox, parts, in_hand)
    # The clock last: a claim passes by what is being changed, and takes what comes behind it.
    later = f"update outbox_messages set due_at = due_at - interval '{STEP_SECONDS} s' where status = 'pending'"
    await asyncio.to_thread(outbox.execute, later)
    sooner = f"update providers set open_until = open_until - interval '{STEP_SECONDS} s'"
    await asyncio.to_thread(outbox.execute, sooner)
    clock.ahead += STEP_SECONDS
    parts.relay.wake()


async def knocked_again(server: SmtpServer) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await server.reached[Moment.CONNECT].wait()
    server.reached[Moment.CONNECT].clear()


async def test_ten_minutes_without_a_provider_kill_nothing_and_cost_nothing(outbox: Outbox, clock: TurnedClock) -> None:
    old = outbox.put(count=40)
    async with (
        SmtpServer(Script(instead={Moment.CONNECT: End.CLOSE})) as server,
        relaying(outbox, server, **A_HOUR) as parts,
    ):
        await knocked_again(server)
        for _ in range(OUTAGE_SECONDS // STEP_SECONDS):
            await pass_time(outbox, parts, clock)
            await knocked_again(server)
        knocks = server.connections
        young = outbox.put(count=40)
        server.script.instead.clear()
        await pass_time(outbox, parts, clock)
        await until(outbox, parts, NOTHING_IS_DUE)
        await until_all_are_settled(outbox, parts)
    rows = outbox.execute("select status, attempt, lost_leases from outbox_messages")
    assert set(rows) == {("sent", 1, 0)}
    arrived = [arrived_id(content) for _, content in server.messages]
    assert sorted(arrived) == sorted(map(str, old + young))
    # Who knocked meanwhile, or went ahead when the door opened, stands behind the others of its age.
    # All others keep their places.
    first_in_line = [one for one in arrived if one in set(map(str, old))]
    assert arrived[0] in first_in_line
    assert set(arrived[: len(old) - knocks]) <= set(first_in_line)
    assert len(arrived) - len(longest_rise(arrived)) <= knocks + PROBES_TO_CLOSE


def arrived_id(content: bytes) -> str:
    return content.partition(b"Message-ID: <")[2].partition(b"@")[0].decode()


def longest_rise(ids: list[str]) -> list[str]:
    """Return the longest run of ids, not necessarily neighbours, that came in the order of their age."""
    best: list[list[str]] = []
    for one in ids:
        before = max((run for run in best if run[-1] < one), key=len, default=[])
        best.append([*before, one])
    return max(best, key=len)
