from uuid import UUID, uuid4

import pytest

from shared.reports.return_paths import (
    LONGEST_BASE_LOCAL_PART,
    LONGEST_LOCAL_PART,
    BounceAddress,
    BouncedMessage,
    bounced_message,
    recipient_tag,
)
from shared.secrets import SecretKeys

KEY, OTHER = b"k" * 32, b"o" * 32
KEYS = SecretKeys({"new": OTHER, "old": KEY})
MESSAGE = UUID("01a20b60-dd2c-76fb-8a8d-5af8658b6493")
SENDER = BounceAddress("bounces@example.org", KEY).sender_of(MESSAGE, "ada@example.org")


def test_an_envelope_sender_names_its_message_and_recipient() -> None:
    expected = BouncedMessage(MESSAGE, recipient_tag("ada@example.org", KEY))
    assert bounced_message(SENDER, KEYS) == bounced_message(SENDER.upper(), KEYS) == expected


def test_the_longest_local_part_fits_the_limit() -> None:
    longest = BounceAddress("b" * LONGEST_BASE_LOCAL_PART + "@example.org", KEY).sender_of(MESSAGE, "ada@example.org")
    assert len(longest.partition("@")[0]) == LONGEST_LOCAL_PART


@pytest.mark.parametrize(
    "changed",
    [
        "bounces@example.org",
        SENDER.replace(".", "", 1),
        SENDER.replace(SENDER[8], "a" if SENDER[8] != "a" else "b", 1),
        BounceAddress("bounces@example.org", b"x" * 32).sender_of(MESSAGE, "ada@example.org"),
        SENDER.rpartition(".org")[0].rpartition(".")[0] + "." + "a" * 13 + "@example.org",
    ],
)
def test_a_changed_one_names_nothing(changed: str) -> None:
    assert bounced_message(changed, KEYS) is None


def test_another_messages_mac_does_not_fit() -> None:
    other = BounceAddress("bounces@example.org", KEY).sender_of(uuid4(), "ada@example.org")
    mixed = SENDER.partition(".")[0] + "." + other.partition(".")[2]
    assert bounced_message(mixed, KEYS) is None
