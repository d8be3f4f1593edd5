"""The overview, and the same figures for scripts and on the command line."""

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
