"""Two hundred people register one address at the same moment, and two of them activate it at the same moment."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx

from shared.secrets import code_for
from tests.support.api import PASSWORD, counted
from tests.support.databases import Database
from tests.support.keys import KEY
from tests.support.processes import HASTY_API, RunningApi, running_api

CROWD = 200
TIMEOUT_SECONDS = 120
BODY = {"email": "ada@example.org", "password": PASSWORD}
HOLDERS = "select id from users where email_verified_at is not null and status = 'active'"


def test_one_of_two_hundred_registrations_of_an_address_becomes_active_when_two_activate_at_once(
    database: Database,
) -> None:
    with running_api(database, command=HASTY_API, API_WORKERS="2") as api, client_of(api) as client:
        registered = at_once([lambda: posted(client, "/v1/registrations", BODY)] * CROWD)
        assert [response.status_code for response in registered] == [202] * CROWD
        assert counted(database) == (CROWD, CROWD, CROWD)

        rivals = [response.json()["id"] for response in registered[:2]]
        bodies = [{"registration_id": rival, "code": code_of(database, rival)} for rival in rivals]
        activated = at_once([lambda body=body: posted(client, "/v1/activations", body) for body in bodies])
        late = [posted(client, "/v1/activations", body).status_code for body in bodies]

    assert sorted(response.status_code for response in activated) == [200, 400]
    [winner] = [rival for rival, response in zip(rivals, activated, strict=True) if response.is_success]
    with database.connect() as connection:
        assert [str(row[0]) for row in connection.execute(HOLDERS)] == [winner]
    assert late == [400, 400]


def at_once(requests: Sequence[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """Send all requests at the same moment."""
    barrier = Barrier(len(requests))

    def send(request: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait()
        return request()

    with ThreadPoolExecutor(len(requests)) as crowd:
        return list(crowd.map(send, requests))


def client_of(api: RunningApi) -> httpx.Client:
    """Return a client with enough connections for all requests at once."""
    limits = httpx.Limits(max_connections=CROWD, max_keepalive_connections=0)
    return httpx.Client(base_url=api.base_url, timeout=TIMEOUT_SECONDS, limits=limits)


def posted(client: httpx.Client, path: str, body: dict[str, str]) -> httpx.Response:
    """Post, and honour Retry-After while too many others wait for a hash."""
    while (response := client.post(path, json=body)).status_code == 503:
        time.sleep(float(response.headers["Retry-After"]))
    return response


def code_of(database: Database, registration_id: str) -> str:
    with database.connect() as connection:
        [(token_id,)] = connection.execute("select id from tokens where user_id = %s", [registration_id]).fetchall()
    return code_for(token_id, KEY)
