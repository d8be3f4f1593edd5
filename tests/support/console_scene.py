"""Data of one day for the console's pictures: outcomes, causes and operators' actions."""

import json
import math
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from shared.ids import uuid7_at
from tests.support.consoles import operators_token
from tests.support.databases import Database
from tests.support.keys import KEY_ID

MAIL, SMS = "smtp:mail.example.org:587", "twilio:api.twilio.com"


@dataclass(frozen=True)
class Death:
    """A cause of dead messages; the braces in ``error`` mark the address."""

    count: int
    reason: str
    provider: str | None
    error_class: str | None
    error: str | None
    hours_ago: float
    channel: str = "email"


DEATHS = (
    Death(214, "rejected", MAIL, "recipient", "RCPT: 550 5.1.1 <{}>: Recipient address rejected: User unknown", 20),
    Death(57, "rejected", MAIL, "content", "content: 554 5.7.1 Message rejected as spam by a filter (id {:x})", 3.5),
    Death(23, "expired", MAIL, "transient", "RCPT: 451 4.7.1 <{}>: Greylisted, try again in 300 seconds", 9),
    Death(12, "rejected", SMS, "recipient", "HTTP 400 21211: Invalid 'To' Phone Number: {}", 15, "sms"),
    Death(2, "poison", None, None, None, 6),
)
PEOPLE = ("ada", "grace", "mary", "alan", "edsger", "barbara", "donald", "radia", "tim", "joan", "ken", "frances")
HOSTS = ("example.org", "example.net", "mail.example.com")

PUT = """
insert into outbox_messages (id, template, channel, recipient, locale, payload, status, dead_reason, attempt,
                             max_attempts, due_at, expires_at, provider, last_error_class, last_error, created_at,
                             settled_at)
values (%(id)s, %(template)s, %(channel)s, %(recipient)s, 'en', %(payload)s, %(status)s, %(dead_reason)s, %(attempt)s,
        200, %(due_at)s, now() + interval '1 day', %(provider)s, %(error_class)s, %(error)s, %(created_at)s,
        %(settled_at)s)
"""


class Scene:
    """Writes the data as the database's owner, with the same random numbers each time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dice = random.Random(7)
        self._now = datetime.now(UTC)

    def put(self) -> str:
        """Write everything, and return a token with all scopes."""
        with self._database.connect() as owner:
            owner.cursor().executemany(PUT, [*self._sent(), *self._dead(), *self._waiting()])
            self._put_hours(owner)
            self._put_providers(owner)
            self._put_relays(owner)
            [(grace,)] = owner.execute(
                "select id from outbox_messages where last_error_class = 'transient' order by id desc limit 1"
            ).fetchall()
            self._put_way(owner, grace)
        operators_token(self._database, name="night watch")
        return operators_token(self._database)

    def stay(self) -> None:
        """Update the times that processes renew every few seconds."""
        with self._database.connect() as owner:
            owner.execute("update relays set seen_at = now()")
            owner.execute("update providers set open_until = now() + interval '24 s' where open_until is not null")

    def _sent(self) -> Iterator[dict[str, Any]]:
        for minutes in range(2, 240, 6):
            yield self._row(minutes, status="sent", provider=MAIL, attempt=1)

    def _dead(self) -> Iterator[dict[str, Any]]:
        for death in DEATHS:
            for number in range(death.count):
                minutes = death.hours_ago * 60 * (number + 1) / death.count
                row = self._row(minutes, status="dead", channel=death.channel, provider=death.provider, attempt=1)
                error = death.error and death.error.format(row["recipient"] if "<{}>" in death.error else number * 7919)
                yield row | {"dead_reason": death.reason, "error_class": death.error_class, "error": error}

    def _waiting(self) -> Iterator[dict[str, Any]]:
        for number in range(31):
            yield self._row(0.2 + number / 40, status="pending")
        for _ in range(6):
            yield self._row(4, status="pending", attempt=2) | {"due_at": self._now + timedelta(minutes=9)}

    def _row(self, minutes_ago: float, *, status: str, channel: str = "email", **columns: Any) -> dict[str, Any]:
        created_at = self._now - timedelta(minutes=minutes_ago)
        recipient = f"{self._dice.choice(PEOPLE)}@{self._dice.choice(HOSTS)}"
        number = f"+4474{self._dice.randrange(10**8):08}"
        return {
            "id": uuid7_at(int(created_at.timestamp() * 1e9), os.urandom(8)),
            "template": self._dice.choice(("activation", "activation", "password_reset", "welcome")),
            "channel": channel,
            "recipient": recipient if channel == "email" else number,
            "payload": json.dumps({"name": "Ada", "key_id": KEY_ID}),
            "status": status,
            "dead_reason": None,
            "attempt": 0,
            "due_at": created_at,
            "provider": None,
            "error_class": None,
            "error": None,
            "created_at": created_at,
            "settled_at": None if status == "pending" else created_at + timedelta(seconds=1.4),
        } | columns

    def _put_hours(self, owner: psycopg.Connection) -> None:
        hour = self._now.replace(minute=0, second=0, microsecond=0)
        rows: list[Sequence[Any]] = []
        for ago in range(24):
            at = hour - timedelta(hours=ago)
            busy = 900 + 800 * math.sin((at.hour - 8) / 24 * 2 * math.pi)
            rows.append((at, "email", "sent", int(busy + self._dice.randrange(160))))
            rows.append((at, "sms", "sent", int(busy / 6 + self._dice.randrange(40))))
            rows.append((at, "email", "dead", self._dice.randrange(4, 14) + (61 if ago == 3 else 0)))
        owner.cursor().executemany(
            "insert into hourly_stats (hour, channel, status, messages) values (%s, %s, %s, %s)", rows
        )

    def _put_providers(self, owner: psycopg.Connection) -> None:
        owner.execute(
            "insert into providers (name, channel, rate, consecutive_opens, open_until, since,"
            " last_failure_class, last_error, last_failed_at)"
            " values (%s, 'email', '600/minute', 0, null, now() - interval '3 d 4 h', 'provider',"
            " 'CONNECT: 421 4.3.2 shutting down', now() - interval '3 d 4 h'),"
            " (%s, 'sms', null, 3, now() + interval '24 s', now() - interval '2 min', 'provider',"
            " 'no answer in time', now() - interval '6 s')",
            [MAIL, SMS],
        )

    def _put_relays(self, owner: psycopg.Connection) -> None:
        owner.execute(
            "insert into relays (id, host, version, channels, batch_size, connections, started_at)"
            " select gen_random_uuid(), 'relay-' || number, '0.1.0', '{email,sms,provision}', 500, 8,"
            " now() - number * interval '3 d 7 h' from generate_series(1, 2) as number"
        )

    def _put_way(self, owner: psycopg.Connection, message_id: UUID) -> None:
        """Add a history to one message: its code expired, was renewed by a requeue, and expired again."""
        for number, minutes, outcome in (
            (1, 46, "retry"),
            (2, 32, "dead"),
            (1, 19, "retry"),
            (2, 14, "retry"),
            (3, 6, "dead"),
        ):
            owner.execute(
                "insert into delivery_attempts (message_id, attempt, outcome, provider, error_class, error, ended_at)"
                " select id, %s, %s, provider, last_error_class, last_error, now() - make_interval(mins => %s)"
                " from outbox_messages where id = %s",
                [number, outcome, minutes, message_id],
            )
        owner.execute(
            "insert into operator_actions (operator, action, message_id, reason, before, acted_at)"
            " values ('night watch', 'requeue', %s, 'their greylisting is off now',"
            ' \'{"status": "dead", "dead_reason": "expired"}\', now() - interval \'20 min\')',
            [message_id],
        )
        owner.execute(
            "update outbox_messages set template = 'password_reset', created_at = now() - interval '47 min',"
            " settled_at = now() - interval '6 min', expires_at = now() - interval '5 min', attempt = 3 where id = %s",
            [message_id],
        )
