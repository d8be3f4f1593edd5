"""A theme in a running relay: read at startup and on SIGHUP, rejected when it is broken."""

import signal
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.outbox import Outbox
from tests.support.processes import completed
from tests.support.relays import relay_environment, running_relay

pytestmark = pytest.mark.slow


def test_a_theme_is_read_again_on_a_reload_and_a_broken_one_changes_nothing(outbox: Outbox, tmp_path: Path) -> None:
    theme, mails = tmp_path / "theme", tmp_path / "mails"
    mails.mkdir()
    subject = theme / "activation" / "subject.txt"
    subject.parent.mkdir(parents=True)
    subject.write_text("First")

    def has_text(words: str) -> bool:
        return any(f"\nSubject: {words}\r\n".encode() in mail.read_bytes() for mail in mails.glob("*.eml"))

    settings = {"EMAIL_PROVIDERS": f"file://{mails}", "THEME_FOLDER": str(theme)}
    with running_relay(outbox.database, **settings) as relay:
        outbox.put()
        eventually(lambda: has_text("First"), seconds=30)
        subject.write_text("{{ nobody }}")
        relay.process.send_signal(signal.SIGHUP)
        [refused] = eventually(lambda: relay.logged("settings refused"))
        assert refused["error"] == f"template {subject}, line 1: 'nobody' is undefined"
        subject.write_text("Second")
        relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: relay.logged("relay reloaded"))
        outbox.put()
        eventually(lambda: has_text("Second"), seconds=30)


def test_a_broken_theme_is_reported_before_the_relay_starts(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / "layout.mjml").write_text("<mjml>")
    settings = {"EMAIL_PROVIDERS": "console:", "THEME_FOLDER": str(tmp_path)}
    for command in ("run", "once", "check-settings"):
        done = completed(("outbox-relay", command), relay_environment(outbox.database, **settings))
        assert done.returncode == 2
        assert done.stderr.startswith("settings: template ")
        assert done.stderr.count("\n") == 1
