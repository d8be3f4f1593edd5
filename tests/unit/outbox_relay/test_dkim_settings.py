"""Errors in the DKIM settings."""

from pathlib import Path

import pytest

from outbox_relay.settings import RelaySettings, RelaySettingsSchema
from shared.settings import SettingsError
from tests.support.dkim_keys import ed25519_key, pem_of, record_of, rsa_key
from tests.support.keys import SECRET_KEYS

GOOD = {
    "DATABASE_URL": "postgresql+psycopg://relay@db/signpost",
    "SECRET_KEYS": SECRET_KEYS,
    "PUBLIC_URL": "https://signpost.example",
    "EMAIL_PROVIDERS": "console:",
    "EMAIL_FROM": "Signpost <no-reply@mail.signpost.example>",
    "DKIM_DOMAIN": "signpost.example",
    "DKIM_SELECTOR": "2026",
    "DKIM_KEY": pem_of(ed25519_key()),
}

NO_SELECTORS = "is not a list of different selectors, such as 2026 or rsa2026,ed2026"


def read(**changes: str) -> RelaySettings:
    settings: RelaySettings = RelaySettingsSchema().read(GOOD | changes)
    return settings


def errors_in(**changes: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(**changes)
    return caught.value.errors


def test_without_a_domain_mails_are_not_signed() -> None:
    assert read(DKIM_DOMAIN="", DKIM_SELECTOR="", DKIM_KEY="").dkim is None


@pytest.mark.parametrize("domain", ["signpost.example", "MAIL.signpost.example", "a.mail.signpost.example"])
def test_the_signing_domain_may_be_a_parent_of_the_from_domain(domain: str) -> None:
    dkim = read(DKIM_DOMAIN=domain).dkim
    assert dkim is not None
    assert dkim.domain == domain.lower()


@pytest.mark.parametrize("domain", ["evil.example", "post.example", "other.signpost.example"])
def test_a_signing_domain_unrelated_to_from_is_rejected(domain: str) -> None:
    assert errors_in(DKIM_DOMAIN=domain) == [
        f"DKIM_DOMAIN={domain!r} is neither the domain of EMAIL_FROM nor one above or below it"
    ]


def test_several_keys_have_selectors_in_order() -> None:
    dkim = read(DKIM_SELECTOR="rsa, ED", DKIM_KEY=pem_of(rsa_key(), ed25519_key())).dkim
    assert dkim is not None
    assert [(selector, record_of(key)) for selector, key in dkim.keys] == [
        ("rsa", record_of(rsa_key())),
        ("ed", record_of(ed25519_key())),
    ]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"DKIM_KEY": ""}, "DKIM_DOMAIN, DKIM_SELECTOR and DKIM_KEY go together: DKIM_KEY not set"),
        ({"DKIM_SELECTOR": "a,b"}, "DKIM_SELECTOR has 2 names, and DKIM_KEY 1 keys"),
        ({"DKIM_SELECTOR": "a,a"}, f"DKIM_SELECTOR='a,a' {NO_SELECTORS}"),
        ({"DKIM_SELECTOR": "a; p=x"}, f"DKIM_SELECTOR='a; p=x' {NO_SELECTORS}"),
        ({"DKIM_DOMAIN": "x; d=y"}, "DKIM_DOMAIN='x; d=y' is not a domain name"),
        ({"DKIM_KEY": "hush"}, "DKIM_KEY holds no private key in PEM form"),
    ],
)  # fmt: skip
def test_each_error_is_one_line_without_a_key(changes: dict[str, str], fault: str) -> None:
    assert errors_in(**changes) == [fault]


def test_a_key_file_that_others_can_read_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(GOOD["DKIM_KEY"])
    path.chmod(0o644)
    assert errors_in(DKIM_KEY="", DKIM_KEY_FILE=str(path)) == [
        f"DKIM_KEY_FILE='{path}' can be read by others: chmod o= would keep them out"
    ]
    path.chmod(0o640)
    assert read(DKIM_KEY="", DKIM_KEY_FILE=str(path)).dkim is not None


def test_a_missing_key_file_is_reported_once(tmp_path: Path) -> None:
    [fault] = errors_in(DKIM_KEY="", DKIM_KEY_FILE=str(tmp_path / "gone"))
    assert fault.endswith("cannot be read: FileNotFoundError")


def test_keys_are_never_shown() -> None:
    assert "PrivateKey" not in repr(read())
