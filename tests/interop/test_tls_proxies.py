"""The samples for nginx and Caddy, in front of a running API and console."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from devstack.cluster import Cluster
from shared.reports.return_paths import Gateway
from tests.support import plain_http
from tests.support.callbacks import RunningReceiver, path_for, reports, running_receiver
from tests.support.consoles import RunningConsole, operators_token, running_console
from tests.support.databases import Database, fresh_database
from tests.support.forwarding import TcpProxy, forwarding
from tests.support.processes import HASTY_API, RunningApi, running_api
from tests.support.tls_proxies import OPERATOR, PROXIES, TlsProxy

ADA, BOB = "127.0.0.3", "127.0.0.4"


@pytest.fixture(params=PROXIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Database]:
    """The database of this file's processes."""
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def api(database: Database) -> Iterator[RunningApi]:
    settings = {"TRUSTED_PROXIES": "1", "RATE_LIMITS": "on", "LIMIT_REGISTRATIONS_PER_NETWORK": "3/hour"}
    with running_api(database, command=HASTY_API, **settings) as api:
        yield api


@pytest.fixture(scope="module")
def console(database: Database) -> Iterator[RunningConsole]:
    with running_console(database, TRUSTED_PROXIES="1", CONSOLE_URL="https://127.0.0.1") as console:
        yield console


@pytest.fixture(scope="module")
def receiver(database: Database) -> Iterator[RunningReceiver]:
    with running_receiver(database) as receiver:
        yield receiver


@pytest.fixture
def served(name: str, database: Database, api: RunningApi) -> Iterator[tuple[TlsProxy, TcpProxy]]:
    """A proxy in front of the API, and the connections between both. Nothing serves the console."""
    with database.connect() as owner:
        owner.execute("truncate rate_limits")
    with forwarding(0, to=port_of(api.base_url)) as upstream, PROXIES[name](upstream.port, console=1) as proxy:
        yield proxy, upstream


def test_clients_are_counted_apart_and_a_forged_header_does_not_help(served: tuple[TlsProxy, TcpProxy]) -> None:
    proxy, _ = served
    with proxy.client(ADA) as ada, proxy.client(BOB) as bob:
        assert [register(ada, number).status_code for number in range(4)] == [202, 202, 202, 429]
        forged = [register(ada, 4, **{"X-Forwarded-For": address}) for address in (BOB, f"192.0.2.1, {BOB}", "")]
        assert [response.status_code for response in forged] == [429] * 3
        assert register(bob, 5).status_code == 202


def test_requests_share_a_connection_to_the_api(served: tuple[TlsProxy, TcpProxy]) -> None:
    proxy, upstream = served
    for number in range(3):
        with proxy.client(ADA) as client:
            assert register(client, number).status_code == 202
    assert len(upstream.pairs) == 1


def test_a_request_reaches_the_api_once_it_is_complete(served: tuple[TlsProxy, TcpProxy]) -> None:
    proxy, upstream = served
    body = b'{"email": "ada@example.org", "password": "four quiet words here"}'
    head = f"POST /v1/registrations HTTP/1.1\r\nHost: 127.0.0.1:{proxy.api}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    context = proxy.authority.client_context()
    with (
        socket.create_connection(("127.0.0.1", proxy.api), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as slow,
        proxy.client(BOB) as quick,
    ):
        slow.sendall(head.encode() + body[:-1])
        assert register(quick, 1).status_code == 202
        assert len(upstream.pairs) == 1  # of the other client
        slow.sendall(body[-1:])
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 202 ")


def test_clients_cannot_reach_health_and_metrics(served: tuple[TlsProxy, TcpProxy]) -> None:
    with served[0].client(ADA) as client:
        assert [client.get(path).status_code for path in ("/livez", "/readyz", "/metrics")] == [404] * 3


def test_a_body_that_is_too_large_is_rejected(served: tuple[TlsProxy, TcpProxy]) -> None:
    with served[0].client(ADA) as client:
        rejected = client.post("/v1/registrations", json={"email": "a" * 20_000})
        assert (rejected.status_code, rejected.json()["code"]) == (413, "body_too_large")
        by_proxy = client.post("/v1/registrations", json={"email": "a" * 100_000})
        assert by_proxy.status_code in (413, 502)  # Caddy 2.6 responds with 502
        assert len(served[1].pairs) == 1  # of the first request


def test_nginx_redirects_plain_http(served: tuple[TlsProxy, TcpProxy], name: str) -> None:
    if name != "nginx":
        pytest.skip("Caddy redirects by default, on port 80 only")
    response = plain_http.get(f"http://127.0.0.1:{served[0].plain}/docs?a=b", headers={"Host": "signup.example.org"})
    assert (response.status_code, response.headers["Location"]) == (308, "https://signup.example.org/docs?a=b")


def test_operators_sign_in_to_the_console_from_their_networks_only(
    name: str, database: Database, console: RunningConsole
) -> None:
    with (
        PROXIES[name](1, port_of(console.base_url)) as proxy,
        proxy.client(OPERATOR, of=proxy.console) as operator,
        proxy.client(ADA, of=proxy.console) as stranger,
    ):
        form = {"token": operators_token(database, name=name)}
        signed_in = operator.post("/sign-in", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert signed_in.status_code == 303
        assert operator.get("/", follow_redirects=True).status_code == 200
        assert [operator.get(path).status_code for path in ("/livez", "/readyz", "/metrics")] == [404] * 3
        assert stranger.get("/sign-in").status_code == 403


def test_gateways_reach_the_callbacks_and_nothing_else(
    name: str, database: Database, receiver: RunningReceiver
) -> None:
    with (
        PROXIES[name](1, 1, port_of(receiver.base_url)) as proxy,
        proxy.client(ADA, of=proxy.callbacks) as gateway,
    ):
        message_id = uuid4()
        path = path_for(Gateway.JSON, message_id)
        assert gateway.post(path, json={"status": "delivered"}).status_code == 204
        assert [kind for of, kind in reports(database, "message_id, kind") if of == message_id] == ["delivered"]
        assert gateway.post(path, json={"status": "a" * 20_000}).json()["code"] == "body_too_large"
        asked = len(receiver.log_lines())
        for other in ("/", "/readyz", "/metrics", "/v1/registrations"):
            assert gateway.get(other).status_code == 404
        assert len(receiver.log_lines()) == asked


def register(client: httpx.Client, number: int, **headers: str) -> httpx.Response:
    body = {"email": f"user{number}@example.org", "password": "four quiet words here"}
    return client.post("/v1/registrations", json=body, headers=headers)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port
