"""A test outbox on a real database: insert, claim, settle and read rows."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import get_ident
from typing import Any, TypeVar
from uuid import UUID

from psycopg.rows import namedtuple_row

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import ClaimedMessage, Outcome, QueueKey, Settlement
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.settle import SettlementStore
from shared.ids import uuid7
from shared.vocabulary import AnyChannel, Channel, Priority
from tests.support.databases import Database
from tests.support.keys import KEY_ID

EXPIRED = timedelta(0)
A_DAY = timedelta(days=1)

IN_FLIGHT = "select count(*) from outbox_messages where status = 'pending' and leased_until > now()"
UNSETTLED = "select count(*) from outbox_messages where status = 'pending'"
"""Queries for ``number``."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Outbox:
    """Uses the relay's own role and statements."""

    database: Database

    def make_partitions(self) -> None:
        """Create the weekly partitions that maintenance creates: a new week may have started since the migration."""
        self.execute("select signpost_make_partitions(2)")

    def make_past_partitions(self, weeks: int) -> None:
        """Create the partitions of earlier weeks, as in a database that was migrated then."""
        made = "signpost_make_partition(date_trunc('week', now(), 'UTC') - week * interval '168 hours')"
        self.execute(f"select {made} from generate_series(1, %s) as week", weeks)

    def put(self, *, count: int = 1, channel: str = "email", **columns: Any) -> list[UUID]:
        """Insert due messages; ``columns`` are SQL expressions that replace the usual values."""
        ids = [uuid7() for _ in range(count)]
        values = {
            "template": "'activation'",
            "recipient": "'ada@example.org'",
            "locale": "'en'",
            "payload": "'" + json.dumps({"name": "Ada", "key_id": KEY_ID}) + "'",
            "token_id": "gen_random_uuid()",
            "max_attempts": "8",
            "expires_at": "now() + interval '1 day'",
        } | columns
        names, expressions = ", ".join(values), ", ".join(values.values())
        with self.database.connect() as connection:
            connection.execute(
                f"insert into outbox_messages (id, channel, {names})"
                f" select id, %s, {expressions} from unnest(%s::uuid[]) as id",
                [channel, ids],
            )
        return ids

    def take_any_priority(self) -> None:
        """Allow unknown priorities, as after a migration to the next release."""
        self.execute("alter table outbox_messages drop constraint outbox_messages_priority_check")

    def claim(
        self,
        limit: int = 1,
        *,
        lease: timedelta = A_DAY,
        channel: AnyChannel = Channel.EMAIL,
        priority: Priority = Priority.HIGH,
    ) -> list[ClaimedMessage]:
        key = QueueKey(channel, priority)
        return self.with_database(lambda database: ClaimStore(database, lease).claim(key, limit))

    def claim_suspect(self, *, lease: timedelta = A_DAY) -> ClaimedMessage | None:
        return self.with_database(lambda database: ClaimStore(database, lease).claim_suspect(list(Channel)))

    def settle(self, outcomes: Sequence[tuple[ClaimedMessage, Outcome]]) -> int:
        settlements = [Settlement(message, outcome) for message, outcome in outcomes]
        late = self.with_database(lambda database: SettlementStore(database).settle(settlements))
        return len(settlements) - len(late)

    def row(self, message_id: UUID) -> Any:
        with self.database.connect() as connection:
            cursor = connection.cursor(row_factory=namedtuple_row)
            return cursor.execute("select * from outbox_messages where id = %s", [message_id]).fetchone()

    def number(self, query: str) -> int:
        """Return the single number that the query selects."""
        [(number,)] = self.execute(query)
        return int(number)

    def is_all_sent(self) -> bool:
        return self.number("select count(*) from outbox_messages where status <> 'sent'") == 0

    def execute(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.database.connect() as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def with_database(self, work: Callable[[ReconnectingConnection], Awaitable[Result]]) -> Result:
        """Run ``work`` on this thread's relay connection, which stays open for the next time."""
        make = partial(_relay_connection, self.database.relay_url)
        runner, connection = self.database.share((_relay_connection, get_ident()), make)
        return runner.run(work(connection))


@contextmanager
def _relay_connection(url: str) -> Iterator[tuple[asyncio.Runner, ReconnectingConnection]]:
    with asyncio.Runner() as runner:
        connection = ReconnectingConnection(url, "test")
        try:
            yield runner, connection
        finally:
            runner.run(connection.close())
