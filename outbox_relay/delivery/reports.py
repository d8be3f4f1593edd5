"""Delivery reports: match the reports that receivers have stored to sent messages, and apply them.

Only the leading relay does this. A report without a match waits: its message may not be settled yet, or may get another
recipient before the report is applied. The order of reports, repeated reports and killed processes do not change the
result.
"""

import asyncio
import json
from collections import Counter as Tally
from collections.abc import Callable
from typing import Any

import psycopg

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from outbox_relay.metrics import DELIVERY_REPORTS, REPORTS_UNMATCHED
from shared.addresses import canonical_address
from shared.db.errors import describe
from shared.log import get_logger
from shared.reports.return_paths import recipient_tag
from shared.secrets import SecretKeys, suppression_hashes
from shared.vocabulary import ERASED

REPORTS_SECONDS = 5.0
BATCH = 500
RECENT_SECONDS = 600
LONGEST_WAIT_SECONDS = 7 * 24 * 3600
FULL_LOOK_SECONDS = 300.0
"""How often to look for messages of all waiting reports, and not only of recent ones. Most reports that do not match
within minutes never will."""

# - A report counts for a week after its message was sent.
# - A report about an erased message never matches, so it is deleted after a week.
# - A provider may use the same id again after a while, so the newest message has it. Without OFFSET, PostgreSQL would
#   read the messages by id, newest first, instead of the index on the provider's id.
FIND = """
select report.id as report_id, message.id as message_id, recipient, recipient_tag
  from delivery_reports as report
 cross join lateral (
     (select id, recipient, settled_at
        from outbox_messages
       where id = report.message_id and status = 'sent' and recipient <> %(erased)s)
     union all
     (select id, recipient, settled_at
        from (select id, recipient, settled_at
                from outbox_messages
               where report.message_id is null and channel = 'sms' and status = 'sent'
                 and provider_message_id = report.provider_message_id and provider = report.provider
              offset 0) as of_that_id
       order by id desc
       limit 1)) as message
 where applied_at is null and received_at > now() - make_interval(secs => %(age)s)
   and received_at < settled_at + interval '7 days' and (recipient_tag is null or %(has_keys)s)
 order by received_at
 limit %(limit)s
"""

MOST_COUNTED = 10_000
UNMATCHED = """
select count(*) as unmatched
  from (select from delivery_reports
         where applied_at is null and received_at between now() - make_interval(secs => %(longest)s)
                                                      and now() - make_interval(secs => %(recent)s)
         limit %(limit)s) as waiting
"""

APPLY = "select * from signpost_apply_reports(%(batch)s)"

log = get_logger("relay.reports")


class DeliveryReports:
    """Applies reports. ``keys`` are FEEDBACK_KEYS; without them, reports with a tag wait for a relay that has them.

    ``on_fallback`` is called when a bounce has made a fallback due.
    """

    def __init__(
        self, database: ReconnectingConnection, keys: SecretKeys | None, on_fallback: Callable[[], None]
    ) -> None:
        self._database = database
        self._keys = keys
        self._on_fallback = on_fallback
        self._next_full_look = 0.0

    async def run_round(self) -> None:
        """Apply the reports that have a match. The next round continues after a failure."""
        now = asyncio.get_running_loop().time()
        is_full_look = now >= self._next_full_look
        age = LONGEST_WAIT_SECONDS if is_full_look else RECENT_SECONDS
        try:
            while await self.apply(age) == BATCH:
                pass
            if is_full_look:
                REPORTS_UNMATCHED.set(await self._count_unmatched())
        except psycopg.Error as error:
            log.warning("delivery reports not applied", **describe(error))
        else:
            if is_full_look:
                self._next_full_look = now + FULL_LOOK_SECONDS

    async def apply(self, age_seconds: float = LONGEST_WAIT_SECONDS) -> int:
        """Apply one batch of the reports that are at most so old; return how many were applied."""

        async def work(connection: RelayConnection) -> list[Any]:
            found = await connection.fetch(
                FIND,
                {"age": age_seconds, "limit": BATCH, "has_keys": self._keys is not None, "erased": ERASED},
            )
            matches = [self._match(row) for row in found]
            return await connection.fetch(APPLY, {"batch": json.dumps(matches)}) if matches else []

        applied = await self._database.once(work)
        self._report(applied)
        return len(applied)

    async def _count_unmatched(self) -> int:
        asked = {"longest": LONGEST_WAIT_SECONDS, "recent": RECENT_SECONDS, "limit": MOST_COUNTED}
        [row] = await self._database.once(lambda connection: connection.fetch(UNMATCHED, asked))
        return int(row.unmatched)

    def _match(self, row: Any) -> dict[str, Any]:
        """Return a report and its message for the database."""
        hashes = suppression_hashes(canonical_address(row.recipient), self._keys) if self._keys else {}
        return {
            "report_id": str(row.report_id),
            "message_id": str(row.message_id),
            "recipient": row.recipient,
            "is_of_recipient": self._is_of_recipient(row.recipient_tag, row.recipient),
            "hashes": [{"key_id": key_id, "hash": hashed.hex()} for key_id, hashed in hashes.items()],
        }

    def _is_of_recipient(self, tag: str | None, recipient: str) -> bool:
        """Return whether the report is about the message's present recipient. A report without a tag is."""
        canonical, keys = canonical_address(recipient), self._keys.by_id.values() if self._keys else ()
        return tag is None or any(recipient_tag(canonical, key) == tag for key in keys)

    def _report(self, applied: list[Any]) -> None:
        tally = Tally((row.kind, row.cause or "", row.source) for row in applied if row.ignored_because is None)
        for labels, count in tally.items():
            DELIVERY_REPORTS.labels(*labels).inc(count)
        if applied:
            log.info("delivery reports applied", count=len(applied), counted=tally.total())
        if any(row.is_fallback_due for row in applied):
            self._on_fallback()
