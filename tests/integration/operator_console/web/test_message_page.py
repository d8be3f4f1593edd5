"""The page of one message, and its rows in the audit log."""

import re

import pytest

from outbox_relay.model import FailureClass
from tests.support.consoles import ConsoleUnderTest, csrf_in
from tests.support.operators import outboxctl, put_dead
from tests.support.outbox import Outbox


def test_a_corrected_recipient_is_recognizable_although_both_addresses_mask_alike(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id], [other] = put_dead(outbox, recipient="'ada@example.org'"), put_dead(outbox)
    browser = console.signed_in(token)
    form = {"csrf": csrf_in(browser.get(f"/messages/{message_id}")), "reason": "a typo"}
    browser.post(f"/messages/{message_id}/requeue", data=form | {"recipient": "adam@example.org"})
    browser.post(f"/messages/{other}/requeue", data=form | {"recipient": "", "locale": "fr"})
    name = "Corrected the recipient and requeued"
    assert name in browser.get(f"/messages/{message_id}").text
    assert name not in browser.get(f"/messages/{other}").text
    audit = browser.get("/audit").text
    assert audit.count(name) == 1
    assert audit.count("recipient a…@example.org (changed)") == 1


@pytest.mark.parametrize(
    ("provider", "status", "up", "waits"),
    [
        ("'smtp:down:25'", "pending", 1, True),
        ("'smtp:up:25'", "pending", 1, False),
        ("null", "pending", 1, False),
        ("null", "pending", 0, True),
        ("'smtp:down:25'", "sent", 0, False),
    ],
)
def test_a_pending_message_shows_which_provider_it_waits_for(
    console: ConsoleUnderTest, outbox: Outbox, token: str, *, provider: str, status: str, up: int, waits: bool
) -> None:
    settled_at = "now()" if status == "sent" else "null"
    [message_id] = outbox.put(provider=provider, status=f"'{status}'", settled_at=settled_at)
    outbox.execute(
        "insert into providers (name, channel, consecutive_opens, open_until)"
        " values ('smtp:down:25', 'email', 1, now() + interval '1 minute'), ('twilio:up', 'sms', 0, null)"
    )
    outbox.execute("insert into providers (name, channel) select 'smtp:up:25', 'email' from generate_series(1, %s)", up)
    page = console.signed_in(token).get(f"/messages/{message_id}").text
    assert ("Waits: <code>smtp:down:25</code> has been down since" in page, "next try at" in page) == (waits, waits)
    assert ('href="/relays">check the relays and providers</a>' in page) == (status == "pending" and not waits)


PAUSED, DOWN = "smtp:paused:25", "smtp:down:25"


@pytest.mark.parametrize(
    ("pauses", "breakers", "expected"),
    [
        ([("channel", "email")], {}, ["channel email is paused until someone resumes it."]),
        ([("template", "activation")], {}, ["template activation is paused until someone resumes it."]),
        ([("channel", "email")], {PAUSED: "down"}, ["channel email is paused until someone resumes it."]),
        ([("provider", PAUSED)], {PAUSED: "up"}, [f"provider {PAUSED} is paused until someone resumes it."]),
        ([("provider", PAUSED)], {PAUSED: "down"}, [f"provider {PAUSED} is paused until someone resumes it."]),
        (
            [("provider", PAUSED)],
            {PAUSED: "up", DOWN: "down"},
            [f"provider {PAUSED} is paused until someone resumes it.", f"{DOWN} has been down since"],
        ),
        ([("provider", PAUSED)], {PAUSED: "down", "smtp:up:25": "up"}, []),
        ([("channel", "sms"), ("template", "welcome"), ("provider", "twilio:up")], {}, []),
    ],
)
@pytest.mark.parametrize("provider", ["null", f"'{PAUSED}'"])
def test_a_pending_message_shows_which_pause_it_waits_for(
    console: ConsoleUnderTest,
    outbox: Outbox,
    token: str,
    *,
    provider: str,
    pauses: list[tuple[str, str]],
    breakers: dict[str, str],
    expected: list[str],
) -> None:
    [message_id] = outbox.put(provider=provider, due_at="now() + interval '1 minute'")
    for name, state in breakers.items():
        outbox.execute(
            "insert into providers (name, channel, consecutive_opens, open_until)"
            " select %s, 'email', is_down::int, case when is_down then now() + interval '1 minute' end"
            " from (values (%s)) as state (is_down)",
            *(name, state == "down"),
        )
    for kind, name in pauses:
        outbox.execute("insert into pauses (kind, name, operator, reason) values (%s, %s, 'ada', 'x')", kind, name)
    page = console.signed_in(token).get(f"/messages/{message_id}").text
    notes = [re.sub(r"<.+?>", "", note) for note in re.findall(r'<p class="note">Waits: (.+)</p>', page)]
    assert [re.split(r" View pauses| \d", note)[0] for note in notes] == expected
    assert ("next try at" in page, "needs no action" in page) == (False, False)
    assert page.count('href="/relays#pauses"') == sum("is paused" in note for note in notes)
    assert ('href="/relays">check the relays and providers</a>' in page) == (not expected)


def test_a_pending_message_shows_when_its_pause_ends(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    [message_id] = outbox.put()
    outbox.execute(
        "insert into pauses (kind, name, operator, reason, until)"
        " values ('channel', 'email', 'ada', 'x', (extract(year from now()) + 1 || '-11-25 01:01:13Z')::timestamptz)"
    )
    page = re.sub(r"<.+?>", "", console.signed_in(token).get(f"/messages/{message_id}").text)
    assert re.search(r"Waits: channel email is paused until 25 Nov \d{4} 01:01:13\. View pauses", page)


def test_a_discarded_message_says_so_once_and_can_be_requeued_as_on_the_command_line(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    on_page, on_terminal = put_dead(outbox, count=2, dead_reason="'discarded'")
    browser = console.signed_in(token)
    page = browser.get(f"/messages/{on_page}")
    heading = page.text.partition('<div class="head">')[2].partition("</div>")[0]
    assert re.sub(r"<.+?>", "", heading).split()[-5:] == ["discarded", "closed", "by", "an", "operator"]
    assert heading.count("discarded") == 2  # the class and the text of the badge
    [path] = re.findall(r'formaction="([^"]+)">Requeue<', page.text)
    browser.post(path, data={"csrf": csrf_in(page), "reason": "closed by mistake"})
    outboxctl(console.database, "requeue", str(on_terminal), "--reason", "closed by mistake")
    assert [outbox.row(one).status for one in (on_page, on_terminal)] == ["pending", "pending"]


def test_only_a_message_that_is_not_discarded_leads_to_others_of_its_cause(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [open_id], [closed_id] = put_dead(outbox), put_dead(outbox, dead_reason="'discarded'")
    browser = console.signed_in(token)
    links = ["of this cause" in browser.get(f"/messages/{one}").text for one in (open_id, closed_id)]
    assert links == [True, False]


def test_each_failure_class_has_a_label(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    browser = console.signed_in(token)
    shown = []
    for kind in FailureClass:
        [message_id] = put_dead(outbox, last_error_class=f"'{kind}'", last_error="'no'")
        shown += re.findall(r"<dt>Last error</dt><dd>(.+?): <", browser.get(f"/messages/{message_id}").text)
    assert shown == ["recipient refused", "content refused", "temporary", "provider not usable"]


def test_the_attempts_of_a_rejected_message_say_why_there_were_no_more(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [rejected] = put_dead(outbox, attempt="1")
    [expired] = put_dead(outbox, attempt="1", dead_reason="'expired'")
    browser = console.signed_in(token)
    pages = [browser.get(f"/messages/{one}").text for one in (rejected, expired)]
    attempts = [re.findall(r"<dt>Attempts</dt><dd>(.+?)</dd>", page) for page in pages]
    assert attempts == [["1; no retry, because the refusal is final"], ["1 of 8"]]
