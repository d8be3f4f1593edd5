"""The relays alive, as the command line, the HTTP interface and the pages show them."""

import pytest

from tests.support.consoles import console_on, operators_token
from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox

A_RELAY = """
insert into relays (id, host, version, channels, batch_size, connections, seen_at)
values (gen_random_uuid(), %s, '0.1.0', %s, 500, 8, now() - %s * interval '1 second')
"""


@pytest.fixture
def two_relays(outbox: Outbox) -> Outbox:
    """Two relays with a recent heartbeat, and one without for a minute."""
    outbox.execute(A_RELAY, "one.example.net", ["email"], 0)
    outbox.execute(A_RELAY, "two.example.net", ["email", "sms"], 20)
    outbox.execute(A_RELAY, "gone.example.net", ["sms"], 60)
    return outbox


def test_all_interfaces_show_the_same_relays_alive(two_relays: Outbox) -> None:
    [status] = lines_of(outboxctl(two_relays.database, "status", "--json"))
    relays = [(relay["host"], relay["channels"]) for relay in status["relays"]]
    assert relays == [("one.example.net", ["email"]), ("two.example.net", ["email", "sms"])]
    with console_on(two_relays.database) as console:
        token = operators_token(two_relays.database)
        responses = [console.ask("GET", path, token).json["relays"] for path in ("/v1/relays", "/v1/stats")]
        overview, page = (console.signed_in(token).get(path).text for path in ("/", "/relays"))
    assert responses == [status["relays"]] * 2
    assert '<dd class="number" id="alive">2</dd>' in overview
    assert '<span class="nowrap">E-mail 2</span>, <span class="nowrap">SMS 1</span>' in overview
    assert "two.example.net" in page
    assert "gone.example.net" not in page


def test_the_pages_report_that_no_relay_is_alive(outbox: Outbox) -> None:
    outbox.execute(A_RELAY, "gone.example.net", ["sms"], 60)
    with console_on(outbox.database) as console:
        browser = console.signed_in(operators_token(outbox.database))
        assert '<dd class="number" id="alive">0</dd>' in browser.get("/").text
        assert "No relay is running" in browser.get("/relays").text
