"""A mail is refused, and the code comes by SMS: API, relay, mail server and SMS gateway as real processes."""

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


class TwoWays:
    """Everything, running, with a budget of one SMS for each number."""

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
        """Register, and return the answer after having waited for the message's fate on whatever way."""
        self.inbox.refuse(email)
        body = {"email": email, "phone": phone, "password": PASSWORD}
        return self.client.post("/v1/registrations", json=body, headers={"Prefer": "wait=20"}).json()


@pytest.fixture(scope="module")
def two_ways(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoWays]:
    with ExitStack() as ending:
        database = ending.enter_context(fresh_database(cluster))
        inbox = ending.enter_context(running_inbox(tmp_path_factory.mktemp("inbox")))
        yield TwoWays(ending, database, inbox)


def test_a_refused_mail_is_followed_by_an_sms_whose_code_activates(two_ways: TwoWays) -> None:
    registration = two_ways.register("ada@example.org", "+33612345678")
    assert (registration["channel"], registration["delivery"]["status"]) == ("sms", "sent")

    [text] = two_ways.inbox.wait_for("+33612345678")
    answer = two_ways.client.post("/v1/activations", json={"registration_id": registration["id"], "code": text.code})
    assert (answer.status_code, answer.json()["status"]) == (200, "active")
    assert 'signpost_fallbacks_total{channel="sms"}' in two_ways.relay.get("/metrics").text


def test_once_the_budget_is_used_up_no_sms_comes_and_the_client_is_told(two_ways: TwoWays) -> None:
    two_ways.register("bea@example.org", "+33687654321")
    for name in ("cay", "dee"):
        refused = two_ways.register(f"{name}@example.org", "+33687654321")
        assert (refused["channel"], refused["delivery"]["status"]) == ("email", "dead")

    assert len(two_ways.inbox.messages_for("+33687654321")) == 1
    [told] = eventually(lambda: two_ways.relay.said("fallback budget used up"))
    assert (told["level"], told["scope"]) == ("warning", "number")
    assert "87654321" not in two_ways.relay.log_text()
