"""Settlements of provisioning: follow-up messages and leases."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from outbox_relay.model import ClaimedMessage, Deferred, Settlement
from outbox_relay.organizations.store import LeaseLostError, OrganizationStore
from outbox_relay.outbox.settle import PROVISIONING, SettlementStore
from outbox_relay.provisioning.model import Organization, Step
from tests.support.api import ApiUnderTest
from tests.support.connections import LostReplyConnection
from tests.support.organizations import (
    BEFORE_ACTIVATION,
    CLINIC,
    DONE,
    GIVEN_UP,
    claim_work,
    organization_of,
    rows,
    settle_work,
    status_of,
    templates_of,
)
from tests.support.outbox import EXPIRED, Outbox
from tests.support.settling import a_batcher

API_SETTINGS = BEFORE_ACTIVATION


def test_status_and_code_are_written_in_one_transaction(outbox: Outbox, ada: UUID) -> None:
    settle_work(outbox, claim_work(outbox), DONE)
    assert status_of(outbox, ada) == "ready"
    [work, follow_up] = rows(outbox, "select * from outbox_messages where user_id = %s order by created_at", ada)
    assert (work["status"], follow_up["template"], follow_up["status"]) == ("sent", "activation", "pending")
    assert follow_up["payload"].keys() == {"name", "key_id"}
    assert follow_up["created_at"] == organization_of(outbox, ada)["ready_at"]


def test_an_organization_stays_unchanged_if_its_code_cannot_be_enqueued(outbox: Outbox, ada: UUID) -> None:
    message = claim_work(outbox)
    outbox.execute("update outbox_messages set payload = jsonb_set(payload, '{token_id}', '\"none\"')")
    with pytest.raises(psycopg.DataError):
        settle_work(outbox, message, DONE)
    assert (status_of(outbox, ada), outbox.row(message.id).status) == ("provisioning", "pending")


def test_a_relay_without_the_lease_enqueues_no_second_code(outbox: Outbox, ada: UUID) -> None:
    late = claim_work(outbox, lease=EXPIRED)
    settle_work(outbox, claim_work(outbox), DONE)
    assert not settle_work(outbox, late, DONE)
    assert templates_of(outbox, ada) == ["organization", "activation"]


def test_a_relay_without_the_lease_cannot_undo_a_failure(outbox: Outbox, ada: UUID) -> None:
    late = claim_work(outbox, lease=EXPIRED)
    assert settle_work(outbox, claim_work(outbox), GIVEN_UP)
    assert not settle_work(outbox, late, DONE)
    assert (status_of(outbox, ada), outbox.row(late.id).status) == ("failed", "dead")


def test_a_relay_without_the_lease_cannot_fail_a_ready_organization(outbox: Outbox, ada: UUID) -> None:
    late = claim_work(outbox, lease=EXPIRED)
    settle_work(outbox, claim_work(outbox), DONE)
    assert not settle_work(outbox, late, GIVEN_UP)
    assert status_of(outbox, ada) == "ready"


def test_a_message_that_is_claimed_again_is_provisioned_again(outbox: Outbox, ada: UUID) -> None:
    late = claim_work(outbox, lease=EXPIRED)
    again = claim_work(outbox)

    async def work(database: Any) -> list[ClaimedMessage]:
        batcher = a_batcher(SettlementStore(database, PROVISIONING))
        batcher.hold([late])
        batcher.put(late, DONE)
        return list(batcher.hold([again]))

    assert outbox.with_database(work) == [again]
    assert status_of(outbox, ada) == "provisioning"


def test_a_settlement_counts_although_the_response_was_lost(outbox: Outbox, ada: UUID) -> None:
    message = claim_work(outbox)

    async def settle() -> frozenset[UUID]:
        database = LostReplyConnection(outbox.database.relay_url, "test")
        try:
            return await SettlementStore(database, PROVISIONING).settle([Settlement(message, DONE)])
        finally:
            await database.close()

    assert asyncio.run(settle()) == frozenset()
    assert status_of(outbox, ada) == "ready"
    assert templates_of(outbox, ada) == ["organization", "activation"]


def test_a_step_is_recorded_only_with_the_lease(outbox: Outbox, ada: UUID) -> None:
    late = claim_work(outbox, lease=EXPIRED)
    claim_work(outbox)
    row = organization_of(outbox, ada)
    organization = Organization(row["id"])

    async def write(database: Any) -> None:
        await OrganizationStore(database).step_log(late, organization).started(Step.CREATE_DATABASE)

    with pytest.raises(LeaseLostError):
        outbox.with_database(write)
    assert rows(outbox, "select * from organization_steps") == []


def test_a_failed_organization_notifies_its_founder_without_a_code(
    api: ApiUnderTest, outbox: Outbox, ada: UUID
) -> None:
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    assert status_of(outbox, ada) == "failed"
    assert templates_of(outbox, ada) == ["organization", "organization_failed"]
    assert api.look_up(ada).json["organization"]["status"] == "failed"


def test_a_failed_decoy_sends_no_message(api: ApiUnderTest, outbox: Outbox) -> None:
    api.activated()
    stranger = api.registered(organization=CLINIC)
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    assert status_of(outbox, stranger) == "failed"
    assert templates_of(outbox, stranger) == ["organization"]


def test_a_deferral_enqueues_no_message(outbox: Outbox, ada: UUID) -> None:
    settle_work(outbox, claim_work(outbox), Deferred(timedelta(seconds=5)))
    assert (status_of(outbox, ada), templates_of(outbox, ada)) == ("provisioning", ["organization"])


def requeue(outbox: Outbox) -> None:
    """Do what an operator's requeue does to the row."""
    outbox.execute(
        "update outbox_messages set status = 'pending', dead_reason = null, settled_at = null, due_at = now(),"
        " attempt = 0 where channel = 'provision'"
    )


def test_a_requeued_organization_is_provisioned_again(outbox: Outbox, ada: UUID) -> None:
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    requeue(outbox)
    message = claim_work(outbox)
    assert outbox.with_database(lambda database: OrganizationStore(database).start(message)) is not None
    assert status_of(outbox, ada) == "provisioning"
    settle_work(outbox, message, DONE)
    assert (status_of(outbox, ada), organization_of(outbox, ada)["failed_at"]) == ("ready", None)


def test_a_requeued_organization_without_founder_is_not_provisioned(outbox: Outbox, ada: UUID) -> None:
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    outbox.execute("delete from users where id = %s", ada)
    requeue(outbox)
    message = claim_work(outbox)
    assert outbox.with_database(lambda database: OrganizationStore(database).start(message)) is None
    assert status_of(outbox, ada) == "failed"


def test_an_organization_is_not_provisioned_during_its_drop(outbox: Outbox, ada: UUID) -> None:
    settle_work(outbox, claim_work(outbox), GIVEN_UP)
    outbox.execute("update organizations set drop_until = now() + interval '1 minute'")
    requeue(outbox)
    message = claim_work(outbox)
    assert outbox.with_database(lambda database: OrganizationStore(database).start(message)) is None
    assert status_of(outbox, ada) == "failed"
