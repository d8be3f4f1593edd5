"""The overview, and the same figures for scripts and on the command line."""

import re

from tests.support.consoles import ConsoleUnderTest
from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox


def test_the_age_of_a_postponed_message_is_shown_although_it_is_not_due(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(created_at="now() - interval '3 hours'", due_at="now() + interval '1 minute'")
    outbox.put()
    assert "oldest pending 3 h 0 min" in console.signed_in(token).get("/").text
    [state] = lines_of(outboxctl(console.database, "status"))
    ages = {
        one["channel"]: (one["lag_seconds"] < 60, one["oldest_pending_seconds"] // 3600) for one in state["backlog"]
    }
    assert ages == {"email": (True, 3), "sms": (True, 0), "provision": (True, 0)}


def test_an_outage_is_the_first_thing_on_the_overview(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.execute("""
        insert into providers (name, since, consecutive_opens, open_until) values
            ('smtp:up:25', now(), 0, null),
            ('smtp:down:25', now(), 1, now() + interval '1 minute'),
            ('smtp:probed:25', now(), 2, now() - interval '1 second')
    """)
    browser = console.signed_in(token)
    notes = [re.sub(r"<.+?>", "", note) for note in re.findall(r'<p class="note bad">(.+)</p>', browser.get("/").text)]
    assert [re.split(r"\. | \d", note)[0] for note in notes] == [
        "No relay is alive, so no message is delivered",
        "smtp:down:25 has been down since",
        "smtp:probed:25 has been down since",
    ]
    outbox.execute("update providers set consecutive_opens = 0, open_until = null")
    outbox.execute(
        "insert into relays (id, host, version, channels, batch_size, connections)"
        " values (gen_random_uuid(), 'relay-1', '0.1.0', '{email}', 500, 8)"
    )
    assert '<p class="note bad">' not in browser.get("/").text


def test_pauses_are_named_above_the_figures_of_the_overview(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.execute(
        "insert into pauses (kind, name, operator, reason, until) values ('provider', 'smtp:mx:25', 'ada', 'x', null),"
        " ('channel', 'sms', 'ada', 'x', now() + interval '1 hour'), ('channel', 'email', 'ada', 'x', now())"
    )
    above = console.signed_in(token).get("/").text.partition('<dl class="figures">')[0]
    [note] = re.findall(r'<p class="note">(.+)</p>', above)
    assert re.sub(r"<.+?>", "", note) == "Paused: channel sms, provider smtp:mx:25. View pauses"
    assert 'href="/relays#pauses"' in note


def test_deaths_are_counted_apart_from_messages_that_are_dead_now(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.execute("insert into hourly_stats values (date_trunc('hour', now(), 'UTC'), 'email', 'dead', 5)")
    page = " ".join(re.sub(r"<.+?>", "", console.signed_in(token).get("/").text).split())
    assert "Deaths this hour 5 0 are dead now; a requeued message may count again" in page
