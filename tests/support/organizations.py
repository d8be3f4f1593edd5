"""Organizations in tests: a login that may create their databases, and queries for them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from devstack.cluster import Cluster
from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import ClaimedMessage, Dead, Failure, FailureClass, Outcome, Sent, Settlement
from outbox_relay.outbox.settle import PROVISIONING, SettlementStore
from shared.db.connection_settings import driver_url
from shared.vocabulary import DeadReason, WorkChannel
from tests.support.databases import Database
from tests.support.outbox import A_DAY, Outbox

LOGIN = "organizer"
CLINIC = {"name": "Clinic", "country": "FR"}
BEFORE_ACTIVATION = {"ORGANIZATIONS": "before_activation"}
AFTER_ACTIVATION = {"ORGANIZATIONS": "after_activation"}
STEPS = {"create_database", "prepare", "verify"}

DONE = Sent("provision:here:5432")
GIVEN_UP = Dead(DeadReason.EXHAUSTED, Failure(FailureClass.TRANSIENT, "provision:here:5432", "its tables"))

PENDING = "select from outbox_messages where status = 'pending' and channel = 'provision'"
ALL_SETTLED = f"select 1 where not exists ({PENDING})"


@dataclass(frozen=True)
class Organizer:
    """The server for organizations' databases, with a login that may create them."""

    cluster: Cluster

    @property
    def url(self) -> str:
        return self.cluster.tcp_url("postgres", user=LOGIN)

    def databases(self) -> set[str]:
        """Return the existing databases of organizations."""
        names = {name for (name,) in self.execute("select datname from pg_database")}
        return {name for name in names if re.fullmatch("org_[0-9a-f]{32}", name)}

    def allow(self, *, create: bool) -> None:
        """Allow or forbid the login to create databases."""
        self.execute(f"alter role {LOGIN} {'createdb' if create else 'nocreatedb'}")

    def drop_by_hand(self, name: str) -> None:
        self.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)).as_string())

    def drop_templates(self) -> None:
        """Drop the templates, as on a server that no relay has used."""
        for (name,) in self.execute("select datname from pg_database where datname ~ '^signpost_template_'"):
            self.execute(f"alter database {name} is_template false")
            self.execute(f"drop database {name} with (force)")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(driver_url(self.cluster.url("postgres")), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def organizer_on(cluster: Cluster) -> Iterator[Organizer]:
    """Create a login for organizations in the cluster, and drop their databases at the end."""
    organizer = Organizer(cluster)
    if not organizer.execute(f"select 1 from pg_roles where rolname = '{LOGIN}'"):
        organizer.execute(f"create role {LOGIN} login createdb createrole")
    organizer.allow(create=True)
    try:
        yield organizer
    finally:
        for name in organizer.databases():
            organizer.drop_by_hand(name)


def organization_of(outbox: Outbox, registration_id: UUID) -> dict[str, Any]:
    """Return the row of the organization of a registration."""
    return rows(outbox, "select * from organizations where founder_id = %s", registration_id)[0]


def status_of(outbox: Outbox, registration_id: UUID) -> str:
    return str(organization_of(outbox, registration_id)["status"])


def rows(outbox: Outbox, query: str, *parameters: Any) -> list[dict[str, Any]]:
    with outbox.database.connect() as connection:
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        return cursor.execute(query.encode(), parameters or None).fetchall()


def templates_of(outbox: Outbox, registration_id: UUID) -> list[str]:
    """Return the templates of a registration's messages, oldest first."""
    query = "select template from outbox_messages where user_id = %s order by created_at, id"
    return [template for (template,) in outbox.execute(query, registration_id)]


def claim_work(outbox: Outbox, *, lease: timedelta = A_DAY) -> ClaimedMessage:
    """Claim the only due provisioning message."""
    [message] = outbox.claim(1, lease=lease, channel=WorkChannel.PROVISION)
    return message


def settle_work(outbox: Outbox, message: ClaimedMessage, outcome: Outcome) -> bool:
    """Settle the message as the provisioning consumer does, with follow-up messages. Return False if it was stale."""

    async def work(database: ReconnectingConnection) -> frozenset[UUID]:
        return await SettlementStore(database, PROVISIONING).settle([Settlement(message, outcome)])

    return outbox.with_database(work) != {message.id}


def active_user(database: Database) -> UUID:
    """Add a user who has activated an account, without an organization."""
    user_id = uuid4()
    with database.connect() as connection:
        connection.execute(
            "insert into users (id, status, email, email_canonical, email_verified_at, password_hash, locale,"
            " activated_at) values (%s, 'active', %s, %s, now(), 'x', 'en', now())",
            [user_id, f"{user_id}@example.org", f"{user_id}@example.org"],
        )
    return user_id
