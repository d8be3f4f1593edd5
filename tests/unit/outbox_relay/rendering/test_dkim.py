"""DKIM signatures, checked by an independent verifier."""

import re
from email.headerregistry import Address
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from outbox_relay.rendering.branding import Sender
from outbox_relay.rendering.dkim import Dkim, DkimKey, Signer, parse_dkim_keys
from outbox_relay.rendering.renderer import Renderer
from shared.secrets import SecretKeys
from shared.templates import TEMPLATES, Template
from shared.vocabulary import Locale
from tests.support.claimed import a_claimed_message
from tests.support.dkim_keys import ed25519_key, pem_of, record_of, rsa_key, verifies

KEYS = SecretKeys({"k1": b"k" * 32})
SENDER = Sender("Société Signpost", "no-reply@signpost.example")
ED = Signer(Dkim("signpost.example", (("ed", ed25519_key()),)))
RECORDS = {
    "ed._domainkey.signpost.example": record_of(ed25519_key()),
    "rsa._domainkey.signpost.example": record_of(rsa_key()),
}


@cache
def renderer() -> Renderer:
    return Renderer(KEYS, "https://signpost.example", SENDER)


@cache
def a_mail() -> bytes:
    return renderer().render(a_claimed_message())


@pytest.mark.parametrize(("selector", "key"), [("ed", ed25519_key()), ("rsa", rsa_key())])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("locale", Locale)
def test_the_signature_of_each_mail_is_valid(selector: str, key: DkimKey, template: Template, locale: Locale) -> None:
    signer = Signer(Dkim("signpost.example", ((selector, key),)))
    signed = signer.signed(renderer().render(a_claimed_message(template=template, locale=locale)))
    assert verifies(signed, RECORDS)


def test_with_several_keys_each_signature_is_valid_alone() -> None:
    signed = Signer(Dkim("signpost.example", (("rsa", rsa_key()), ("ed", ed25519_key())))).signed(a_mail())
    assert signed.count(b"DKIM-Signature:") == 2
    assert [verifies(signed, RECORDS, which) for which in (0, 1)] == [True, True]


@given(
    name=st.text(max_size=80),
    recipient=st.sampled_from(["ada@example.org", "zoë@example.org", f"{'a' * 64}@{'b' * 60}.{'c' * 60}.example"]),
)
def test_signing_any_values_leaves_the_mail_unchanged(name: str, recipient: str) -> None:
    mail = renderer().render(a_claimed_message(recipient=recipient, payload={"name": name, "key_id": "k1"}))
    signed = ED.signed(mail)
    assert verifies(signed, RECORDS)
    assert signed.endswith(mail)


def test_the_signature_covers_reply_to() -> None:
    sender = Sender("Signpost", "no-reply@signpost.example", Address("Zoë", "help", "signpost.example"))
    signed = ED.signed(Renderer(KEYS, "https://signpost.example", sender).render(a_claimed_message()))
    assert verifies(signed, RECORDS)
    assert not verifies(signed.replace(b"<help@signpost.example>", b"<eve@signpost.example>"), RECORDS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"To: ada@", b"To: eve@"),
        (b"Subject: Your", b"Subject: My"),
        (b"<no-reply@", b"<reply@"),
        (b"20 Nov 2026", b"21 Nov 2026"),
        (b'=_signpost"\r\n', b'=_sign"\r\n'),
        (b"Hello", b"Hallo"),
        (b"https://signpost.example/", b"https://evil.example/"),
    ],
)  # fmt: skip
def test_the_signature_of_a_modified_mail_is_invalid(before: bytes, after: bytes) -> None:
    signed = ED.signed(a_mail())
    assert before in signed
    assert not verifies(signed.replace(before, after), RECORDS)


@pytest.mark.parametrize("header", [b"From", b"To", b"Cc", b"Subject", b"Reply-To", b"Date", b"Content-Type"])
def test_the_signature_prevents_added_headers(header: bytes) -> None:
    assert not verifies(header + b": eve@evil.example\r\n" + ED.signed(a_mail()), RECORDS)


def test_the_signature_survives_folding_trimming_and_trace_headers() -> None:
    signed = ED.signed(a_mail()).replace(b"To: ada@", b"To:  \r\n  ada@").replace(b"\r\n\r\n--=_", b" \r\n\r\n--=_")
    assert verifies(b"Received: from relay\r\n" + signed + b"\r\n\r\n", RECORDS)


def test_a_signature_by_another_key_is_invalid() -> None:
    other = Signer(Dkim("signpost.example", (("ed", ed25519_key(1)),)))
    assert not verifies(other.signed(a_mail()), RECORDS)


def test_a_signature_has_short_lines_without_leading_dots() -> None:
    signature = Signer(Dkim("signpost.example", (("rsa", rsa_key()),))).signed(a_mail()).removesuffix(a_mail())
    lines = signature.split(b"\r\n")
    assert lines.pop() == b""
    assert [line for line in lines if len(line) > 98 or line.startswith(b".")] == []
    assert re.fullmatch(rb"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;", lines[0])


def test_each_attempt_has_the_same_signature() -> None:
    assert ED.signed(a_mail()) == ED.signed(a_mail())


def test_keys_are_read_in_order() -> None:
    rsa, ed = parse_dkim_keys(pem_of(rsa_key(), ed25519_key()))
    assert record_of(rsa) == record_of(rsa_key())
    assert record_of(ed) == record_of(ed25519_key())


def encrypted() -> str:
    key = ed25519_key()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush")).decode()


def of_another_kind() -> str:
    return pem_of(ec.generate_private_key(ec.SECP256R1()))  # type: ignore[arg-type] # the kind of key that is rejected


@pytest.mark.parametrize(
    ("pem", "fault"),
    [
        ("hush", "holds no private key in PEM form"),
        (pem_of(ed25519_key()).replace("M", "!", 1), "holds something that is no private key in PEM form"),
        (encrypted(), "holds an encrypted key: the relay has no password for it"),
        (of_another_kind(), "holds a key that is neither RSA nor Ed25519"),
        (pem_of(rsa_key(1024)), "holds an RSA key that has not 2048 to 4096 bits"),
    ],
)
def test_an_unusable_key_is_rejected_without_being_quoted(pem: str, fault: str) -> None:
    with pytest.raises(ValueError, match=rf"^{fault}$"):
        parse_dkim_keys(pem)
