"""Results of one health check, and passwords."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from outbox_relay.provisioning.inspection import check
from outbox_relay.provisioning.model import Health, Organization
from outbox_relay.provisioning.provision import provision
from outbox_relay.provisioning.server import ProvisionServer
from shared.secrets import SecretKeys
from shared.vocabulary import HealthStatus
from tests.support.eventually import eventually
from tests.support.keys import KEY, KEYS
from tests.support.tenants import PROVISIONER, RecordingStepLog, Tenants, an_organization

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

NEW_KEY = bytes(range(32, 64))
NOWHERE = "postgresql+psycopg://provisioner@127.0.0.1:9/postgres"


async def found(tenants: Tenants, organization: Organization) -> Health:
    return await check(tenants.server(), organization)


@pytest.fixture
async def organization(tenants: Tenants) -> Organization:
    organization = an_organization()
    await provision(tenants.server(), organization, RecordingStepLog())
    return organization


async def test_a_healthy_database_has_revision_tables_and_size(tenants: Tenants, organization: Organization) -> None:
    health = await found(tenants, organization)
    assert (health.status, health.error, health.revision) == (HealthStatus.HEALTHY, None, "1")
    assert health.tables == 2
    assert (health.size_bytes or 0) > 1_000_000


async def test_a_dropped_database_is_lost(tenants: Tenants, organization: Organization) -> None:
    tenants.execute(f"drop database {organization.database}")
    assert await found(tenants, organization) == Health(HealthStatus.LOST, "there is no such database")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("drop table notes", "without public.notes"),
        ("drop schema signpost cascade", "a table or a privilege is missing (42P01)"),
        ("delete from signpost.database", "it has no revision"),
        ("revoke all on signpost.database from signpost_tenant", "a table or a privilege is missing (42501)"),
        ("update signpost.database set organization_id = gen_random_uuid()", "it belongs to another organization"),
    ],
)
async def test_a_database_that_members_cannot_use_is_damaged(
    tenants: Tenants, organization: Organization, damage: str, expected: str
) -> None:
    tenants.execute(damage, organization.database)
    assert await found(tenants, organization) == Health(HealthStatus.DAMAGED, expected)


async def test_a_closed_database_or_one_that_refuses_its_role_is_damaged(
    tenants: Tenants, organization: Organization
) -> None:
    name = organization.database
    tenants.execute(f"revoke connect on database {name} from {name}")
    assert await found(tenants, organization) == Health(HealthStatus.DAMAGED, "its role cannot connect")
    tenants.execute(f"alter database {name} allow_connections false")
    assert await found(tenants, organization) == Health(HealthStatus.DAMAGED, "the database is closed")
    await provision(tenants.server(), organization, RecordingStepLog())
    assert (await found(tenants, organization)).status is HealthStatus.HEALTHY


async def test_a_read_only_database_is_unreachable(tenants: Tenants, organization: Organization) -> None:
    tenants.execute(f"alter database {organization.database} set default_transaction_read_only = on")
    assert await found(tenants, organization) == Health(
        HealthStatus.UNREACHABLE, "the server accepts no read-write connections"
    )


async def test_a_database_is_unreachable_when_the_server_does_not_respond(organization: Organization) -> None:
    server = ProvisionServer(NOWHERE, KEYS, connections=2)
    assert await check(server, organization) == Health(HealthStatus.UNREACHABLE, "the server does not respond")


async def test_a_database_without_free_connections_is_unreachable(tenants: Tenants, organization: Organization) -> None:
    taken = []
    with suppress(psycopg.OperationalError):
        while True:
            taken.append(tenants.as_member(organization))
    try:
        assert len(taken) == 20
        health = await found(tenants, organization)
    finally:
        for connection in taken:
            connection.close()
    assert health == Health(HealthStatus.UNREACHABLE, "its role has no connections left")


async def test_a_database_of_another_revision_is_healthy(tenants: Tenants, organization: Organization) -> None:
    tenants.execute("update signpost.database set revision = 'other'", organization.database)
    health = await found(tenants, organization)
    assert (health.status, health.revision) == (HealthStatus.HEALTHY, "other")


async def test_passwords_are_required_and_stay_valid_until_the_next_provisioning_after_a_new_key(
    tenants: Tenants, organization: Organization
) -> None:
    both, only_new = SecretKeys({"new": NEW_KEY, **KEYS.by_id}), SecretKeys({"new": NEW_KEY})
    url = tenants.cluster.tcp_url("postgres", user=PROVISIONER)
    with passwords_asked_of(tenants):
        assert (await check(tenants.server(both, url=url), organization)).status is HealthStatus.HEALTHY
        assert (await check(tenants.server(only_new, url=url), organization)).error == "its role cannot connect"
        await provision(tenants.server(both, url=url), organization, RecordingStepLog())
        assert (await check(tenants.server(only_new, url=url), organization)).status is HealthStatus.HEALTHY
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(tenants.tcp_url(organization, KEY))


async def test_a_renewed_password_replaces_the_one_before_which_health_checks_accept_meanwhile(
    tenants: Tenants, organization: Organization
) -> None:
    url = tenants.cluster.tcp_url("postgres", user=PROVISIONER)
    renewed = replace(organization, password_number=1)
    with passwords_asked_of(tenants):
        assert (await check(tenants.server(url=url), renewed)).status is HealthStatus.HEALTHY
        await provision(tenants.server(url=url), renewed, RecordingStepLog())
        assert (await check(tenants.server(url=url), renewed)).status is HealthStatus.HEALTHY
        assert (await check(tenants.server(url=url), organization)).error == "its role cannot connect"


async def test_a_password_is_valid_for_one_organization_only(tenants: Tenants, organization: Organization) -> None:
    other = an_organization()
    await provision(tenants.server(), other, RecordingStepLog())
    mine_in_theirs = tenants.tcp_url(organization).replace(organization.database + ":", other.database + ":")
    with passwords_asked_of(tenants), pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(mine_in_theirs)


@contextmanager
def passwords_asked_of(tenants: Tenants) -> Iterator[None]:
    """Make the server require organizations' passwords on loopback, as in production."""
    access = Path(tenants.cluster.folder) / "data" / "pg_hba.conf"
    before = access.read_text()
    # Since PostgreSQL 16, the creator of a role is a member of it.
    provisioner = f"host all {PROVISIONER} 127.0.0.1/32 trust"
    access.write_text(f"{provisioner}\nhost all +signpost_tenant 127.0.0.1/32 scram-sha-256\n{before}")
    try:
        reload(tenants, rules=1)
        yield
    finally:
        access.write_text(before)
        reload(tenants, rules=0)


def reload(tenants: Tenants, *, rules: int) -> None:
    tenants.execute("select pg_reload_conf()")
    asked = "select count(*) from pg_hba_file_rules where auth_method = 'scram-sha-256'"
    eventually(lambda: tenants.execute(asked) == [(rules,)])
