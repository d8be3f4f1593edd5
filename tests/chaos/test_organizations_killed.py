"""Kill relays at each provisioning step: every organization ends ready or cleanly failed, with no orphan.

The relay kills its own process as soon as the step log contains the chosen step.
"""

import sys
from collections.abc import Iterator
from itertools import product
from uuid import UUID

import pytest

from devstack.cluster import QUICK_AND_FORGETFUL, Cluster, embedded_binaries
from outbox_relay.provisioning.model import Step
from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.organizations import (
    AFTER_ACTIVATION,
    BEFORE_ACTIVATION,
    CLINIC,
    Organizer,
    organization_of,
    organizer_on,
    templates_of,
)
from tests.support.outbox import Outbox
from tests.support.relaying import deliver_all
from tests.support.relays import running_relay

DYING = """
import os, signal, sys
from outbox_relay.organizations.store import LeasedStepLog
moment, step = sys.argv[1:]
write = getattr(LeasedStepLog, moment)
async def write_and_die(self, at):
    await write(self, at)
    if at.value == step:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(LeasedStepLog, moment, write_and_die)
sys.argv[1:] = ["run"]
from outbox_relay.cli import main
main()
"""
DIE_SECONDS = 60
EXPIRE_LEASES = "update outbox_messages set leased_until = now() where status = 'pending' and lease_token is not null"
ORGANIZATIONS = 20
ALLOWED_CONNECTIONS = 12


@pytest.fixture
def organizer(cluster: Cluster) -> Iterator[Organizer]:
    with organizer_on(cluster) as organizer:
        yield organizer


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with api_on(database, **BEFORE_ACTIVATION) as api:
        yield api


def killed(database: Database, sink: MailSink, organizer: Organizer, moment: str, step: Step) -> None:
    """Run a relay until it dies at that step, then end its leases."""
    command = (sys.executable, "-c", DYING, moment, step.value)
    environment = {"EMAIL_PROVIDERS": sink.provider, "PROVISION_DATABASE_URL": organizer.url}
    with running_relay(database, command=command, **environment) as relay:
        assert relay.process.wait(DIE_SECONDS) == -9
    Outbox(database).execute(EXPIRE_LEASES)


@pytest.mark.parametrize("death", list(product(("started", "completed"), Step)))
def test_another_relay_completes_the_work_of_a_relay_killed_at_any_step(
    api: ApiUnderTest, outbox: Outbox, sink: MailSink, organizer: Organizer, death: tuple[str, Step]
) -> None:
    ada = api.registered(organization=CLINIC)
    killed(outbox.database, sink, organizer, *death)
    assert templates_of(outbox, ada) == ["organization"]
    assert api.look_up(ada).json["organization"]["status"] == "provisioning"
    deliver_all(outbox, sink, PROVISION_DATABASE_URL=organizer.url)
    organization = organization_of(outbox, ada)
    assert (organization["status"], organizer.databases()) == ("ready", {organization["database_name"]})
    assert templates_of(outbox, ada) == ["organization", "activation"]
    assert [message.attempt for message in api.messages(ada)] == [1, 1]


@pytest.mark.parametrize("death", [("started", Step.CREATE_DATABASE), ("completed", Step.PREPARE)])
def test_a_founding_after_the_activation_survives_a_killed_relay(
    outbox: Outbox, sink: MailSink, organizer: Organizer, death: tuple[str, Step]
) -> None:
    with api_on(outbox.database, **AFTER_ACTIVATION) as api:
        ada = api.activated(organization=CLINIC)
        killed(outbox.database, sink, organizer, *death)
        assert api.look_up(ada).json["organization"]["status"] == "provisioning"
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, PROVISION_DATABASE_URL=organizer.url):
            eventually(lambda: organization_of(outbox, ada)["status"] == "ready", seconds=60)
    organization = organization_of(outbox, ada)
    assert (organization["status"], organizer.databases()) == ("ready", {organization["database_name"]})
    assert sorted(templates_of(outbox, ada)) == ["activation", "organization", "welcome"]


def test_an_organization_that_kills_every_relay_fails_and_leaves_no_database(
    api: ApiUnderTest, outbox: Outbox, sink: MailSink, organizer: Organizer
) -> None:
    ada = api.registered(organization=CLINIC)
    for _ in range(5):
        killed(outbox.database, sink, organizer, "completed", Step.PREPARE)
    environment = {"EMAIL_PROVIDERS": sink.provider, "PROVISION_DATABASE_URL": organizer.url}
    with running_relay(outbox.database, PROVISION_GRACE_HOURS="0", RELAY_MAINTENANCE_SECONDS="1", **environment):
        eventually(lambda: organization_of(outbox, ada)["dropped_at"], seconds=60)
    assert (organization_of(outbox, ada)["status"], organizer.databases()) == ("failed", set())
    assert templates_of(outbox, ada) == ["organization", "organization_failed"]


def test_twenty_organizations_are_provisioned_with_twelve_connections(
    api: ApiUnderTest, outbox: Outbox, sink: MailSink
) -> None:
    """Without the limit, both relays together would open four times as many connections."""
    emails = [f"ada{number}@example.org" for number in range(ORGANIZATIONS)]
    people = [api.registered(email=email, organization=CLINIC) for email in emails]
    narrow = QUICK_AND_FORGETFUL | {"max_connections": str(ALLOWED_CONNECTIONS)}
    with Cluster(embedded_binaries(), settings=narrow, with_tcp=True) as cluster, organizer_on(cluster) as organizer:
        environment = {
            "EMAIL_PROVIDERS": sink.provider,
            "PROVISION_DATABASE_URL": organizer.url,
            "PROVISION_CONNECTIONS": str(2 * ALLOWED_CONNECTIONS),
        }
        with running_relay(outbox.database, **environment), running_relay(outbox.database, **environment):
            eventually(lambda: all_are_ready(outbox, people), seconds=180)
        assert len(organizer.databases()) == ORGANIZATIONS
    attempts = outbox.execute("select distinct attempt from outbox_messages where channel = 'provision'")
    assert attempts == [(1,)]


def all_are_ready(outbox: Outbox, people: list[UUID]) -> bool:
    return outbox.number("select count(*) from organizations where status = 'ready'") == len(people)
