"""The settings of the receiver."""

from pathlib import Path
from typing import Any

import pytest

from receiver.bounces.settings import BounceSettings, BounceSettingsSchema, Mailbox
from shared.settings import SettingsError
from tests.support.keys import SECRET_KEYS

REQUIRED = {"DATABASE_URL": "postgresql+psycopg://receiver@db/signpost", "FEEDBACK_KEYS": SECRET_KEYS}


def read(**settings: str) -> BounceSettings:
    found: BounceSettings = BounceSettingsSchema().read(REQUIRED | settings)
    return found


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:24", ("127.0.0.1", 24)),
        ("[::1]:24", ("::1", 24)),
        ("localhost:24", ("localhost", 24)),
        ("/run/signpost-receiver/lmtp", Path("/run/signpost-receiver/lmtp")),
    ],
)
def test_lmtp_listens_on_loopback_or_a_socket_file(text: str, bind: Any) -> None:
    assert read(BOUNCE_LMTP_BIND=text).bounce_lmtp_bind == bind


@pytest.mark.parametrize("text", ["0.0.0.0:24", "[::]:24", "mx.example.org:24", "24", "run/lmtp", "/" + "x" * 107])
def test_lmtp_listens_nowhere_else(text: str) -> None:
    with pytest.raises(SettingsError, match="BOUNCE_LMTP_BIND"):
        read(BOUNCE_LMTP_BIND=text)


def test_a_receiver_without_a_source_of_bounces_is_refused_before_it_starts() -> None:
    with pytest.raises(SettingsError, match="neither BOUNCE_LMTP_BIND nor BOUNCE_IMAP_URL is set"):
        read()


def test_an_imap_url_is_percent_decoded() -> None:
    url = "imaps://bounces%40example.org:p%2Fw%3A@imap.example.org/Bounces%20old"
    mailbox = read(BOUNCE_IMAP_URL=url).bounce_imap_url
    assert mailbox == Mailbox("imap.example.org", 993, "bounces@example.org", "p/w:", "Bounces old")
    assert "p/w:" not in repr(mailbox)
    default = read(BOUNCE_IMAP_URL="imaps://u:p@imap.example.org:1993").bounce_imap_url
    assert default == Mailbox("imap.example.org", 1993, "u", "p", "INBOX")


@pytest.mark.parametrize(
    "url",
    [
        "imap://u:hidden@host/INBOX",
        "imaps://host/INBOX",
        "imaps://u@host/INBOX",
        "imaps://u:hidden@/INBOX",
        "imaps://u:hidden@host:x/INBOX",
        "imaps://u:hidden@host/INBOX?x=1",
        "imaps://u:hidden%0d%0aA1@host/INBOX",
        "imaps://u:hidden@host/INBOX%0A",
        "imaps://u:hidden@host/%ff",
        "imaps://u:hidden@host/Gel%C3%B6scht",
    ],
)
def test_a_wrong_imap_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(BOUNCE_IMAP_URL=url)
    assert "hidden" not in str(refused.value)
    assert "BOUNCE_IMAP_URL" in str(refused.value)
