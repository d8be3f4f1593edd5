"""Organizations from registration to sign-in, with real processes."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from devstack.cluster import Cluster
from tests.support.application import NOTES, setting_of
from tests.support.databases import fresh_database
from tests.support.eventually import eventually
from tests.support.inbox import Inbox, running_inbox
from tests.support.organizations import BEFORE_ACTIVATION, CLINIC, Organizer, organizer_on
from tests.support.outbox import Outbox
from tests.support.processes import completed, running_api
from tests.support.relay_group import resume, stop
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

PASSWORD = "four quiet words here"


class System:
    """All processes: API, relay, mail server, and the database server of the organizations."""

    def __init__(self, ending: ExitStack, cluster: Cluster, inbox: Inbox) -> None:
        database = ending.enter_context(fresh_database(cluster))
        self.outbox, self.inbox = Outbox(database), inbox
        self.organizer: Organizer = ending.enter_context(organizer_on(cluster))
        self.organizer.drop_templates()
        api = ending.enter_context(running_api(database, **BEFORE_ACTIVATION))
        self.relay = ending.enter_context(
            running_relay(
                database,
                EMAIL_PROVIDERS=inbox.email_provider,
                PROVISION_DATABASE_URL=self.organizer.url,
                ORGANIZATION_MIGRATIONS=setting_of(NOTES),
            )
        )
        self.client = ending.enter_context(httpx.Client(base_url=api.base_url, timeout=30))

    def register(self, email: str) -> Any:
        """Register with an organization, wait until the code is sent, and return the response."""
        body = {"email": email, "password": PASSWORD, "organization": CLINIC}
        response = self.client.post("/v1/registrations", json=body, headers={"Prefer": "wait=20"})
        assert (response.status_code, response.headers["Preference-Applied"]) == (202, "wait=20")
        return response.json()

    def activate(self, registration: Any, email: str) -> None:
        [mail] = self.inbox.wait_for(email)
        body = {"registration_id": registration["id"], "code": mail.code}
        assert self.client.post("/v1/activations", json=body).status_code == 200

    def outboxctl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {"DATABASE_URL": self.outbox.database.console_url}
        return completed(("outboxctl", "organizations", *arguments), environment)

    @contextmanager
    def relay_stopped(self) -> Iterator[None]:
        """Stop the relay during the block, so that it repairs nothing."""
        stop(self.relay)
        try:
            yield
        finally:
            resume(self.relay)

    def sign_in(self, email: str) -> httpx.Response:
        return self.client.post("/v1/sessions", json={"email": email, "password": PASSWORD})


@pytest.fixture(scope="module")
def system(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with ExitStack() as ending:
        inbox = ending.enter_context(running_inbox(tmp_path_factory.mktemp("inbox")))
        yield System(ending, cluster, inbox)


def test_a_relay_makes_the_template_at_its_start(system: System) -> None:
    made = f"select 1 from pg_database where datname = '{NOTES.template}' and datistemplate"
    eventually(lambda: system.organizer.execute(made), seconds=60)
    assert system.outbox.execute("select count(*) from organizations") == [(0,)]


def test_a_client_that_waits_sees_the_organization_ready_and_the_code_sent(system: System) -> None:
    registration = system.register("ada@example.org")
    assert registration["organization"]["status"] == "ready"
    assert registration["email_confirmation_sent"]
    system.activate(registration, "ada@example.org")
    assert system.sign_in("ada@example.org").status_code == 201
    assert "signpost_provisioning_step_duration_seconds_count" in system.relay.get("/metrics").text
    assert "Clinic" not in system.relay.log_text()


def test_a_dropped_database_blocks_sign_in_until_it_is_recreated(system: System) -> None:
    bea = system.register("bea@example.org")
    system.activate(bea, "bea@example.org")
    [(key, name)] = system.outbox.execute(
        "select id, database_name from organizations where founder_id = %s", bea["id"]
    )
    assert system.outboxctl("check", str(key)).stdout == f"organization {key} healthy\n"

    system.organizer.drop_by_hand(name)
    seen = system.outboxctl("check", str(key))
    assert (seen.returncode, seen.stdout) == (1, f"organization {key} lost: there is no such database\n")
    with system.relay_stopped(), ThreadPoolExecutor(5) as members:
        refused = list(members.map(system.sign_in, ["bea@example.org"] * 5))
    assert [(response.status_code, response.json()["code"]) for response in refused] == [
        (503, "organization_not_ready")
    ] * 5
    assert all(int(response.headers["Retry-After"]) > 0 for response in refused)

    eventually(lambda: system.sign_in("bea@example.org").status_code == 201, seconds=60)
    assert name in system.organizer.databases()
    asked = "select count(*) from outbox_messages where template = 'organization_repair'"
    assert system.outbox.execute(asked) == [(1,)]
    output = system.outboxctl("repair", str(key), "--reason", "a member called").stdout
    assert output == f"organization {key} is healthy and will be checked again now\n"
    assert system.outboxctl("check", str(key)).stdout == f"organization {key} healthy\n"
    [loss] = json.loads(system.outboxctl("show", str(key), "--json").stdout)["losses"]
    assert (loss["revision"], loss["tables"], loss["restored_at"] is None) == ("1", 2, False)
