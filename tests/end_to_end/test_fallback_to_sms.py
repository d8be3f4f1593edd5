"""The server rejects a mail, and the code follows by SMS: API, relay, mail server and SMS gateway as processes."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from devstack.cluster import Cluster
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually
from tests.support.inbox import Inbox, running_inbox
from tests.support.processes import running_api
from tests.support.relays import RunningRelay, running_relay

pytestmark = pytest.mark.slow

PASSWORD = "four quiet words here"


class System:
    """All processes, with a budget of one SMS for each number."""

    def __init__(self, ending: ExitStack, database: Database, inbox: Inbox) -> None:
        self.inbox = inbox
        api = ending.enter_context(running_api(database, ACTIVATION_FALLBACK="sms"))
        self.relay: RunningRelay = ending.enter_context(
            running_relay(
                database,
                EMAIL_PROVIDERS=inbox.email_provider,
                SMS_PROVIDERS=inbox.sms_provider,
                SMS_FALLBACK_PER_NUMBER="1",
            )
        )
        self.client = ending.enter_context(httpx.Client(base_url=api.base_url, timeout=30))

    def register(self, email: str, phone: str) -> Any:
        """Register, wait for the message's outcome on either channel, and return the response."""
        self.inbox.refuse(email)
        body = {"email": email, "phone": phone, "password": PASSWORD}
        return self.client.post("/v1/registrations", json=body, headers={"Prefer": "wait=20"}).json()


@pytest.fixture(scope="module")
def system(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with ExitStack() as ending:
        database = ending.enter_context(fresh_database(cluster))
        inbox = ending.enter_context(running_inbox(tmp_path_factory.mktemp("inbox")))
        yield System(ending, database, inbox)


def test_an_sms_with_a_working_code_follows_a_rejected_mail(system: System) -> None:
    registration = system.register("ada@example.org", "+33612345678")
    assert (registration["channel"], registration["delivery"]["status"]) == ("sms", "sent")

    [text] = system.inbox.wait_for("+33612345678")
    response = system.client.post("/v1/activations", json={"registration_id": registration["id"], "code": text.code})
    assert (response.status_code, response.json()["status"]) == (200, "active")
    assert 'signpost_fallbacks_total{channel="sms"}' in system.relay.get("/metrics").text


def test_without_budget_no_sms_follows_and_the_client_sees_the_failure(system: System) -> None:
    system.register("bea@example.org", "+33687654321")
    for name in ("cay", "dee"):
        refused = system.register(f"{name}@example.org", "+33687654321")
        assert (refused["channel"], refused["delivery"]["status"]) == ("email", "dead")

    assert len(system.inbox.messages_for("+33687654321")) == 1
    [line] = eventually(lambda: system.relay.logged("fallback budget used up"))
    assert (line["level"], line["scope"]) == ("warning", "number")
    assert "87654321" not in system.relay.log_text()
