"""An organization's way from its founding to its members' door, through real processes."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from devstack.cluster import Cluster
from tests.support.databases import fresh_database
from tests.support.eventually import eventually
from tests.support.inbox import Inbox, running_inbox
from tests.support.organizations import CLINIC, Organizer, organizer_on
from tests.support.outbox import Outbox
from tests.support.processes import running_api
from tests.support.relays import running_relay

PASSWORD = "four quiet words here"


class Town:
    """Everything, running: API, relay, mail server, and a server for organizations."""

    def __init__(self, ending: ExitStack, cluster: Cluster, inbox: Inbox) -> None:
        database = ending.enter_context(fresh_database(cluster))
        self.outbox, self.inbox = Outbox(database), inbox
        self.organizer: Organizer = ending.enter_context(organizer_on(cluster))
        api = ending.enter_context(running_api(database))
        self.relay = ending.enter_context(
            running_relay(database, EMAIL_PROVIDERS=inbox.email_provider, PROVISION_DATABASE_URL=self.organizer.url)
        )
        self.client = ending.enter_context(httpx.Client(base_url=api.base_url, timeout=30))

    def found(self, email: str) -> Any:
        """Register with an organization; return the answer after having waited for the code to go."""
        body = {"email": email, "password": PASSWORD, "organization": CLINIC}
        answer = self.client.post("/v1/registrations", json=body, headers={"Prefer": "wait=20"})
        assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=20")
        return answer.json()

    def activate(self, registration: Any, email: str) -> None:
        [mail] = self.inbox.wait_for(email)
        body = {"registration_id": registration["id"], "code": mail.code}
        assert self.client.post("/v1/activations", json=body).status_code == 200

    def sign_in(self, email: str) -> httpx.Response:
        return self.client.post("/v1/sessions", json={"email": email, "password": PASSWORD})


@pytest.fixture(scope="module")
def town(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with ExitStack() as ending:
        inbox = ending.enter_context(running_inbox(tmp_path_factory.mktemp("inbox")))
        yield Town(ending, cluster, inbox)


def test_whoever_waits_is_told_that_the_organization_is_ready_and_the_code_gone(town: Town) -> None:
    registration = town.found("ada@example.org")
    assert registration["organization"] == {"name": "Clinic", "status": "ready"}
    assert registration["email_confirmation_sent"]
    town.activate(registration, "ada@example.org")
    assert town.sign_in("ada@example.org").status_code == 201
    assert "signpost_provisioning_step_duration_seconds_count" in town.relay.get("/metrics").text
    assert "Clinic" not in town.relay.log_text()


def test_a_database_dropped_by_hand_closes_the_door_until_it_is_back(town: Town) -> None:
    town.activate(town.found("bea@example.org"), "bea@example.org")
    [(name,)] = town.outbox.execute("select database_name from organizations order by created_at desc limit 1")
    town.organizer.drop_by_hand(name)
    town.outbox.execute("update organizations set health = 'lost', checked_at = now() where database_name = %s", name)
    assert town.sign_in("bea@example.org").status_code == 503
    eventually(lambda: town.sign_in("bea@example.org").status_code == 201)
    assert name in town.organizer.databases()
