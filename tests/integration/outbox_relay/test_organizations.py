"""Organizations from registration to database, with the relay's components."""

import asyncio
from collections.abc import Iterator
from uuid import UUID

import pytest

from devstack.cluster import Cluster
from shared.vocabulary import database_name_of
from tests.support.api import ApiUnderTest, api_on, shared_api
from tests.support.databases import Database, fresh_database
from tests.support.organizations import (
    AFTER_ACTIVATION,
    ALL_SETTLED,
    BEFORE_ACTIVATION,
    CLINIC,
    STEPS,
    Organizer,
    organization_of,
    rows,
    templates_of,
)
from tests.support.outbox import Outbox
from tests.support.relaying import relaying, until
from tests.support.relays import relay_once
from tests.support.smtp_server import SmtpServer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

API_SETTINGS = BEFORE_ACTIVATION

REFUSED = "select 1 from providers where name like 'provision:%' and consecutive_opens >= 1"


@pytest.fixture(scope="module")
def outbox(cluster: Cluster) -> Iterator[Outbox]:
    """One database for all tests. Each test uses its own people."""
    with fresh_database(cluster) as database:
        yield Outbox(database)


@pytest.fixture
def database(outbox: Outbox) -> Database:
    return outbox.database


async def provisioned(outbox: Outbox, organizer: Organizer, query: str = ALL_SETTLED) -> None:
    """Run a relay that may create databases until the query finds a row."""
    async with SmtpServer() as server, relaying(outbox, server, PROVISION_DATABASE_URL=organizer.url) as parts:
        await until(outbox, parts, query, hasten=True)


async def refused(outbox: Outbox, organizer: Organizer) -> None:
    """Run a relay until the server has rejected a request, as configured. The server accepts later ones."""
    try:
        await provisioned(outbox, organizer, REFUSED)
    finally:
        organizer.allow(create=True)


def registered(api: ApiUnderTest, email: str) -> UUID:
    return api.registered(email=email, organization=CLINIC)


async def test_an_organization_gets_its_database_before_its_founder_gets_a_code(
    api: ApiUnderTest, outbox: Outbox, organizer: Organizer
) -> None:
    ada = registered(api, "ada@example.org")
    assert templates_of(outbox, ada) == ["organization"]
    await provisioned(outbox, organizer)
    organization = organization_of(outbox, ada)
    assert (organization["status"], organization["health"]) == ("ready", "healthy")
    assert organization["database_name"] == database_name_of(organization["id"])
    assert organization["database_name"] in organizer.databases()
    assert templates_of(outbox, ada) == ["organization", "activation"]
    steps = rows(outbox, "select * from organization_steps where organization_id = %s", organization["id"])
    assert {step["step"] for step in steps if step["done_at"]} == STEPS


async def test_an_activation_creates_the_database_of_a_planned_organization_and_sends_no_further_code(
    outbox: Outbox, organizer: Organizer
) -> None:
    with shared_api(outbox.database, **AFTER_ACTIVATION) as api:
        ann, stranger = (api.registered(email="ann@example.org", organization=CLINIC) for _ in range(2))
        assert api.activate(ann).status_code == 200
        await provisioned(outbox, organizer)
        organization, other = organization_of(outbox, ann), organization_of(outbox, stranger)
        assert (organization["status"], organization["health"]) == ("ready", "healthy")
        assert organization["database_name"] in organizer.databases()
        assert (other["status"], other["database_name"] in organizer.databases()) == ("planned", False)
        assert sorted(templates_of(outbox, ann)) == ["activation", "organization", "welcome"]
        assert api.look_up(ann).json["organization"]["status"] == "ready"


async def test_the_lifetime_of_the_code_starts_with_its_message(
    api: ApiUnderTest, outbox: Outbox, organizer: Organizer
) -> None:
    bea = registered(api, "bea@example.org")
    before = "update tokens set created_at = now() - interval '2 days', expires_at = now() - interval '1 day'"
    outbox.execute(f"{before} where user_id = %s", bea)
    await provisioned(outbox, organizer)
    [token] = api.tokens(bea)
    [follow_up] = [message for message in api.messages(bea) if message.template == "activation"]
    assert token.expires_at == follow_up.expires_at > follow_up.created_at
    assert api.activate(bea).status_code == 200


async def test_the_follow_up_message_has_the_usual_fallback(outbox: Outbox, organizer: Organizer) -> None:
    with api_on(outbox.database, **API_SETTINGS, ACTIVATION_FALLBACK="sms", ACTIVATION_FALLBACK_SECONDS="90") as api:
        cay = api.registered(email="cay@example.org", phone="+447400123456", organization=CLINIC)
    await provisioned(outbox, organizer)
    [follow_up] = [message for message in api.messages(cay) if message.template == "activation"]
    assert (follow_up.fallback_channel, (follow_up.fallback_at - follow_up.created_at).total_seconds()) == ("sms", 90)


async def test_a_relay_without_a_provisioning_server_claims_no_organizations(api: ApiUnderTest, outbox: Outbox) -> None:
    dee = registered(api, "dee@example.org")
    with api_on(outbox.database) as other:
        eve = other.registered(email="eve@example.org")
    sent = f"select from outbox_messages where user_id = '{eve}' and status = 'sent'"
    async with SmtpServer() as server, relaying(outbox, server) as parts:
        await until(outbox, parts, f"select 1 where exists ({sent})")
    [message] = api.messages(dee)
    assert (message.status, message.attempt, message.lost_leases, message.lease_token) == ("pending", 0, 0, None)


async def test_a_decoy_becomes_ready_without_a_database(
    api: ApiUnderTest, outbox: Outbox, organizer: Organizer
) -> None:
    api.activated(email="fay@example.org")
    stranger = registered(api, "fay@example.org")
    before = api.look_up(stranger).json
    await provisioned(outbox, organizer)
    organization = organization_of(outbox, stranger)
    assert organization["database_name"] not in organizer.databases()
    assert (before["organization"]["status"], organization["status"]) == ("provisioning", "ready")
    assert api.look_up(stranger).json["organization"]["status"] == "ready"
    assert templates_of(outbox, stranger) == ["organization", "account_exists"]
    assert api.activate(stranger).status_code == 400


async def test_once_provisions_and_sends_the_follow_up_message(
    api: ApiUnderTest, outbox: Outbox, organizer: Organizer
) -> None:
    lee = registered(api, "lee@example.org")
    assert await once(outbox, organizer) == 0
    assert [(message.template, message.status) for message in api.messages(lee)] == [
        ("activation", "sent"),
        ("organization", "sent"),
    ]


async def test_once_reports_a_deferred_organization(api: ApiUnderTest, outbox: Outbox, organizer: Organizer) -> None:
    mia = registered(api, "mia@example.org")
    organizer.allow(create=False)
    try:
        assert await once(outbox, organizer) == 1
    finally:
        organizer.allow(create=True)
    [message] = api.messages(mia)
    assert (message.status, message.attempt) == ("pending", 0)
    await provisioned(outbox, organizer)


async def once(outbox: Outbox, organizer: Organizer) -> int:
    async with SmtpServer() as server:
        follow_up = {
            "EMAIL_PROVIDERS": f"smtp://127.0.0.1:{server.port}?tls=none",
            "PROVISION_DATABASE_URL": organizer.url,
        }
        return await asyncio.to_thread(relay_once, outbox.database, **follow_up)


async def test_a_refusing_server_costs_no_attempt(api: ApiUnderTest, outbox: Outbox, organizer: Organizer) -> None:
    organizer.allow(create=False)
    people = [registered(api, f"gus{number}@example.org") for number in range(3)]
    await refused(outbox, organizer)
    for person in people:
        [message] = api.messages(person)
        assert (message.status, message.attempt) == ("pending", 0)
    await provisioned(outbox, organizer)
    assert {organization_of(outbox, person)["status"] for person in people} == {"ready"}


async def test_a_decoy_waits_like_others_while_the_server_refuses(
    api: ApiUnderTest, outbox: Outbox, organizer: Organizer
) -> None:
    api.activated(email="hal@example.org")
    organizer.allow(create=False)
    real = registered(api, "ida@example.org")
    stranger = registered(api, "hal@example.org")
    await refused(outbox, organizer)
    assert {organization_of(outbox, person)["status"] for person in (real, stranger)} == {"provisioning"}
    await provisioned(outbox, organizer)


async def test_a_decoy_alone_is_refused_like_a_real_organization(
    api: ApiUnderTest, outbox: Outbox, organizer: Organizer
) -> None:
    api.activated(email="lea@example.org")
    organizer.allow(create=False)
    stranger = registered(api, "lea@example.org")
    await refused(outbox, organizer)
    [message] = [each for each in api.messages(stranger) if each.channel == "provision"]
    assert (message.status, message.attempt, message.last_error_class) == ("pending", 0, "provider")
    await provisioned(outbox, organizer)
    assert organization_of(outbox, stranger)["status"] == "ready"


async def test_a_follow_up_message_that_waits_for_a_lock_blocks_no_other_message(
    api: ApiUnderTest, outbox: Outbox, organizer: Organizer
) -> None:
    jay = registered(api, "jay@example.org")
    kim = api.registered(email="kim@example.org")
    waiting = (
        "select pid, query_start from pg_stat_activity"
        " where wait_event_type = 'Lock' and query like '%signpost_provisioned%' and datname = current_database()"
    )
    sent = f"select 1 from outbox_messages where user_id = '{kim}' and status = 'sent'"
    outbox.execute("update outbox_messages set due_at = now() + interval '1 hour' where user_id = %s", kim)
    with outbox.database.connect() as holder:
        holder.execute("begin")
        holder.execute("select from users where id = %s for update", [jay])
        async with SmtpServer() as server, relaying(outbox, server, PROVISION_DATABASE_URL=organizer.url) as parts:
            await until(outbox, parts, waiting)
            same_statement = outbox.execute(waiting)
            await until(outbox, parts, sent, hasten=True)
            assert outbox.execute(waiting) == same_statement
            holder.execute("rollback")
            await until(outbox, parts, ALL_SETTLED)
    assert organization_of(outbox, jay)["status"] == "ready"
