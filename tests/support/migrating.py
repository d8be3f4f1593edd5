"""Organizations at an earlier schema revision, and `tenants migrate`, which upgrades them."""

import os
import subprocess
import sys

from outbox_relay.provisioning.model import Organization
from outbox_relay.provisioning.provision import provision
from tests.support.tenants import RecordingStepLog, Tenants, an_organization

MIGRATE = (sys.executable, "-m", "tenants", "migrate", "--at-once", "2")
BACK = "drop table audit; update schema_revision set version_num = '0001'"


async def older(tenants: Tenants, count: int) -> list[Organization]:
    organizations = [an_organization() for _ in range(count)]
    for organization in organizations:
        await provision(tenants.server(), organization, RecordingStepLog())
        tenants.execute(BACK, organization.database)
    return organizations


def migrated(tenants: Tenants) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(MIGRATE, env=migrate_environment(tenants), stdout=subprocess.PIPE, text=True, check=False)


def migrate_environment(tenants: Tenants) -> dict[str, str]:
    return os.environ | {"PROVISION_DATABASE_URL": tenants.url}


def revisions(tenants: Tenants, organizations: list[Organization]) -> list[str]:
    query = "select version_num from schema_revision"
    return [tenants.execute(query, organization.database)[0][0] for organization in organizations]
