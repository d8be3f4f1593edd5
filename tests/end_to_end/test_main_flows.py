"""The main flows on real processes: API, relay, PostgreSQL, mail server and SMS gateway.

All tests share the processes, so each test registers another person.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from devstack.cluster import Cluster
from shared.secrets import code_for, link_token_for
from tests.support import plain_http
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually
from tests.support.inbox import Inbox, running_inbox
from tests.support.keys import KEY
from tests.support.mail_sink import mail_sink
from tests.support.processes import running_api
from tests.support.relays import running_relay

PASSWORD = "four quiet words here"


class System:
    """All processes."""

    def __init__(self, ending: ExitStack, database: Database, folder: Path) -> None:
        self.database = database
        self.inbox: Inbox = ending.enter_context(running_inbox(folder))
        self.api = ending.enter_context(running_api(database, RESEND_COOLDOWN_SECONDS="0"))
        self.relay = ending.enter_context(
            running_relay(database, EMAIL_PROVIDERS=self.inbox.email_provider, SMS_PROVIDERS=self.inbox.sms_provider)
        )
        self.client = ending.enter_context(httpx.Client(base_url=self.api.base_url, timeout=30))

    def register(self, **body: Any) -> Any:
        response = self.client.post("/v1/registrations", json={"password": PASSWORD, **body})
        assert response.status_code == 202, response.text
        return response.json()

    def row(self, query: str, *parameters: Any) -> Any:
        with self.database.connect() as connection:
            return connection.execute(query, parameters).fetchone()

    def token_id(self, registration: Any) -> UUID:
        [token_id] = self.row("select id from tokens where user_id = %s", registration["id"])
        return token_id


@pytest.fixture(scope="module")
def system(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with ExitStack() as ending:
        database = ending.enter_context(fresh_database(cluster))
        yield System(ending, database, tmp_path_factory.mktemp("inbox"))


def test_the_code_in_the_mail_activates(system: System) -> None:
    registration = system.register(email="ada@example.org", full_name="Ada")
    [mail] = system.inbox.wait_for("ada@example.org")
    response = system.client.post("/v1/activations", json={"registration_id": registration["id"], "code": mail.code})
    assert (response.status_code, response.json()["status"]) == (200, "active")


def test_the_link_in_the_mail_activates(system: System) -> None:
    registration = system.register(email="bea@example.org")
    [mail] = system.inbox.wait_for("bea@example.org")
    token = str(mail.link).partition("token=")[2]
    assert system.client.post("/v1/activations", json={"token": token}).status_code == 200
    assert system.client.get(f"/v1/registrations/{registration['id']}").json()["status"] == "active"


def test_the_code_in_the_sms_activates(system: System) -> None:
    registration = system.register(phone="+33 6 12 34 56 78", locale="fr")
    [text] = system.inbox.wait_for("+33612345678")
    response = system.client.post("/v1/activations", json={"registration_id": registration["id"], "code": text.code})
    assert response.json()["status"] == "active"


def test_a_client_that_prefers_to_wait_sees_that_the_mail_was_accepted(system: System) -> None:
    response = system.client.post(
        "/v1/registrations", json={"email": "eve@example.org", "password": PASSWORD}, headers={"Prefer": "wait=20"}
    )
    assert response.json()["email_confirmation_sent"] is True
    assert response.json()["delivery"]["status"] == "sent"


def test_a_resent_message_contains_the_same_code(system: System) -> None:
    registration = system.register(email="fay@example.org")
    system.inbox.wait_for("fay@example.org")
    assert system.client.post(f"/v1/registrations/{registration['id']}/resend", json={}).status_code == 202
    again, first = system.inbox.wait_for("fay@example.org", count=2)
    assert again.code == first.code


def test_only_the_mail_reveals_that_an_address_is_taken(system: System) -> None:
    first = system.register(email="gil@example.org")
    [mail] = system.inbox.wait_for("gil@example.org")
    system.client.post("/v1/activations", json={"registration_id": first["id"], "code": mail.code})
    second = system.register(email="Gil@example.org")
    *notices, _ = system.inbox.wait_for("gil@example.org", count=3)  # newest first: this notice, and a welcome
    assert (second.keys(), second["status"]) == (first.keys(), first["status"])
    assert [(notice.code, notice.link) for notice in notices] == [(None, None)] * 2
    right_code = code_for(system.token_id(second), KEY)
    response = system.client.post("/v1/activations", json={"registration_id": second["id"], "code": right_code})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_or_expired")


def test_a_code_appears_only_in_its_message(system: System) -> None:
    registration = system.register(email="ida@example.org", full_name="Ida Lovelace")
    other = system.register(phone="+33687654321")
    [mail] = system.inbox.wait_for("ida@example.org")
    system.inbox.wait_for("+33687654321")
    wrong = "000000" if mail.code != "000000" else "111111"
    for code in (wrong, mail.code):
        system.client.post("/v1/activations", json={"registration_id": registration["id"], "code": code})
    system.client.get("/activate", params={"token": link_token_for(system.token_id(registration), KEY)})
    everything = {
        "tables": everything_stored(system.database),
        "api log": system.api.log_text(),
        "relay log": system.relay.log_text(),
        "inbox log": system.inbox.log,
        "api metrics": system.client.get("/metrics").text,
        "relay metrics": system.relay.get("/metrics").text,
    }
    for token_id in (system.token_id(registration), system.token_id(other)):
        code, link = code_for(token_id, KEY), link_token_for(token_id, KEY)
        assert [where for where, text in everything.items() if holds_code(text, code) or link in text] == []
    for private in ("ida@example.org", "Lovelace", "+33687654321", PASSWORD):
        assert [where for where, text in everything.items() if where != "tables" and private in text] == []
    assert holds_code(mail.text, str(mail.code))


def holds_code(text: str, code: str) -> bool:
    """Return whether the text contains the code as a separate number, not as part of an id or a time."""
    return re.search(rf"(?<![0-9a-fA-F.-]){code}(?![0-9a-fA-F-])", text) is not None


def everything_stored(database: Database) -> str:
    with database.connect() as connection:
        tables = connection.execute(
            "select c.oid::regclass::text from pg_class c where relkind in ('r', 'm')"
            " and relnamespace = 'public'::regnamespace"
        ).fetchall()
        assert len(tables) >= 6
        rows = [connection.execute(f"select to_jsonb(t)::text from {table} t").fetchall() for (table,) in tables]
    return "\n".join(text for table in rows for (text,) in table)


def test_registration_responds_while_the_mail_server_hangs(database: Database) -> None:
    with mail_sink() as sink, running_api(database) as api:
        sink.hold()
        provider = f"smtp://127.0.0.1:{sink.port}?tls=none"
        with running_relay(database, EMAIL_PROVIDERS=provider) as relay:
            answers = [
                plain_http.post(
                    f"{api.base_url}/v1/registrations",
                    json={"email": f"ada{number}@example.org", "password": PASSWORD},
                    timeout=10,
                ).status_code
                for number in range(5)
            ]
            eventually(lambda: sink.connections)
            assert answers == [202] * 5
            assert sink.arrived == {}
            assert not relay.logged("messages sent")
            sink.release()
            eventually(lambda: sink.arrived.total() == 5, seconds=30)
