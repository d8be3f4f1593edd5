"""Relays killed before each statement of provisioning: another relay completes or drops the database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devstack.cluster import Cluster
from outbox_relay.provisioning.inspection import check
from outbox_relay.provisioning.model import Organization
from outbox_relay.provisioning.provision import drop, provision
from shared.vocabulary import HealthStatus
from tests.support.eventually import eventually
from tests.support.provision_and_die import killed_at
from tests.support.tenants import PROVISIONER, RecordingStepLog, Tenants, an_organization, ready, tenants_on

MOST_STATEMENTS = 60

WHO_VACUUMS = "select pid from pg_stat_activity where backend_type = 'autovacuum worker' and datname = '{}'"
SLOW_TO_VACUUM = """
create table slow with (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
                        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)
    as select number, repeat('x', 500) as words from generate_series(1, 20000) as number;
delete from slow
"""


@pytest.fixture(scope="module")
def tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield tenants


def test_each_organization_ends_ready_or_dropped_wherever_its_relay_was_killed(tenants: Tenants) -> None:
    asyncio.run(provision(tenants.server(), an_organization(), RecordingStepLog()))  # creates the template
    tenants.clean()
    killed_before = []
    for number in range(MOST_STATEMENTS):
        finished, dropped = an_organization(), an_organization()
        words = killed_at(tenants.url, finished, number)
        if words is None:
            break
        killed_before.append(words)
        killed_at(tenants.url, dropped, number)
        asyncio.run(finish(tenants, finished, dropped))
        assert tenants.names() == tenants.roles() == [finished.database], f"killed before {words}"
        tenants.clean()
    assert ran_in_order(killed_before, ["create role", "grant", "create database", "revoke all", "alter database"])
    assert ran_in_order(
        killed_before, ["update signpost.database set organization_id", "update signpost.database set checked_at"]
    )


def test_a_used_database_of_a_removed_organization_is_dropped_wherever_its_relay_was_killed(tenants: Tenants) -> None:
    tenants.clean()
    killed_before = []
    for number in range(MOST_STATEMENTS):
        removed = an_organization()
        server = asyncio.run(ready(tenants, removed))
        with tenants.as_member(removed) as member:
            member.execute("insert into notes (text) values ('a note')")
            words = killed_at(tenants.url, removed, number, is_removed=True)
        asyncio.run(drop(server, removed, is_removed=True))
        assert tenants.names() == tenants.roles() == [], f"killed before {words}"
        if words is None:
            break
        killed_before.append(words)
    order = ["alter database", "grant", "select pg_terminate_backend", "drop database", "drop role"]
    assert ran_in_order([words.strip() for words in killed_before], order)


def test_the_template_is_completed_after_a_kill_at_any_statement(tenants: Tenants) -> None:
    killed_before = []
    for number in range(MOST_STATEMENTS):
        tenants.drop_templates()
        words = killed_at(tenants.url, an_organization(), number)
        assert words is not None
        killed_before.append(words)
        organization = an_organization()
        asyncio.run(provision(tenants.server(), organization, RecordingStepLog()))
        tenants.clean()
        if words.startswith("alter database") and "is_template" in words:
            break
    assert ran_in_order(killed_before, ["drop database", "create database", "revoke all", "alter database"])


def test_an_unfinished_template_is_dropped_during_autovacuum(tenants: Tenants) -> None:
    tenants.drop_templates()
    name = tenants.migrations.template
    tenants.execute(f"create database {name} owner {PROVISIONER}")
    tenants.execute(SLOW_TO_VACUUM, name)
    with vacuumed_often(tenants):
        eventually(lambda: tenants.execute(WHO_VACUUMS.format(name)))
        asyncio.run(provision(tenants.server(), an_organization(), RecordingStepLog()))
    tenants.clean()


@contextmanager
def vacuumed_often(tenants: Tenants) -> Iterator[None]:
    """Run autovacuum every second."""
    tenants.execute("alter system set autovacuum_naptime = 1")
    tenants.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        tenants.execute("alter system reset autovacuum_naptime")
        tenants.execute("select pg_reload_conf()")


async def finish(tenants: Tenants, finished: Organization, dropped: Organization) -> None:
    server = tenants.server()
    await provision(server, finished, RecordingStepLog())
    assert (await check(server, finished)).status is HealthStatus.HEALTHY
    await drop(server, dropped)


def ran_in_order(statements: list[str], beginnings: list[str]) -> bool:
    """Return whether statements with these beginnings ran in this order."""
    rest = iter(statements)
    return all(any(words.startswith(beginning) for words in rest) for beginning in beginnings)
