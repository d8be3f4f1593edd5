"""A thief signs in: the owner gets a mail, and signs out everywhere with its link. With real processes."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.databases import Database
from tests.support.inbox import Inbox, running_inbox
from tests.support.processes import running_api
from tests.support.relays import running_relay
from tests.support.security_notices import FIREFOX, HOME, IPHONE, WORK

pytestmark = pytest.mark.slow

ADA = "ada@example.org"
PASSWORD = "four quiet words here"


@dataclass
class System:
    """An API behind a proxy, a relay with frequent maintenance, and an inbox."""

    client: httpx.Client
    inbox: Inbox
    database: Database

    def post(self, path: str, place: str, agent: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body, headers={"X-Forwarded-For": place, "User-Agent": agent})

    def sign_in(self, place: str, agent: str, password: str = PASSWORD) -> httpx.Response:
        return self.post("/v1/sessions", place, agent, email=ADA, password=password)

    def is_alive(self, session: httpx.Response) -> bool:
        headers = {"Authorization": f"Bearer {session.json()['access_token']}"}
        return self.client.get("/v1/me", headers=headers).status_code == 200

    def mail(self, count: int) -> Any:
        return self.inbox.wait_for(ADA, count)[0]


@pytest.fixture
def system(database: Database, tmp_path: Path) -> Iterator[System]:
    with ExitStack() as ending:
        inbox = ending.enter_context(running_inbox(tmp_path))
        api = ending.enter_context(running_api(database, TRUSTED_PROXIES="1"))
        relay = {"EMAIL_PROVIDERS": inbox.email_provider, "RELAY_MAINTENANCE_SECONDS": "1"}
        ending.enter_context(running_relay(database, APP_URL="https://app.example.org", **relay))
        yield System(ending.enter_context(httpx.Client(base_url=api.base_url, timeout=30)), inbox, database)


def test_the_owner_of_an_account_ends_a_thief_s_session_by_the_link_of_the_notice(system: System) -> None:
    registered = system.post("/v1/registrations", HOME, FIREFOX, email=ADA, password=PASSWORD).json()
    body = {"registration_id": registered["id"], "code": system.mail(1).code}
    own = system.post("/v1/activations", HOME, FIREFOX, **body)
    assert "https://app.example.org" in system.mail(2).text
    thief = system.sign_in(WORK, IPHONE)
    assert system.is_alive(own)
    assert system.is_alive(thief)
    with system.database.connect() as owner:
        owner.execute("update security_events set occurred_at = occurred_at - interval '5 minutes'")
    notice = system.mail(3)
    assert "New sign-in" in notice.subject
    assert re.search(r"\d{1,2} \w+ 20\d\d, \d\d:\d\d UTC · Safari \(iPhone\) · 198\.51\.100\.\*", notice.text)
    path = re.search(r"https://signpost\.example(/end-sessions\?token=\S+)", notice.text)[1]
    assert system.client.get(path).status_code == 200
    assert system.is_alive(thief)
    token = path.partition("token=")[2]
    for _ in range(2):
        assert system.client.post("/end-sessions", data={"token": token}).status_code == 200
    assert not system.is_alive(own)
    assert not system.is_alive(thief)
    for _ in range(5):
        assert system.sign_in(WORK, IPHONE, "a wrong password").status_code == 401
    assert "Wrong passwords" in system.mail(4).subject
