"""A provider's outage of ten minutes, on a clock that the test advances."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from outbox_relay.bootstrap import RelayComponents
from tests.support.outbox import Outbox
from tests.support.relaying import TIMEOUT_SECONDS, relaying, until, until_all_are_settled
from tests.support.smtp_server import End, Moment, Script, SmtpServer

pytestmark = pytest.mark.anyio

OUTAGE_SECONDS = 600
STEP_SECONDS = 30
NOTHING_IS_DUE = "select 1 where not exists (select from outbox_messages where status = 'pending' and due_at <= now())"
# In the advanced time, so that no lease ends and no message times out on a busy machine.
A_HOUR = {"RELAY_LEASE_SECONDS": "3600", "RELAY_SEND_SECONDS": "60"}


class AdvancedClock:
    """The breakers' clock, which the test advances."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> AdvancedClock:
    clock = AdvancedClock()
    # This test moves times back behind the scan cursor, so every claim is a full scan.
    monkeypatch.setattr("outbox_relay.outbox.claim.FULL_SCAN_SECONDS", 0.0)
    monkeypatch.setattr("outbox_relay.outbox.claim.REST_IN_FULL_SCANS", 0.0)
    monkeypatch.setattr("outbox_relay.bootstrap.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


async def pass_time(outbox: Outbox, parts: RelayComponents, clock: AdvancedClock) -> None:
    """Advance half a minute for the breakers, the shared provider state and the outbox."""
    in_hand = "select 1 where not exists (select from outbox_messages where lease_token is not null)"
    await until(outbox, parts, in_hand)
    # Advance the clock last: a claim skips rows being changed and takes later ones.
    later = f"update outbox_messages set due_at = due_at - interval '{STEP_SECONDS} s' where status = 'pending'"
    await asyncio.to_thread(outbox.execute, later)
    sooner = f"update providers set open_until = open_until - interval '{STEP_SECONDS} s'"
    await asyncio.to_thread(outbox.execute, sooner)
    clock.ahead += STEP_SECONDS
    parts.relay.wake()


async def was_tried_again(server: SmtpServer) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await server.reached[Moment.CONNECT].wait()
    server.reached[Moment.CONNECT].clear()


async def test_ten_minutes_without_a_provider_cost_no_message_an_attempt(outbox: Outbox, clock: AdvancedClock) -> None:
    old = outbox.put(count=40)
    async with (
        SmtpServer(Script(instead={Moment.CONNECT: End.CLOSE})) as server,
        relaying(outbox, server, **A_HOUR) as parts,
    ):
        await was_tried_again(server)
        for _ in range(OUTAGE_SECONDS // STEP_SECONDS):
            await pass_time(outbox, parts, clock)
            await was_tried_again(server)
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
    # Messages tried during the outage, or first after it, come behind others of their age.
    # All other messages keep their places.
    first_in_line = [one for one in arrived if one in set(map(str, old))]
    assert arrived[0] in first_in_line
    assert set(arrived[: len(old) - knocks]) <= set(first_in_line)
    assert len(arrived) - len(longest_rise(arrived)) <= knocks + 1


def arrived_id(content: bytes) -> str:
    return content.partition(b"Message-ID: <")[2].partition(b"@")[0].decode()


def longest_rise(ids: list[str]) -> list[str]:
    """Return the longest increasing subsequence: ids that arrived in the order of their age."""
    best: list[list[str]] = []
    for one in ids:
        before = max((run for run in best if run[-1] < one), key=len, default=[])
        best.append([*before, one])
    return max(best, key=len)
