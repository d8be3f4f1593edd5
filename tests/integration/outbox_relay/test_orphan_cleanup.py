"""The databases of failed organizations: dropped after a grace period, or kept if used."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from structlog.testing import capture_logs

from outbox_relay.organizations.orphan_cleanup import OrphanCleanup
from outbox_relay.provisioning.server import ProvisionServer
from shared.db.connection_settings import driver_url
from tests.support.api import ApiUnderTest
from tests.support.eventually import eventually
from tests.support.keys import KEYS
from tests.support.maintenance import maintenance_on, turn
from tests.support.organizations import (
    BEFORE_ACTIVATION,
    CLINIC,
    DONE,
    GIVEN_UP,
    Organizer,
    claim_work,
    organization_of,
    settle_work,
    status_of,
)
from tests.support.outbox import EXPIRED, Outbox

pytestmark = pytest.mark.slow

API_SETTINGS = BEFORE_ACTIVATION

DUE = "update organizations set drop_due_at = now(), drop_until = null"


def run_cleanup(outbox: Outbox, organizer: Organizer, grace: timedelta = EXPIRED) -> None:
    server = ProvisionServer(organizer.url, KEYS, connections=2)
    asyncio.run(OrphanCleanup(outbox.database.relay_url, server, grace).run_round())


def half_built(outbox: Outbox, organizer: Organizer, person: UUID) -> str:
    """Create the organization's database, and record its first step."""
    organization = organization_of(outbox, person)
    outbox.execute(
        "insert into organization_steps (organization_id, step) values (%s, 'create_database')", organization["id"]
    )
    organizer.execute(f"create database {organization['database_name']} owner organizer")
    return str(organization["database_name"])


def test_orphans_are_dropped_after_the_grace_period(outbox: Outbox, organizer: Organizer, ada: UUID) -> None:
    name = half_built(outbox, organizer, ada)
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    run_cleanup(outbox, organizer, timedelta(hours=1))
    assert name in organizer.databases()
    run_cleanup(outbox, organizer)
    assert name not in organizer.databases()
    assert organization_of(outbox, ada)["dropped_at"] is not None


def test_only_failed_organizations_are_dropped(outbox: Outbox, organizer: Organizer, ada: UUID) -> None:
    name = half_built(outbox, organizer, ada)
    run_cleanup(outbox, organizer)
    settle_work(outbox, claim_work(outbox), DONE)
    run_cleanup(outbox, organizer)
    assert name in organizer.databases()


def test_a_database_that_appears_after_the_drop_is_dropped(outbox: Outbox, organizer: Organizer, ada: UUID) -> None:
    name = half_built(outbox, organizer, ada)
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    run_cleanup(outbox, organizer)
    organizer.execute(f"create database {name} owner organizer")
    outbox.execute("update organizations set dropped_at = dropped_at - interval '2 hours'")
    run_cleanup(outbox, organizer)
    assert name not in organizer.databases()


def test_a_used_database_is_kept_and_logged_once(outbox: Outbox, organizer: Organizer, ada: UUID) -> None:
    name = half_built(outbox, organizer, ada)
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    work_in(organizer, name)
    with capture_logs() as lines:
        for _ in range(3):
            run_cleanup(outbox, organizer)
            outbox.execute(DUE)
    assert [line["event"] for line in lines] == ["organization kept"]
    assert organization_of(outbox, ada)["kept_because"] == "it has been used"
    organizer.drop_by_hand(name)
    run_cleanup(outbox, organizer)
    found = organization_of(outbox, ada)
    assert (found["kept_because"], found["dropped_at"] is None) == (None, False)


def test_failed_drops_are_retried_with_growing_delays(outbox: Outbox, organizer: Organizer, ada: UUID) -> None:
    name = half_built(outbox, organizer, ada)
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    with psycopg.connect(driver_url(organizer.cluster.url(name))):
        run_cleanup(outbox, organizer)
    wait = "select extract(epoch from drop_due_at - now()) / 60 from organizations where founder_id = %s"
    assert 9 < outbox.execute(wait, ada)[0][0] <= 10
    run_cleanup(outbox, organizer)
    assert name in organizer.databases()
    outbox.execute(
        "update organizations set failed_at = now() - interval '3 hours', drop_due_at = now(), drop_until = null"
    )
    with psycopg.connect(driver_url(organizer.cluster.url(name))):
        run_cleanup(outbox, organizer)
    assert outbox.execute(wait, ada)[0][0] > 170
    outbox.execute(DUE)
    run_cleanup(outbox, organizer)
    assert name not in organizer.databases()


@pytest.mark.parametrize("is_forced", [False, True])
def test_a_removed_organization_is_dropped_at_once_if_no_member_is_connected_or_the_operator_forces_it(
    outbox: Outbox, organizer: Organizer, ada: UUID, *, is_forced: bool
) -> None:
    name = half_built(outbox, organizer, ada)
    settle_work(outbox, claim_work(outbox), DONE)
    work_in(organizer, name)
    organizer.execute(f"set role organizer; create role {name} login")
    outbox.execute("select signpost_remove_organization(id, %s) from organizations", is_forced)
    long_grace = timedelta(days=3)
    with suppress(psycopg.OperationalError), psycopg.connect(driver_url(organizer.cluster.url(name, name))) as member:
        run_cleanup(outbox, organizer, long_grace)
        assert (name in organizer.databases()) is not is_forced
        member.execute("select 1")
        kept_because = outbox.execute("select kept_because from organizations")[0][0]
        assert "is being accessed by other users" in kept_because
        with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
            psycopg.connect(driver_url(organizer.cluster.url(name, name)))
    outbox.execute(DUE)
    run_cleanup(outbox, organizer, long_grace)
    assert name not in organizer.databases()
    assert organizer.execute(f"select from pg_roles where rolname = '{name}'") == []
    assert outbox.execute("select status, kept_because, dropped_at is null from organizations") == [
        ("failed", None, False)
    ]
    outbox.execute("update organizations set failed_at = failed_at - interval '40 days', dropped_at = " + OF_A_MONTH)
    assert remembered(outbox) == 0


def test_an_organization_can_be_revived_until_its_own_drop_starts(
    api: ApiUnderTest, outbox: Outbox, organizer: Organizer, ada: UUID
) -> None:
    bea = api.registered(email="bea@example.org", organization=CLINIC)
    names = {half_built(outbox, organizer, person) for person in (ada, bea)}
    for _ in names:
        settle_work(outbox, claim_work(outbox), GIVEN_UP)
    lock_of_first = int.from_bytes(organization_of(outbox, ada)["id"].bytes[8:], signed=True)
    with ThreadPoolExecutor(1) as another:
        with psycopg.connect(driver_url(organizer.url)) as holder:
            holder.execute("select pg_advisory_lock(%s)", [lock_of_first])
            dropping = another.submit(run_cleanup, outbox, organizer)
            eventually(lambda: organization_of(outbox, ada)["drop_until"])
            assert organization_of(outbox, bea)["drop_until"] is None
        dropping.result()
    assert not names & organizer.databases()


def work_in(organizer: Organizer, name: str) -> None:
    """Add tables of the first revision and a second member to the database."""
    with psycopg.connect(driver_url(organizer.cluster.url(name))) as connection:
        for table in (
            "schema_revision (version_num) as select '0001'",
            "organization as select 1",
            "settings as select 1",
        ):
            connection.execute(f"create table {table}".encode())
        connection.execute("create table members as select generate_series(1, 2)")
        connection.execute("grant select on all tables in schema public to public")


def test_the_database_of_a_founder_who_never_activated_is_dropped(
    outbox: Outbox, organizer: Organizer, ada: UUID
) -> None:
    name = half_built(outbox, organizer, ada)
    settle_work(outbox, claim_work(outbox), DONE)
    outbox.execute("delete from users where id = %s", ada)
    assert status_of(outbox, ada) == "failed"
    run_cleanup(outbox, organizer)
    assert name not in organizer.databases()


def test_the_organization_of_an_activated_founder_stays(
    api: ApiUnderTest, outbox: Outbox, organizer: Organizer, ada: UUID
) -> None:
    name = half_built(outbox, organizer, ada)
    settle_work(outbox, claim_work(outbox), DONE)
    assert api.activate(ada).status_code == 200
    outbox.execute("delete from users where id = %s", ada)
    run_cleanup(outbox, organizer)
    assert (status_of(outbox, ada), name in organizer.databases()) == ("ready", True)


OF_A_MONTH = "now() - interval '31 days'"


def long_ago(outbox: Outbox, *, dropped_at: str, has_begun: bool = True) -> None:
    """Mark the organization as failed before the retention period."""
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    if has_begun:
        outbox.execute("insert into organization_steps (organization_id, step) select id, 'verify' from organizations")
    outbox.execute(f"update organizations set failed_at = failed_at - interval '40 days', dropped_at = {dropped_at}")


def remembered(outbox: Outbox) -> int:
    """Count the organizations after a round of maintenance."""
    turn(maintenance_on(outbox))
    return outbox.number("select count(*) from organizations")


@pytest.mark.parametrize(
    ("has_begun", "dropped_at", "remaining"),
    [
        (True, OF_A_MONTH, 0),
        (False, "null", 0),
        (True, "null", 1),  # not dropped yet, or used by a member
        (True, "now() - interval '1 day'", 1),  # may be created and dropped once more
    ],
)
def test_an_organization_without_users_is_deleted_after_its_database(
    outbox: Outbox, ada: UUID, *, has_begun: bool, dropped_at: str, remaining: int
) -> None:
    long_ago(outbox, dropped_at=dropped_at, has_begun=has_begun)
    outbox.execute("delete from users where id = %s", ada)
    assert remembered(outbox) == remaining


@pytest.mark.usefixtures("ada")
def test_an_organization_with_a_founder_is_not_deleted(outbox: Outbox) -> None:
    long_ago(outbox, dropped_at=OF_A_MONTH)
    assert remembered(outbox) == 1
