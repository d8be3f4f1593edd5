"""SASL mechanisms against the examples of their specifications."""

from base64 import b64decode

import pytest

from outbox_relay.channels.smtp.sasl import (
    Exchange,
    SaslError,
    cram_md5,
    decoded,
    login,
    oauthbearer,
    plain,
    scram_sha_256,
    xoauth2,
)

NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def messages(exchange: Exchange, *challenges: bytes) -> list[bytes | None]:
    """Return the client's lines until the server accepts the login."""
    sent = [next(exchange), *(exchange.send(challenge) for challenge in challenges)]
    with pytest.raises(StopIteration):
        exchange.send(None)
    return sent


def test_scram_sha_256_is_as_in_rfc_7677() -> None:
    assert messages(scram_sha_256("user", "pencil", NONCE), SERVER_FIRST, SERVER_FINAL) == [
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        CLIENT_FINAL,
        b"",
    ]


def test_the_password_of_scram_is_prepared_as_in_rfc_4013() -> None:
    written = messages(scram_sha_256("user", "pencil", NONCE), SERVER_FIRST, SERVER_FINAL)
    with_soft_hyphen = messages(scram_sha_256("us\xader", "pen\xadcil", NONCE), SERVER_FIRST, SERVER_FINAL)
    assert with_soft_hyphen == written
    assert next(scram_sha_256("a=b,c", "", NONCE)) == b"n,,n=a=3Db=2Cc,r=rOprNGfwEbeRWgbNEkqO"


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=rOprNGfwEbeRWgbNEkqO%hv,s=W22Z,i=many",
        b"r=rOprNGfwEbeRWgbNEkqO%hv,s=!,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",  # no nonce of the server
        b"r=another%hv,s=W22Z,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO%hv,s=W22Z,i=0",
        b"r=rOprNGfwEbeRWgbNEkqO%hv,s=W22Z,i=4095",
        b"m=ext,r=rOprNGfwEbeRWgbNEkqO%hv,s=W22Z,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO%hv,s=W22Z,i=100000000",
    ],
)
def test_a_malformed_challenge_ends_the_login(challenge: bytes) -> None:
    exchange = scram_sha_256("user", "pencil", NONCE)
    next(exchange)
    with pytest.raises(SaslError):
        exchange.send(challenge)


@pytest.mark.parametrize("final", [b"v=AAAA", "v=é".encode(), b"e=invalid-proof", None])
def test_a_server_without_the_password_is_not_trusted(final: bytes | None) -> None:
    exchange = scram_sha_256("user", "pencil", NONCE)
    next(exchange)
    exchange.send(SERVER_FIRST)
    with pytest.raises(SaslError, match="it knows the password"):
        exchange.send(final)


def test_cram_md5_is_as_in_rfc_2195() -> None:
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    sent = messages(cram_md5("tim", "tanstaaftanstaaf"), challenge)
    assert sent == [None, b"tim b913a602c7eda7a495b4e6e7334d3890"]


def test_xoauth2_is_as_in_googles_description() -> None:
    token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
    [sent] = messages(xoauth2("someuser@example.com", token))
    assert sent == b64decode(
        "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cB"
        "AQ=="
    )


def test_oauthbearer_is_as_in_rfc_7628_without_the_optional_host() -> None:
    [sent] = messages(oauthbearer("us,er@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="))
    assert sent == b"n,a=us=2Cer@example.com,\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"


def test_the_reason_for_a_refused_token_gets_a_response() -> None:
    reason = b'{"status":"invalid_token"}'
    assert messages(xoauth2("user", "token"), reason)[1] == b""
    assert messages(oauthbearer("user", "token"), reason)[1] == b"\1"


def test_plain_and_login_present_the_password() -> None:
    assert messages(plain("user", "pencil")) == [b"\0user\0pencil"]
    assert messages(login("user", "pencil"), b"Username:", b"Password:") == [None, b"user", b"pencil"]


def test_a_challenge_in_words_is_read_as_it_is() -> None:
    assert (decoded("VXNlcm5hbWU6"), decoded("Username:"), decoded("é")) == (b"Username:", b"Username:", "é".encode())
