from uuid import UUID

import pytest

from shared.reports.return_paths import BouncedMessage, Gateway, callback_url, recipient_tag, reported_message
from shared.secrets import SecretKeys

KEY, OTHER = b"k" * 32, b"o" * 32
KEYS = SecretKeys({"new": OTHER, "old": KEY})
MESSAGE = UUID("01a20b60-dd2c-76fb-8a8d-5af8658b6493")
NUMBER = "+33612345678"
URL = callback_url("https://signpost.example", Gateway.TWILIO, MESSAGE, NUMBER, KEY)
TOKEN = URL.rpartition("/")[2]


def test_a_url_names_its_message_and_recipient_but_not_the_number() -> None:
    assert URL.startswith("https://signpost.example/callbacks/twilio/")
    assert "612345678" not in URL
    assert reported_message(TOKEN, Gateway.TWILIO, KEYS) == BouncedMessage(MESSAGE, recipient_tag(NUMBER, KEY))


@pytest.mark.parametrize(
    "token",
    [
        "",
        TOKEN[:-1],
        TOKEN.upper(),
        TOKEN + "a",
        TOKEN.rpartition(".")[0] + "." + "a" * 24,
        ("b" if TOKEN[0] == "a" else "a") + TOKEN[1:],
    ],
)
def test_a_changed_url_names_no_message(token: str) -> None:
    assert reported_message(token, Gateway.TWILIO, KEYS) is None


def test_a_url_is_valid_for_one_kind_of_gateway_and_its_keys() -> None:
    assert reported_message(TOKEN, Gateway.JSON, KEYS) is None
    assert reported_message(TOKEN, Gateway.TWILIO, SecretKeys({"new": OTHER})) is None
