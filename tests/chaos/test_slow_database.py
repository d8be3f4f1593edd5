"""The database responds two seconds late: the API rejects what it cannot serve, and the relay loses nothing."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.support import plain_http
from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.forwarding import forwarding
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.processes import HASTY_API, running_api
from tests.support.relays import running_relay

CLIENTS, REQUESTS = 40, 1
DELAY_SECONDS = 2.0
LOST = "select sum(lost_leases) from outbox_messages"


def test_requests_fail_fast_and_every_accepted_registration_is_delivered(
    outbox: Outbox, ledger: Ledger, sink: MailSink
) -> None:
    cluster, name = outbox.database.cluster, outbox.database.name
    with forwarding(0, to=cluster.port) as proxy:
        urls = {login: cluster.tcp_url(name, user=login, port=proxy.port) for login in ("api", "relay")}
        with (
            running_api(outbox.database, command=HASTY_API, DATABASE_URL=urls["api"], API_WORKERS="2") as api,
            running_relay(outbox.database, DATABASE_URL=urls["relay"], EMAIL_PROVIDERS=sink.provider) as relay,
            ThreadPoolExecutor(CLIENTS) as clients,
        ):
            relay.wait_until_ready()

            def register(number: int) -> httpx.Response:
                body = {"email": f"slow{number}@example.org", "password": "four quiet words here"}
                return plain_http.post(f"{api.base_url}/v1/registrations", json=body, timeout=120)

            proxy.reply_seconds = DELAY_SECONDS
            responses = list(clients.map(register, range(CLIENTS * REQUESTS)))
            assert api.admin("/livez").status_code == 200
            statuses = Counter(response.status_code for response in responses)
            assert set(statuses) == {202, 503}
            rejected = [response for response in responses if response.status_code == 503]
            assert all(int(response.headers["Retry-After"]) >= 1 for response in rejected)

            proxy.reply_seconds = 0
            eventually(outbox.is_all_sent, seconds=90)
            responses.append(register(CLIENTS * REQUESTS))
            assert responses[-1].status_code == 202
            eventually(outbox.is_all_sent, seconds=60)
            assert (api.process.poll(), relay.process.poll()) == (None, None)
            assert [line for line in api.log_lines() + relay.log_lines() if line["level"] == "error"] == []
    assert outbox.number(LOST) == 0
    ledger.registered([response.json()["id"] for response in responses if response.status_code == 202])
    assert conserved(ledger, sink).copies == 0
