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
        self.database = database
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

    def activate(self, email: str, **more: str) -> None:
        """Register and activate with the code in the mail."""
        registration = self.post("/v1/registrations", email=email, password=PASSWORD, **more)
        [mail] = self.inbox.wait_for(email)
        self.post("/v1/activations", registration_id=registration["id"], code=mail.code)

    def prove_phone(self, email: str, phone: str) -> None:
        """Sign in, and prove a phone with the code in the SMS."""
        session = self.post("/v1/sessions", email=email, password=PASSWORD)
        authorized = {"Authorization": f"Bearer {session['access_token']}"}
        self.post("/v1/me/phone", authorized, phone=phone, password=PASSWORD)
        [text] = self.inbox.wait_for(phone)
        self.post("/v1/me/phone/confirm", authorized, code=text.code)

    def post(self, path: str, headers: dict[str, str] | None = None, **body: str) -> Any:
        response = self.client.post(path, json=body, headers=headers)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def resets(self) -> list[Any]:
        """Return channel, status and whether a fallback is due for each message with a reset's code, oldest first."""
        with self.database.connect() as connection:
            return connection.execute(
                "select channel, status, fallback_at is not null from outbox_messages"
                " where template = 'password_reset' order by created_at, id"
            ).fetchall()


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


def test_the_code_of_a_reset_follows_a_rejected_mail_by_sms_and_sets_the_password(system: System) -> None:
    email, phone = "eve@example.org", "+33612345679"
    system.activate(email)
    system.prove_phone(email, phone)
    system.inbox.refuse(email)

    assert system.post("/v1/password-resets", email=email) == {"channel": "email", "destination": "e…@example.org"}

    text, _proof = system.inbox.wait_for(phone, count=2)
    new_password = "another four quiet words"
    system.post("/v1/password-resets/confirm", email=email, code=text.code, new_password=new_password)
    assert system.post("/v1/sessions", email=email, password=new_password)["token_type"] == "Bearer"


def test_a_reset_never_goes_to_a_phone_that_was_not_proven(system: System) -> None:
    email, phone = "fay@example.org", "+33612345670"
    system.activate(email, phone=phone)
    system.inbox.refuse(email)
    before = len(system.resets())

    system.post("/v1/password-resets", email=email)

    eventually(lambda: system.resets()[before:] == [("email", "dead", False)])
    assert system.inbox.messages_for(phone) == []
