"""The API accepts only its own currently valid tokens."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from api_service.security.access_tokens import LEEWAY, MAX_LENGTH, TYPE, AccessTokens, CurrentUser
from shared.secrets import SecretKeys, code_for, link_token_for, signing_seed
from shared.web.problems import InvalidTokenError
from tests.support.keys import KEY, KEY_ID, KEYS, PUBLIC_URL

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
LIFETIME = timedelta(minutes=10)
TOKENS = AccessTokens(KEYS, PUBLIC_URL, LIFETIME)
HOLDER = CurrentUser(uuid4(), uuid4())
OURS = Ed25519PrivateKey.from_private_bytes(signing_seed(KEY))


def now() -> datetime:
    return datetime.now(UTC)


def claims(**changes: Any) -> dict[str, Any]:
    good = jwt.decode(TOKENS.issue(HOLDER, now()), options={"verify_signature": False})
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(payload: dict[str, Any], key: Any = OURS, *, algorithm: str = "EdDSA", **header: Any) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": KEY_ID, "typ": TYPE} | header)


def unsigned(header: dict[str, Any], signature: str = "") -> str:
    parts = [json.dumps(part).encode() for part in (header, claims())]
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), signature])


def test_a_token_names_its_user_and_session() -> None:
    issued_at = now()
    token = TOKENS.issue(HOLDER, issued_at)

    assert TOKENS.read(token) == HOLDER
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": KEY_ID, "typ": "at+jwt"}
    assert jwt.decode(token, options={"verify_signature": False}) | {"jti": None} == {
        "iss": PUBLIC_URL,
        "aud": PUBLIC_URL,
        "sub": str(HOLDER.user_id),
        "sid": str(HOLDER.session_id),
        "iat": int(issued_at.timestamp()),
        "exp": int(issued_at.timestamp()) + 600,
        "jti": None,
    }
    assert len(token) < MAX_LENGTH / 2


def test_a_token_has_claims_for_other_services_that_replace_none_of_its_own() -> None:
    token = TOKENS.issue(HOLDER, now(), lifetime=timedelta(minutes=2), claims={"email_verified": False, "sub": "eve"})

    read = jwt.decode(token, options={"verify_signature": False})
    assert read["email_verified"] is False
    assert read["exp"] - read["iat"] == 120
    assert TOKENS.read(token) == HOLDER


def test_each_token_is_unique() -> None:
    moment = now()
    assert TOKENS.issue(HOLDER, moment) != TOKENS.issue(HOLDER, moment)


def test_the_basis_of_the_forgeries_is_valid() -> None:
    assert TOKENS.read(signed(claims())) == HOLDER


PUBLIC_PEM = OURS.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
PUBLIC_RAW = OURS.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def hs256_with(key: bytes) -> str:
    """Sign as an attacker would against a library that trusts the token's algorithm."""
    token = unsigned({"alg": "HS256", "kid": KEY_ID, "typ": TYPE})
    signer = jwt.get_algorithm_by_name("HS256")
    signature = signer.sign(token.rpartition(".")[0].encode(), key)
    return token + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


FORGED = {
    "alg none": unsigned({"alg": "none", "kid": KEY_ID, "typ": TYPE}),
    "alg None": unsigned({"alg": "None", "kid": KEY_ID, "typ": TYPE}, "AAAA"),
    "no alg": unsigned({"kid": KEY_ID, "typ": TYPE}, "AAAA"),
    "a list of algs": unsigned({"alg": ["EdDSA"], "kid": KEY_ID, "typ": TYPE}, "AAAA"),
    "a list of kids": unsigned({"alg": "EdDSA", "kid": [KEY_ID], "typ": TYPE}, "AAAA"),
    "a key of its own": unsigned({"alg": "EdDSA", "kid": KEY_ID, "typ": TYPE, "jwk": {"kty": "OKP"}}, "AAAA"),
    "detached": unsigned({"alg": "EdDSA", "kid": KEY_ID, "typ": TYPE, "b64": False, "crit": ["b64"]}, "AAAA"),
    "HS256 with the public PEM": hs256_with(PUBLIC_PEM),
    "HS256 with the public bytes": hs256_with(PUBLIC_RAW),
    "HS256 with the secret key": hs256_with(KEY),
    "someone's key": signed(claims(), Ed25519PrivateKey.generate()),
    "the secret key itself": signed(claims(), Ed25519PrivateKey.from_private_bytes(KEY)),
    "unknown kid": signed(claims(), kid="another"),
    "kid like a path": signed(claims(), kid="../../dev/null"),
    "no kid": jwt.encode(claims(), OURS, algorithm="EdDSA", headers={"typ": TYPE}),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token_is_rejected(how: str) -> None:
    with pytest.raises(InvalidTokenError):
        TOKENS.read(FORGED[how])


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "sid", "iat", "exp", "jti"])
def test_a_token_without_one_of_the_claims_is_rejected(claim: str) -> None:
    with pytest.raises(InvalidTokenError):
        TOKENS.read(signed(claims(**{claim: None})))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"iss": PUBLIC_URL + "/"},
        {"aud": "https://elsewhere.example"},
        {"aud": [PUBLIC_URL, "https://elsewhere.example"]},
        {"sub": "1"},
        {"sub": 1},
        {"sid": 7},
        {"sid": ["x"]},
        {"jti": 7},
        {"exp": "soon"},
        {"iat": "lately"},
        {"iat": 1e400},
    ],
)
def test_a_token_with_another_audience_or_issuer_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidTokenError):
        TOKENS.read(signed(claims(**changes)))


@pytest.mark.parametrize("kind", ["JWT", "dpop+jwt", "AT+JWT", None])
def test_a_token_for_another_purpose_is_rejected(kind: str | None) -> None:
    with pytest.raises(InvalidTokenError):
        TOKENS.read(signed(claims(), typ=kind))


def test_a_token_is_valid_for_its_lifetime_with_small_clock_differences() -> None:
    almost_over = now() - LIFETIME + timedelta(seconds=30)
    from_a_fast_clock = now() + timedelta(seconds=4)

    assert TOKENS.read(TOKENS.issue(HOLDER, almost_over)) == TOKENS.read(TOKENS.issue(HOLDER, from_a_fast_clock))


@pytest.mark.parametrize("issued_after", [-LIFETIME - LEEWAY - timedelta(seconds=1), LEEWAY + timedelta(minutes=1)])
def test_expired_and_future_tokens_are_rejected(issued_after: timedelta) -> None:
    with pytest.raises(InvalidTokenError):
        TOKENS.read(TOKENS.issue(HOLDER, now() + issued_after))


def test_a_token_changed_in_any_place_is_rejected() -> None:
    token = TOKENS.issue(HOLDER, now())
    for place, letter in enumerate(token):
        # Change the first of six bits, because the last bits of a part may be unused padding.
        other = ALPHABET[ALPHABET.index(letter) ^ 32] if letter != "." else "A"
        with pytest.raises(InvalidTokenError):
            TOKENS.read(token[:place] + other + token[place + 1 :])


NONE_OF_OURS = {
    "nothing": "",
    "a dot": ".",
    "two dots": "..",
    "four parts": "a.b.c.d",
    "no ASCII": "é.\0.é",
    "half a pair": "a.\ud800.c",
    "a link's token": link_token_for(uuid4(), KEY),
    "a code": code_for(uuid4(), KEY),
    "as long as may be": "A" * MAX_LENGTH,
    "a megabyte": "A" * 1_000_000,
    "nested deeply": base64.urlsafe_b64encode(b"[" * 1500).decode() + ".e30.AAAA",
    "with padding": TOKENS.issue(HOLDER, now()) + "==",
    "with a line's end": TOKENS.issue(HOLDER, now()) + "\n",
    "after a space": " " + TOKENS.issue(HOLDER, now()),
    "too long, but signed": signed(claims(more="x" * MAX_LENGTH)),
}


@pytest.mark.parametrize("what", NONE_OF_OURS)
def test_malformed_access_tokens_are_rejected(what: str) -> None:
    with pytest.raises(InvalidTokenError):
        TOKENS.read(NONE_OF_OURS[what])


@given(st.text(max_size=200) | st.lists(st.text(ALPHABET, max_size=60), min_size=2, max_size=5).map(".".join))
def test_any_text_is_rejected_without_an_exception(text: str) -> None:
    with pytest.raises(InvalidTokenError):
        TOKENS.read(text)


def test_the_first_key_signs_and_each_current_key_verifies() -> None:
    old, new = KEYS, SecretKeys({"new": bytes(32), KEY_ID: KEY})
    before, after = AccessTokens(old, PUBLIC_URL, LIFETIME), AccessTokens(new, PUBLIC_URL, LIFETIME)
    only_new = AccessTokens(SecretKeys({"new": bytes(32)}), PUBLIC_URL, LIFETIME)

    assert after.read(before.issue(HOLDER, now())) == HOLDER
    assert only_new.read(after.issue(HOLDER, now())) == HOLDER
    with pytest.raises(InvalidTokenError):
        only_new.read(before.issue(HOLDER, now()))


def test_the_key_set_verifies_elsewhere_and_has_no_private_part() -> None:
    both = AccessTokens(SecretKeys({KEY_ID: KEY, "next": bytes(32)}), PUBLIC_URL, LIFETIME)
    document = json.loads(json.dumps(both.key_set()))

    assert [set(key) for key in document["keys"]] == [{"kty", "crv", "x", "kid", "alg", "use"}] * 2
    assert [key["kid"] for key in document["keys"]] == [KEY_ID, "next"]
    assert {(key["kty"], key["crv"], key["alg"], key["use"]) for key in document["keys"]} == {
        ("OKP", "Ed25519", "EdDSA", "sig")
    }
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(document).keys}
    token = both.issue(HOLDER, now())
    read = jwt.decode(token, keys[KEY_ID], algorithms=["EdDSA"], audience=PUBLIC_URL, issuer=PUBLIC_URL)
    assert read["sub"] == str(HOLDER.user_id)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, keys["next"], algorithms=["EdDSA"], audience=PUBLIC_URL, issuer=PUBLIC_URL)


def test_the_signing_key_differs_from_the_secret_key_and_code_keys() -> None:
    assert signing_seed(KEY) != KEY
    assert signing_seed(KEY) != signing_seed(bytes(32))
    assert len(signing_seed(KEY)) == 32
