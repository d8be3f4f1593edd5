"""Provisioning, the template, and drops."""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from itertools import product

import psycopg
import pytest

from outbox_relay.model import FailureClass
from outbox_relay.provisioning.model import Step, StepFailedError
from outbox_relay.provisioning.provision import drop, ensure_template, provision
from tests.support.application import NOTES_AND_AUDIT, application
from tests.support.eventually import eventually
from tests.support.tenants import PROVISIONER, RecordingStepLog, Tenants, an_organization, failure_of, ready

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

# As after the statement's timeout.
CANCEL_WHO_WAITS = (
    "select pg_cancel_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and usename ~ '^org_'"
)
IN_ORDER = [(moment, step) for step in Step for moment in ("started", "completed")]


class BrokenOffError(Exception):
    """Raised by a step log, in place of a killed relay."""


async def test_provisioning_creates_the_applications_tables_and_the_role(tenants: Tenants) -> None:
    organization, step_log = an_organization(), RecordingStepLog()
    await provision(tenants.server(), organization, step_log)
    assert step_log.entries == IN_ORDER
    with tenants.as_member(organization) as member:
        found = "select organization_id, revision from signpost.database"
        assert member.execute(found).fetchall() == [(organization.id, "1")]
        member.execute("insert into notes (text) values ('a first note')")
        assert member.execute("select text, plans.name from notes, plans").fetchall() == [("a first note", "basic")]


async def test_repeated_provisioning_keeps_existing_rows(tenants: Tenants) -> None:
    organization = an_organization()
    server = await ready(tenants, organization)
    with tenants.as_member(organization) as member:
        member.execute("insert into notes (text) values ('a note')")
        member.execute("delete from plans")
    await provision(server, organization, RecordingStepLog())
    with tenants.as_member(organization) as member:
        assert member.execute("select text, (select count(*) from plans) from notes").fetchall() == [("a note", 0)]


@pytest.mark.parametrize(("step", "moment"), list(product(Step, ["started", "completed"])))
async def test_the_next_attempt_completes_an_interrupted_one(tenants: Tenants, step: Step, moment: str) -> None:
    organization = an_organization()

    def break_off(now: str, at: Step) -> None:
        if (now, at) == (moment, step):
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        await provision(tenants.server(), organization, RecordingStepLog(at=break_off))
    await ready(tenants, organization)
    assert tenants.names() == tenants.roles() == [organization.database]


async def test_an_organization_cannot_connect_to_anothers_database(tenants: Tenants) -> None:
    mine, other = an_organization(), an_organization()
    await ready(tenants, mine)
    await ready(tenants, other)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        tenants.as_member(mine, other.database)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        tenants.as_member(mine, tenants.migrations.template)


async def test_members_cannot_change_tables_or_signposts_schema(tenants: Tenants) -> None:
    organization = an_organization()
    await ready(tenants, organization)
    for statement in (
        "drop table notes",
        "create table mine (id int)",
        "delete from signpost.tables",
        "update signpost.database set revision = '0000'",
        f"drop database {tenants.migrations.template}",
        "create role another",
    ):
        with tenants.as_member(organization) as member, pytest.raises(psycopg.errors.InsufficientPrivilege):
            member.execute(statement)


async def test_role_and_database_have_connection_limits(tenants: Tenants) -> None:
    organization = an_organization()
    await ready(tenants, organization)
    limits = (
        "select rolconnlimit, datconnlimit from pg_roles join pg_database on rolname = datname"
        f" where datname = '{organization.database}'"
    )
    assert tenants.execute(limits) == [(20, 24)]


async def test_exhausted_connections_of_a_role_are_a_transient_failure(tenants: Tenants) -> None:
    organization = an_organization()
    server = await ready(tenants, organization)
    with ExitStack() as sessions:
        for _ in range(20):
            sessions.enter_context(tenants.as_member(organization))
        failed = await failure_of(server, organization)
    assert (failed.step, failed.failure.kind) == (Step.VERIFY, FailureClass.TRANSIENT)


async def test_locks_of_members_are_a_transient_failure(tenants: Tenants) -> None:
    organization = an_organization()
    server = await ready(tenants, organization)
    with tenants.as_member(organization) as member, member.transaction():
        member.execute("update signpost.database set checked_at = now()")
        failing = asyncio.create_task(failure_of(server, organization))
        await asyncio.to_thread(eventually, lambda: tenants.execute(CANCEL_WHO_WAITS))
        failed = await failing
    assert failed.failure.kind is FailureClass.TRANSIENT


async def test_concurrent_relays_create_the_template_once(tenants: Tenants) -> None:
    tenants.drop_templates()
    organizations = [an_organization() for _ in range(4)]
    servers = [tenants.server() for _ in organizations]  # as many relays
    await asyncio.gather(*(provision(*each, RecordingStepLog()) for each in zip(servers, organizations, strict=True)))
    assert tenants.names() == sorted(each.database for each in organizations)


async def test_the_template_can_be_created_before_the_first_organization(tenants: Tenants) -> None:
    tenants.drop_templates()
    server = tenants.server()
    for _ in range(2):
        await ensure_template(server)
    assert tenants.execute(
        f"select datistemplate from pg_database where datname = '{tenants.migrations.template}'"
    ) == [(True,)]


async def test_a_login_without_createdb_is_a_failure_of_the_server(tenants: Tenants) -> None:
    tenants.drop_templates()
    tenants.execute(f"alter role {PROVISIONER} nocreatedb")
    try:
        with pytest.raises(StepFailedError) as failed:
            await ensure_template(tenants.server())
    finally:
        tenants.execute(f"alter role {PROVISIONER} createdb")
    assert failed.value.failure.kind is FailureClass.PROVIDER


async def test_an_unfinished_template_is_replaced(tenants: Tenants) -> None:
    tenants.drop_templates()
    tenants.execute(f"create database {tenants.migrations.template}")
    tenants.execute(f"alter database {tenants.migrations.template} owner to {PROVISIONER}")
    await ready(tenants, an_organization())


async def test_a_dropped_template_is_recreated_at_the_next_try(tenants: Tenants) -> None:
    server = await ready(tenants, an_organization())
    tenants.drop_templates()
    organization = an_organization()
    failed = await failure_of(server, organization)
    assert (failed.step, failed.failure.kind) == (Step.CREATE_DATABASE, FailureClass.PROVIDER)
    await provision(server, organization, RecordingStepLog())


async def test_a_repair_leaves_an_older_database_to_the_upgrade(tenants: Tenants) -> None:
    organization = an_organization()
    await ready(tenants, organization)
    await ready(replace(tenants, migrations=NOTES_AND_AUDIT), organization)
    with tenants.as_member(organization) as member:
        assert member.execute("select revision from signpost.database").fetchall() == [("1",)]


async def test_failed_migrations_are_a_failure_of_the_server_with_their_last_error(tenants: Tenants) -> None:
    broken = replace(tenants, migrations=application("create table notes (id nothing)", "broken"))
    failed = await failure_of(broken.server(), an_organization())
    assert failed.failure.kind is FailureClass.PROVIDER
    assert failed.failure.error == 'psycopg.errors.UndefinedObject: type "nothing" does not exist'
    await ready(tenants, an_organization())


async def test_unfinished_databases_are_dropped_and_a_second_drop_does_nothing(tenants: Tenants) -> None:
    organization, kept = an_organization(), an_organization()
    server = await ready(tenants, kept)

    def break_off(_moment: str, step: Step) -> None:
        if step is Step.PREPARE:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        await provision(server, organization, RecordingStepLog(at=break_off))
    for _ in range(2):
        await drop(server, organization)
        assert tenants.names() == tenants.roles() == [kept.database]


@pytest.mark.parametrize(
    "use",
    [
        "insert into notes (text) values ('a note')",
        "update plans set name = 'other'",
        "delete from plans",
        "create table by_hand ()",
        "drop table notes",
        "drop schema signpost cascade",
    ],
)
async def test_a_used_database_is_never_dropped(tenants: Tenants, use: str) -> None:
    organization = an_organization()
    server = await ready(tenants, organization)
    tenants.execute(use, organization.database)
    with pytest.raises(StepFailedError) as failed:
        await drop(server, organization)
    assert failed.value.failure.kind is FailureClass.CONTENT
    assert tenants.names() == [organization.database]


async def test_a_database_of_another_role_is_neither_used_nor_dropped(tenants: Tenants) -> None:
    organization = an_organization()
    tenants.execute(f"create database {organization.database}")
    failed = await failure_of(tenants.server(), organization)
    assert failed.failure.kind is FailureClass.CONTENT
    with pytest.raises(StepFailedError):
        await drop(tenants.server(), organization)
    assert tenants.names() == [organization.database]


async def test_concurrent_relays_create_one_database_per_organization(tenants: Tenants) -> None:
    organization = an_organization()
    await asyncio.gather(*(ready(tenants, organization) for _ in range(3)))
    assert tenants.names() == [organization.database]


async def test_a_relay_without_its_lock_cannot_create_or_drop_anything(tenants: Tenants) -> None:
    organization = an_organization()
    end_sessions = (
        "select pg_terminate_backend(pid) from pg_stat_activity"
        f" where usename = '{PROVISIONER}' and datname = 'postgres'"
    )

    def lose_the_lock(moment: str, step: Step) -> None:
        if (moment, step) == ("started", Step.CREATE_DATABASE):
            tenants.execute(end_sessions)  # as the server does after IDLE_SECONDS

    with pytest.raises(StepFailedError) as failed:
        await provision(tenants.server(), organization, RecordingStepLog(at=lose_the_lock))
    assert failed.value.failure.kind is FailureClass.PROVIDER
    assert tenants.names() == []
