"""A relay is ready while it delivers, and while it waits for a provider."""

import pytest

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relays import RunningRelay, running_relay

pytestmark = pytest.mark.slow

LONG_DUE = "now() - interval '1 hour'"


def readyz(relay: RunningRelay, status: int, member: str) -> list[str]:
    """Return that member of the response once its status is the expected one."""

    def listed() -> list[str]:
        response = relay.get("/readyz")
        return list(response.json().get(member, [])) if response.status_code == status else []

    return eventually(listed, seconds=30)


def only_item(listed: list[str], part: str) -> list[str]:
    """Return the list if it has one item, which contains that text, and otherwise an empty one."""
    return listed if len(listed) == 1 and part in listed[0] else []


def ready_metric(relay: RunningRelay) -> list[str]:
    return [line for line in relay.get("/metrics").text.splitlines() if line.startswith("signpost_relay_ready")]


def test_a_relay_with_an_overdue_message_is_not_ready_until_it_delivers_the_message(
    outbox: Outbox, sink: MailSink
) -> None:
    outbox.put(due_at=LONG_DUE)
    provider = f"{sink.provider}&rate=50/s"  # one message does not use up this rate
    with outbox.database.connect() as owner, running_relay(outbox.database, EMAIL_PROVIDERS=provider) as relay:
        with owner.transaction():
            owner.execute("select from outbox_messages for update")
            # Just after startup, it also reports that it has not claimed yet.
            [listed] = eventually(lambda: only_item(readyz(relay, 503, "missing"), "a message has been due for 36"))
            assert listed.startswith("email high: ")
            assert ready_metric(relay) == ["signpost_relay_ready 0.0"]
            assert relay.get("/livez").is_success
        relay.wait_until_ready()
        assert ready_metric(relay) == ["signpost_relay_ready 1.0"]
        eventually(outbox.is_all_sent)


def test_a_relay_whose_provider_is_down_is_ready_and_reports_the_cause(outbox: Outbox, sink: MailSink) -> None:
    provider = f"smtp:127.0.0.1:{sink.port}"
    outbox.execute(
        "insert into providers (name, consecutive_opens, open_until) values (%s, 3, now() + interval '1 hour')",
        provider,
    )
    outbox.put(due_at=LONG_DUE)
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        assert readyz(relay, 200, "held") == [f"email high: {provider} is down"]


def test_a_relay_that_waits_for_its_rate_is_ready_and_reports_it(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=3, due_at=LONG_DUE)
    with running_relay(outbox.database, EMAIL_PROVIDERS=f"{sink.provider}&rate=1/h") as relay:
        eventually(lambda: outbox.number("select count(*) from outbox_messages where status = 'sent'") == 1, seconds=30)
        assert readyz(relay, 200, "held") == [f"email high: smtp:127.0.0.1:{sink.port} is at its rate"]


def test_a_relay_is_ready_and_reports_what_an_operator_paused(outbox: Outbox, sink: MailSink) -> None:
    outbox.execute(
        "insert into pauses (kind, name, operator, reason) values"
        " ('channel', 'email', 'ada', 'maintenance'), ('template', 'activation', 'ada', 'wrong text')"
    )
    outbox.put(due_at=LONG_DUE)
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        assert readyz(relay, 200, "held") == [
            f"email high: smtp:127.0.0.1:{sink.port} is paused",
            "email high: template activation is paused",
        ]
        paused = [line for line in relay.get("/metrics").text.splitlines() if line.startswith("signpost_paused{")]
        assert paused == [
            'signpost_paused{kind="channel",name="email"} 1.0',
            'signpost_paused{kind="template",name="activation"} 1.0',
        ]


def test_a_relay_on_an_older_schema_is_not_ready_and_says_so(outbox: Outbox, sink: MailSink) -> None:
    [(revision,)] = outbox.execute("delete from alembic_version returning version_num")
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: readyz(relay, 503, "missing") == ["schema"])
        outbox.execute("insert into alembic_version values (%s)", revision)
        relay.wait_until_ready()


def test_a_relay_on_a_schema_without_its_columns_waits_for_the_migration(outbox: Outbox, sink: MailSink) -> None:
    outbox.put()
    outbox.execute("alter table providers rename column consecutive_opens to an_older_name")
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: relay.logged("schema too old"))
        eventually(lambda: "schema" in readyz(relay, 503, "missing"))
        outbox.execute("alter table providers rename column an_older_name to consecutive_opens")
        relay.wait_until_ready()
        eventually(outbox.is_all_sent)
