"""Store delivery reports as a receiver does, and let the relay apply them at a moment that the test chooses."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.delivery.reports import DeliveryReports
from shared.reports.report import STORE_REPORT, BounceCause, DeliveryReport, ReportKind, ReportSource
from shared.reports.return_paths import recipient_tag
from shared.secrets import SecretKeys
from tests.support.databases import Database

Result = TypeVar("Result")
FEEDBACK_KEYS = SecretKeys({"new": b"n" * 32, "old": b"o" * 32})
RECIPIENT = {"cause": BounceCause.RECIPIENT, "is_permanent": True, "status_code": "5.1.1"}
POLICY = {"cause": BounceCause.POLICY, "is_permanent": True, "status_code": "5.7.1"}


def store(database: Database, kind: ReportKind, source: ReportSource = ReportSource.LMTP, **facts: Any) -> None:
    """Store one report."""
    store_report(database, DeliveryReport(kind, source, **facts))


def store_report(database: Database, report: DeliveryReport) -> None:
    """Store a report that a receiver has read."""
    with database.connect() as connection:
        connection.execute("set role signpost_receiver")
        connection.execute(STORE_REPORT, report.parameters())


def bounce(database: Database, message: Any, to: str | None = None, **facts: Any) -> None:
    """Store a bounce by mail of a message that was sent to that address."""
    tag = recipient_tag(to or message.recipient, FEEDBACK_KEYS["old"])
    store(database, ReportKind.BOUNCED, message_id=message.id, recipient_tag=tag, **(RECIPIENT | facts))


def apply_reports(database: Database, keys: SecretKeys | None = FEEDBACK_KEYS) -> int:
    """Let a relay apply all reports that have a match; return how many."""
    return asyncio.run(_with_relay(database, keys, lambda reports: reports.apply()))


def run_round(database: Database) -> None:
    """Let a relay do its whole first round."""
    asyncio.run(_with_relay(database, FEEDBACK_KEYS, lambda reports: reports.run_round()))


async def _with_relay(
    database: Database, keys: SecretKeys | None, work: Callable[[DeliveryReports], Awaitable[Result]]
) -> Result:
    connection = ReconnectingConnection(database.relay_url, "test", plans_once=True)
    try:
        return await work(DeliveryReports(connection, keys, lambda: None))
    finally:
        await connection.close()
