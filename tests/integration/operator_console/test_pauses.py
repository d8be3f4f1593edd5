"""`outboxctl` pauses, resumes and probes, audits that, and counts the codes that expire during a pause."""

from typing import Any

import pytest

from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox

FIRST, SECOND = "smtp:one.example.org:587", "smtp:two.example.org:587"
AUDITED = "select action, before, after, reason from operator_actions order by id"


@pytest.fixture
def providers(outbox: Outbox) -> Outbox:
    outbox.execute("insert into providers (name, channel) values (%s, 'email')", FIRST)
    return outbox


def paused(outbox: Outbox) -> list[dict[str, Any]]:
    return lines_of(outboxctl(outbox.database, "pauses", "--json"))


@pytest.mark.parametrize(
    ("group", "kind", "name"),
    [("providers", "provider", FIRST), ("channels", "channel", "sms"), ("templates", "template", "activation")],
)
def test_a_pause_is_listed_and_audited_until_it_is_resumed(providers: Outbox, group: str, kind: str, name: str) -> None:
    database = providers.database
    result = outboxctl(database, group, "pause", name, "--reason", "maintenance", "--yes")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, f"{kind} {name} is paused until you resume it")
    [listed] = paused(providers)
    assert (listed["kind"], listed["name"], listed["until"]) == (kind, name, None)
    assert listed["reason"] == "maintenance"
    [status] = lines_of(outboxctl(database, "status"))
    assert status["pauses"] == [listed]
    assert outboxctl(database, group, "resume", name, "--reason", "done").exit_code == 0
    assert paused(providers) == []
    target = {"kind": kind, "name": name}
    assert providers.execute(AUDITED) == [
        ("pause", target | {"state": "not paused"}, target | {"state": "paused"}, "maintenance"),
        ("resume", target | {"state": "paused"}, None, "done"),
    ]
    again = outboxctl(database, group, "resume", name, "--reason", "again")
    assert (again.exit_code, again.stderr) == (1, f"outboxctl: {kind} {name} is not paused\n")


def test_a_second_pause_replaces_the_first(providers: Outbox) -> None:
    for minutes in ("30", "60"):
        arguments = ("channels", "pause", "email", "--reason", minutes, "--minutes", minutes, "--yes")
        assert outboxctl(providers.database, *arguments).exit_code == 0
    [one] = paused(providers)
    assert one["reason"] == "60"
    lasts = "select count(*) from pauses where until - paused_at = interval '60 minutes'"
    assert providers.number(lasts) == 1
    _, (_, before, after, _) = providers.execute(AUDITED)
    assert before["until"] < after["until"]


def test_a_pause_that_has_ended_is_neither_listed_nor_resumed(providers: Outbox) -> None:
    outboxctl(providers.database, "channels", "pause", "email", "--reason", "x", "--minutes", "1", "--yes")
    providers.execute("update pauses set until = now()")
    assert paused(providers) == []
    assert outboxctl(providers.database, "channels", "resume", "email", "--reason", "x").exit_code == 1


def test_an_unknown_provider_cannot_be_paused(providers: Outbox) -> None:
    result = outboxctl(providers.database, "providers", "pause", "smtp:typo:25", "--reason", "x", "--yes")
    assert (result.exit_code, result.stderr) == (1, "outboxctl: provider smtp:typo:25 is not a known provider\n")


@pytest.mark.parametrize(
    ("target", "waiting", "expiring"),
    [
        (("channels", "pause", "email", "--minutes", "10"), 4, 2),
        (("channels", "pause", "email"), 4, 3),
        (("templates", "pause", "activation", "--minutes", "10"), 4, 3),
        (("providers", "pause", FIRST, "--minutes", "10"), 4, 2),
        (("channels", "pause", "sms"), 1, 1),
        (("channels", "pause", "provision"), 0, 0),
    ],
)
def test_the_confirmation_counts_the_codes_that_expire_during_the_pause(
    providers: Outbox, target: tuple[str, ...], waiting: int, expiring: int
) -> None:
    soon = {"expires_at": "now() + interval '5 minutes'"}
    providers.put(count=2, **soon)
    providers.put()
    providers.put(channel="sms", recipient="'+33612345678'", **soon)
    providers.put(template="'welcome'", token_id="null", **soon)
    providers.put(status="'sent'", settled_at="now()", **soon)
    result = outboxctl(providers.database, *target, "--reason", "x", "--dry-run")
    [line] = result.stdout.splitlines()
    messages = "1 message" if waiting == 1 else f"{waiting} messages"
    codes = "1 code expires" if expiring == 1 else f"{expiring} codes expire"
    when = "during the pause" if "--minutes" in target else "unless you resume it before"
    assert line.startswith(f"{messages} would wait; {codes} {when}")
    assert (", the first at 20" in line) == (expiring > 0)
    assert paused(providers) == []


def test_the_confirmation_names_the_provider_that_takes_over(providers: Outbox) -> None:
    providers.put()
    providers.execute("insert into providers (name, channel) values (%s, 'email')", SECOND)
    arguments = ("providers", "pause", FIRST, "--reason", "x", "--dry-run")
    assert outboxctl(providers.database, *arguments).stdout == f"its messages go to {SECOND}\n"
    outboxctl(providers.database, "providers", "pause", SECOND, "--reason", "x", "--yes")
    assert outboxctl(providers.database, *arguments).stdout.startswith("1 message would wait; 1 code expires")


def test_no_provider_of_a_paused_channel_takes_over(providers: Outbox) -> None:
    providers.put()
    providers.execute("insert into providers (name, channel) values (%s, 'email')", SECOND)
    outboxctl(providers.database, "channels", "pause", "email", "--reason", "x", "--yes")
    result = outboxctl(providers.database, "providers", "pause", FIRST, "--reason", "x", "--dry-run")
    assert result.stdout.startswith("1 message would wait")


@pytest.mark.parametrize(("group", "name"), [("providers", FIRST), ("channels", "email")])
def test_a_provider_is_not_probed_until_it_and_its_channel_are_resumed(
    providers: Outbox, group: str, name: str
) -> None:
    database = providers.database
    providers.execute("update providers set consecutive_opens = 3, open_until = now() + interval '1 hour'")
    outboxctl(database, group, "pause", name, "--reason", "x", "--yes")
    outboxctl(database, "channels", "pause", "sms", "--reason", "x", "--yes")
    probe = ("providers", "probe", FIRST, "--reason", "x")
    result = outboxctl(database, *probe)
    expected = f"outboxctl: provider {FIRST} or its channel is paused; resume it first\n"
    assert (result.exit_code, result.stderr) == (1, expected)
    outboxctl(database, group, "resume", name, "--reason", "x")
    assert outboxctl(database, *probe).exit_code == 0


def test_without_a_terminal_a_pause_needs_yes(providers: Outbox) -> None:
    result = outboxctl(providers.database, "channels", "pause", "email", "--reason", "x")
    assert (result.exit_code, paused(providers)) == (2, [])
    assert "add --yes" in result.stderr


def test_a_probe_makes_an_open_breaker_half_open_and_waiting_messages_due(providers: Outbox) -> None:
    database = providers.database
    closed = outboxctl(database, "providers", "probe", FIRST, "--reason", "x")
    assert (closed.exit_code, closed.stderr) == (1, f"outboxctl: provider {FIRST} has no open circuit breaker\n")
    providers.execute("update providers set consecutive_opens = 3, open_until = now() + interval '1 hour'")
    failed = {"provider": f"'{FIRST}'", "last_error_class": "'provider'"}
    providers.put(count=12, due_at="now() + interval '1 hour'", **failed)
    [retried] = providers.put(due_at="now() + interval '1 hour'", provider=f"'{FIRST}'", last_error_class="'transient'")
    result = outboxctl(database, "providers", "probe", FIRST, "--reason", "it is back")
    assert result.stdout == f"provider {FIRST} will be probed; 10 messages that waited for it are due\n"
    [provider] = lines_of(outboxctl(database, "providers", "list"))
    assert provider["breaker"] == "half_open"
    assert providers.number("select count(*) from outbox_messages where due_at <= now()") == 10
    assert providers.row(retried).due_at > providers.row(retried).created_at
    [(action, before, after, reason)] = providers.execute(AUDITED)
    assert (action, after, reason) == ("probe", {"breaker": "half_open", "messages_made_due": 10}, "it is back")
    assert before["provider"] == FIRST
    assert before["open_until"]
