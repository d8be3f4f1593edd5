"""Pauses over HTTP: in the interface for scripts, and on the page of relays."""

from html import unescape

import pytest

from tests.support.consoles import ConsoleUnderTest, csrf_in
from tests.support.outbox import Outbox

NAME = "smtp:mx.example.org:25"
REASON = {"reason": "maintenance"}
SOON = {"expires_at": "now() + interval '5 minutes'"}


@pytest.fixture
def provider(outbox: Outbox) -> str:
    outbox.execute("insert into providers (name, channel) values (%s, 'email')", NAME)
    return NAME


def test_a_script_counts_pauses_and_resumes(
    console: ConsoleUnderTest, outbox: Outbox, token: str, provider: str
) -> None:
    outbox.put(count=2, **SOON)
    body = {"kind": "provider", "name": provider, "minutes": 10, **REASON}
    counted = console.ask("POST", "/v1/pauses", token, json=body | {"dry_run": True}).json
    assert (counted["waiting"], counted["expiring"], counted["dry_run"]) == (2, 2, True)
    assert console.ask("GET", "/v1/pauses", token).json == {"pauses": []}
    paused = console.ask("POST", "/v1/pauses", token, json=body).json
    assert (paused["kind"], paused["name"], paused["expiring"]) == ("provider", provider, 2)
    [listed] = console.ask("GET", "/v1/pauses", token).json["pauses"]
    assert paused.items() >= listed.items()
    assert console.ask("GET", "/v1/stats", token).json["pauses"] == [listed]
    target = {"kind": "provider", "name": provider}
    assert console.ask("POST", "/v1/pauses/resume", token, json=target | REASON).json == target
    again = console.ask("POST", "/v1/pauses/resume", token, json=target | REASON)
    assert (again.status_code, again.json["code"]) == (409, "not_paused")


def test_a_script_probes_a_provider(console: ConsoleUnderTest, outbox: Outbox, token: str, provider: str) -> None:
    body = {"name": provider, **REASON}
    closed = console.ask("POST", "/v1/providers/probe", token, json=body)
    assert (closed.status_code, closed.json["code"]) == (409, "breaker_not_open")
    outbox.execute("update providers set consecutive_opens = 3, open_until = now() + interval '1 hour'")
    target = {"kind": "provider", "name": provider}
    console.ask("POST", "/v1/pauses", token, json=target | REASON)
    paused = console.ask("POST", "/v1/providers/probe", token, json=body)
    assert (paused.status_code, paused.json["code"]) == (409, "provider_paused")
    console.ask("POST", "/v1/pauses/resume", token, json=target | REASON)
    assert console.ask("POST", "/v1/providers/probe", token, json=body).json["breaker"] == "half_open"
    [shown] = console.ask("GET", "/v1/providers", token).json["providers"]
    assert shown["breaker"] == "half_open"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"kind": "provider", "name": "smtp:typo:25"}, (404, "unknown_target")),
        ({"kind": "channel", "name": "pigeon"}, (404, "unknown_target")),
        ({"kind": "user", "name": "ada"}, (422, "validation_failed")),
        ({"kind": "channel", "name": "email", "minutes": 0}, (422, "validation_failed")),
        ({"kind": "channel", "name": "email", "minutes": 10_081}, (422, "validation_failed")),
    ],
)
def test_a_wrong_target_or_length_is_rejected(
    console: ConsoleUnderTest, outbox: Outbox, token: str, body: dict[str, object], expected: tuple[int, str]
) -> None:
    response = console.ask("POST", "/v1/pauses", token, json=body | REASON)
    assert (response.status_code, response.json["code"]) == expected
    assert outbox.number("select count(*) from pauses") == 0


def test_pages_count_pause_resume_and_probe(
    console: ConsoleUnderTest, outbox: Outbox, token: str, provider: str
) -> None:
    outbox.put(
        count=2,
        due_at="now() + interval '1 minute'",
        provider=f"'{provider}'",
        last_error_class="'provider'",
        **SOON,
    )
    outbox.execute("update providers set consecutive_opens = 3, open_until = now() + interval '1 hour'")
    browser = console.signed_in(token)
    address = f"/relays/pauses/provider/{provider}"
    assert f'href="{address}"' in unescape(browser.get("/relays").text)
    assert address not in unescape(browser.get("/").text)  # the overview has no room for actions
    form = browser.get(address)
    assert "2 messages would wait" in form.text
    assert "in 15 min: 2 codes expire" in form.text
    fields = {"csrf": csrf_in(form), **REASON}
    response = browser.post(address, data=fields | {"minutes": "15"}, follow_redirects=True)
    assert "The relays notice it within a second" in response.text
    assert f"Resume {provider}" in response.text
    response = browser.post(f"/relays/resume/provider/{provider}", data=fields, follow_redirects=True)
    assert "Nothing is paused." in response.text
    response = browser.post(f"/relays/probe/{provider}", data=fields, follow_redirects=True)
    assert "probing" in response.text
    audit = browser.get("/audit").text
    assert all(event in audit for event in ("Paused", "Resumed", "Provider probed", "smtp:mx.example.org:25"))
    assert "breaker probing, messages made due 2<" in audit


def test_a_form_without_a_length_pauses_until_someone_resumes(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    browser = console.signed_in(token)
    address = "/relays/pauses/template/activation"
    form = browser.get(address)
    browser.post(address, data={"csrf": csrf_in(form), "minutes": "", **REASON})
    assert outbox.execute("select kind, name, until from pauses") == [("template", "activation", None)]
    assert "someone resumes it" in browser.get("/relays").text
    assert browser.get("/relays/pauses/user/ada").status_code == 404
