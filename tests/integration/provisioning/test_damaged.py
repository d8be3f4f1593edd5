"""Repairs and drops of databases that were changed by hand."""

import pytest

from outbox_relay.model import FailureClass
from outbox_relay.provisioning.model import Step
from tests.support.tenants import Tenants, an_organization, failure_of, ready

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("drop table notes, plans", "without public.notes, public.plans, which must be restored from a backup"),
        ("drop schema signpost cascade", "without schema signpost, which must be restored from a backup"),
    ],
)
async def test_a_repair_does_not_recreate_dropped_tables_and_ends_as_dead(
    tenants: Tenants, damage: str, expected: str
) -> None:
    organization = an_organization()
    server = await ready(tenants, organization)
    tenants.execute(damage, organization.database)
    failed = await failure_of(server, organization)
    assert (failed.step, failed.failure.kind, failed.failure.error) == (Step.PREPARE, FailureClass.CONTENT, expected)
