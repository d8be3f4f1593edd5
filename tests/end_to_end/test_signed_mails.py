"""A relay that signs mails: a verifier accepts the signatures, also after a reload changed the key."""

import signal
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.dkim_keys import ed25519_key, pem_of, record_of, rsa_key, verifies
from tests.support.eventually import eventually
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

SELECTOR = "2026._domainkey.signpost.example"


def test_mails_are_signed_and_after_a_reload_with_the_new_key(outbox: Outbox, tmp_path: Path) -> None:
    key, mails = tmp_path / "key.pem", tmp_path / "mails"
    key.touch(mode=0o600)
    key.write_text(pem_of(rsa_key()))
    settings = {
        "EMAIL_PROVIDERS": f"file://{mails}",
        "DKIM_DOMAIN": "signpost.example",
        "DKIM_SELECTOR": "2026",
        "DKIM_KEY_FILE": str(key),
    }

    def delivered(message_id: UUID) -> bytes:
        path = mails / f"{message_id}.eml"
        eventually(path.exists)
        return path.read_bytes()

    with running_relay(outbox.database, **settings) as relay:
        [first] = outbox.put(recipient="'zoë@example.org'")
        assert verifies(delivered(first), {SELECTOR: record_of(rsa_key())})
        key.write_text(pem_of(ed25519_key()))
        relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: relay.logged("relay reloaded"))
        [second] = outbox.put()
        assert verifies(delivered(second), {SELECTOR: record_of(ed25519_key())})
        key.chmod(0o644)
        relay.process.send_signal(signal.SIGHUP)
        [refused] = eventually(lambda: relay.logged("settings refused"))
        assert "can be read by others" in refused["error"]
        [third] = outbox.put()
        assert verifies(delivered(third), {SELECTOR: record_of(ed25519_key())})
        assert "PRIVATE" not in relay.log_text()
