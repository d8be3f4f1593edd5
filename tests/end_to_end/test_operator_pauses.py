"""Operators pause, resume and probe with `outboxctl` while a relay runs."""

import pytest

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.operators import outboxctl
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

WHY = ("--reason", "maintenance")


def test_a_running_relay_obeys_a_pause_until_it_is_resumed(outbox: Outbox, sink: MailSink) -> None:
    name = f"smtp:127.0.0.1:{sink.port}"
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        relay.wait_until_ready()
        assert outboxctl(outbox.database, "providers", "pause", name, "--yes", *WHY).exit_code == 0
        eventually(lambda: relay.logged("paused"))
        outbox.put(count=5)
        eventually(lambda: relay.get("/metrics").text.count("signpost_paused{") == 1)
        assert sink.arrived.total() == 0
        assert outboxctl(outbox.database, "providers", "resume", name, *WHY).exit_code == 0
        eventually(outbox.is_all_sent)
    assert sink.arrived.total() == 5


def test_a_probe_ends_the_long_pause_that_a_provider_asked_for(outbox: Outbox, sink: MailSink) -> None:
    name = f"smtp:127.0.0.1:{sink.port}"
    outbox.execute(
        "insert into providers (name, channel, consecutive_opens, open_until)"
        " values (%s, 'email', 3, now() + interval '1 hour')",
        name,
    )
    waits = {"due_at": "now() + interval '1 hour'", "provider": f"'{name}'", "last_error_class": "'provider'"}
    outbox.put(count=5, **waits)
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        relay.wait_until_ready()
        assert outboxctl(outbox.database, "providers", "probe", name, *WHY).exit_code == 0
        eventually(outbox.is_all_sent)
        assert relay.logged("provider up again")
