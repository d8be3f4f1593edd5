"""Organizations at the application's first revision, and `tenants migrate`, which upgrades them to the second."""

import os
import subprocess

from outbox_relay.provisioning.model import Organization
from outbox_relay.provisioning.provision import provision
from tests.support.application import NOTES_AND_AUDIT, setting_of
from tests.support.processes import SCRIPTS
from tests.support.tenants import RecordingStepLog, Tenants, an_organization

MIGRATE = (str(SCRIPTS / "tenants"), "migrate", "--at-once", "2")


async def provisioned(tenants: Tenants, count: int) -> list[Organization]:
    organizations = [an_organization() for _ in range(count)]
    server = tenants.server()
    for organization in organizations:
        await provision(server, organization, RecordingStepLog())
    return organizations


def migrated(tenants: Tenants, **environment: str) -> "subprocess.CompletedProcess[str]":
    environment = migrate_environment(tenants) | environment
    return subprocess.run(MIGRATE, env=environment, stdout=subprocess.PIPE, text=True, check=False)


def migrate_environment(tenants: Tenants) -> dict[str, str]:
    setting = setting_of(NOTES_AND_AUDIT)
    return os.environ | {"PROVISION_DATABASE_URL": tenants.url, "ORGANIZATION_MIGRATIONS": setting}


def revisions(tenants: Tenants, organizations: list[Organization]) -> list[str]:
    query = "select revision from signpost.database"
    return [tenants.execute(query, organization.database)[0][0] for organization in organizations]
