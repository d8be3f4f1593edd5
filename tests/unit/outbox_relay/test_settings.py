import pytest

from outbox_relay.settings import RelaySettings, RelaySettingsSchema
from shared.settings import SettingsError
from tests.support.keys import SECRET_KEYS

GOOD = {
    "DATABASE_URL": "postgresql+psycopg://relay@db/signpost",
    "SECRET_KEYS": SECRET_KEYS,
    "PUBLIC_URL": "https://signpost.example",
    "EMAIL_PROVIDERS": "smtps://user:hush@mail.example.org",
    "EMAIL_FROM": "Signpost <no-reply@signpost.example>",
}


def read(**changes: str) -> RelaySettings:
    settings: RelaySettings = RelaySettingsSchema().read(GOOD | changes)
    return settings


def errors_in(**changes: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(**changes)
    return caught.value.errors


def test_the_defaults_fit_together() -> None:
    settings = read()
    assert settings.lease >= settings.longest_hold + settings.longest_send
    assert settings.email_from.address == "no-reply@signpost.example"


def test_a_lease_shorter_than_its_work_is_rejected() -> None:
    assert errors_in(RELAY_LEASE_SECONDS="59") == ["RELAY_LEASE_SECONDS=59 is below three times RELAY_SEND_SECONDS=20"]
    assert read(RELAY_LEASE_SECONDS="3", RELAY_SEND_SECONDS="1").lease_seconds == 3


def test_audit_retention_cannot_be_shorter_than_message_retention() -> None:
    assert errors_in(RELAY_RETENTION_DAYS="400") == [
        "RELAY_ACTIONS_RETENTION_DAYS=365 is below RELAY_RETENTION_DAYS=400"
    ]
    assert read(RELAY_RETENTION_DAYS="0").retention_days == 0


def test_errors_in_all_providers_are_reported_together() -> None:
    faults = errors_in(EMAIL_PROVIDERS="ftp://a.example, smtp://b.example?rate=often, smtp://c.example?rate=x, ftp://d")
    assert [fault.partition("has a URL ")[2][:12] for fault in faults] == ["whose scheme", "whose rate i"]


def test_a_relay_needs_a_provider() -> None:
    assert errors_in(EMAIL_PROVIDERS="") == [
        "EMAIL_PROVIDERS, SMS_PROVIDERS and PROVISION_DATABASE_URL are all not set: there is nothing to deliver through"
    ]


@pytest.mark.parametrize(
    "public_url",
    ["http://signpost.example", "https://signpost.example:8443", "https://192.0.2.1", "https://[2001:db8::1]"],
)
def test_one_tap_codes_need_a_public_url_with_a_domain(public_url: str) -> None:
    assert errors_in(PUBLIC_URL=public_url, SMS_ONE_TAP="on") == [
        "SMS_ONE_TAP=on needs a PUBLIC_URL that is https at a domain, without a port"
    ]
    assert read(PUBLIC_URL=public_url).one_tap_domain is None


def test_one_tap_codes_use_the_domain_of_the_public_url() -> None:
    assert read(SMS_ONE_TAP="on").one_tap_domain == "signpost.example"
    assert read(SMS_ONE_TAP="on", PUBLIC_URL="https://bücher.example").one_tap_domain == "xn--bcher-kva.example"
    assert read(SMS_ONE_TAP="off").one_tap_domain is None
    assert errors_in(SMS_ONE_TAP="yes") == ["SMS_ONE_TAP='yes' is neither on nor off"]


def test_contradictions_are_reported_with_all_other_errors() -> None:
    faults = errors_in(EMAIL_FROM="nobody", RELAY_BATCH_SIZE="0", EMAIL_PROVIDERS="")
    assert len(faults) == 3


def test_a_providers_password_is_never_shown() -> None:
    [fault] = errors_in(EMAIL_PROVIDERS="ftp://user:hush@mail.example.org")
    assert "hush" not in fault
    assert "hush" not in repr(read())


@pytest.mark.parametrize(
    "sender", ["nobody", "<>", "A <a@>", "A <a@b.org>\r\nBcc: c@d.org", "A <a@b.org>, B <b@b.org>"]
)
def test_an_invalid_sender_is_rejected(sender: str) -> None:
    [fault] = errors_in(EMAIL_FROM=sender)
    assert fault.startswith("EMAIL_FROM=")


def test_bounces_need_keys_of_their_own() -> None:
    assert errors_in(BOUNCE_ADDRESS="bounces@example.org") == [
        "BOUNCE_ADDRESS is set and FEEDBACK_KEYS is not: bounces could not be verified"
    ]
    assert read(FEEDBACK_KEYS=SECRET_KEYS).bounces is None
    bounces = read(BOUNCE_ADDRESS="bounces@example.org", FEEDBACK_KEYS=SECRET_KEYS).bounces
    assert bounces is not None
    assert bounces.base == "bounces@example.org"


@pytest.mark.parametrize("address", ["bounces", "bounces-here@example.org", "jörg@example.org"])
def test_a_bounce_address_is_ascii_and_leaves_room_for_the_message(address: str) -> None:
    [fault] = errors_in(BOUNCE_ADDRESS=address, FEEDBACK_KEYS=SECRET_KEYS)
    assert fault.startswith("BOUNCE_ADDRESS=")


def test_secrets_and_addresses_of_operators_are_not_shown() -> None:
    shown = repr(
        read(OPERATOR_ADDRESSES="ops@example.org", OPERATOR_WEBHOOK_KEY="k" * 16, OPERATOR_WEBHOOK_URL="https://hook")
    )
    hidden = ("ops@example.org", "k" * 16, "https://hook", "hush", "relay@db")
    assert [text for text in hidden if text in shown] == []
    assert "batch_size=500" in shown


def test_callbacks_need_keys_that_authenticate_them() -> None:
    assert errors_in(CALLBACK_URL="https://callbacks.example.org") == [
        "CALLBACK_URL is set and FEEDBACK_KEYS is not: nothing would authenticate the callbacks"
    ]
    assert read(CALLBACK_URL="https://callbacks.example.org", FEEDBACK_KEYS=SECRET_KEYS).callback_url
    assert read(CALLBACK_URL="http://127.0.0.1:8006", FEEDBACK_KEYS=SECRET_KEYS).callback_url


def test_callbacks_from_other_machines_need_https() -> None:
    assert errors_in(CALLBACK_URL="http://callbacks.example.org", FEEDBACK_KEYS=SECRET_KEYS) == [
        "CALLBACK_URL='http://callbacks.example.org' is not an https URL"
    ]
