"""SASL mechanisms (RFC 4422), each as a generator. No IO.

A mechanism yields the client's messages and is sent the server's challenges. It yields None first if the server speaks
first. After the server has accepted the login, it is sent None; it then returns, or raises SaslError if the server has
accepted the login too early.
"""

import hmac
import secrets
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator, Mapping
from hashlib import pbkdf2_hmac, sha256

Exchange = Generator[bytes | None, bytes | None, None]
Mechanism = Callable[[str, str], Exchange]
"""Makes the exchange for a user and a secret, which is a password or an access token."""

FEWEST_ITERATIONS, MOST_ITERATIONS = 4_096, 1_000_000
"""Of SCRAM's key derivation. Fewer iterations would help somebody who guesses the password from the client's proof
(RFC 7677 §4). The most take about half a second."""

_NONCE_BYTES = 18


class SaslError(ConnectionError):
    """The server breaks the rules of the mechanism."""


def plain(user: str, password: str) -> Exchange:
    """RFC 4616."""
    yield f"\0{user}\0{password}".encode()


def login(user: str, password: str) -> Exchange:
    """draft-murchison-sasl-login: the server asks for the user and then for the password, in words of its own."""
    yield None
    yield user.encode()
    yield password.encode()


def cram_md5(user: str, password: str) -> Exchange:
    """RFC 2195."""
    challenge = yield None
    yield f"{user} {hmac.new(password.encode(), challenge or b'', 'md5').hexdigest()}".encode()


def scram_sha_256(user: str, password: str, nonce: str | None = None) -> Exchange:
    """RFC 5802 and RFC 7677, without channel binding. ``nonce`` is given in tests only."""
    nonce = nonce or b64encode(secrets.token_bytes(_NONCE_BYTES)).decode()
    client_first = f"n={_name(_prepared(user))},r={nonce}"
    server_first = _text((yield f"n,,{client_first}".encode()))
    salt, iterations, both_nonces = _server_first(server_first, nonce)
    salted = pbkdf2_hmac("sha256", _prepared(password).encode(), salt, iterations)
    client_key = _hmac(salted, b"Client Key")
    without_proof = f"c={b64encode(b'n,,').decode()},r={both_nonces}"
    signed = f"{client_first},{server_first},{without_proof}".encode()
    signature = _hmac(sha256(client_key).digest(), signed)
    proof = bytes(key ^ mask for key, mask in zip(client_key, signature, strict=True))
    server_final = _text((yield f"{without_proof},p={b64encode(proof).decode()}".encode()))
    expected = b64encode(_hmac(_hmac(salted, b"Server Key"), signed))
    if not hmac.compare_digest(_attributes(server_final).get("v", "").encode(), expected):
        raise SaslError("the server did not prove that it knows the password")
    yield b""


def xoauth2(user: str, token: str) -> Exchange:
    """Google's and Microsoft's mechanism. After a challenge, which explains an error, the server expects a response.

    https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
    """
    error = yield f"user={user}\1auth=Bearer {token}\1\1".encode()
    if error is not None:
        yield b""


def oauthbearer(user: str, token: str) -> Exchange:
    """RFC 7628. The response to an error is a single byte (§3.2.3)."""
    error = yield f"n,a={_name(user)},\1auth=Bearer {token}\1\1".encode()
    if error is not None:
        yield b"\1"


PASSWORD_MECHANISMS: Mapping[str, Mechanism] = {
    "PLAIN": plain,
    "LOGIN": login,
    "SCRAM-SHA-256": scram_sha_256,
    "CRAM-MD5": cram_md5,
}
"""In order of preference. The connection is encrypted, so the simple ones come first: every server implements them in
the same way, and a server that stores only hashes of passwords cannot check CRAM-MD5."""

TOKEN_MECHANISMS: Mapping[str, Mechanism] = {"XOAUTH2": xoauth2, "OAUTHBEARER": oauthbearer}


def _server_first(text: str, nonce: str) -> tuple[bytes, int, str]:
    """Return salt, iterations and the nonces of both sides."""
    attributes = _attributes(text)
    if "m" in attributes:  # RFC 5802 §5.1: the login must then fail
        raise SaslError("the server requires an extension of SCRAM")
    try:
        salt, iterations = b64decode(attributes["s"], validate=True), int(attributes["i"])
        both_nonces = attributes["r"]
    except (KeyError, ValueError) as error:
        raise SaslError("the server sent a challenge that is not SCRAM") from error
    extends_nonce = both_nonces.startswith(nonce) and both_nonces != nonce
    if not extends_nonce or not FEWEST_ITERATIONS <= iterations <= MOST_ITERATIONS:
        raise SaslError("the server sent a SCRAM challenge with a wrong nonce or iteration count")
    return salt, iterations, both_nonces


def _attributes(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in text.split(","))}


def _text(challenge: bytes | None) -> str:
    if challenge is None:
        raise SaslError("the server accepted the login before it proved that it knows the password")
    return challenge.decode(errors="replace")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _name(user: str) -> str:
    """Escape a user name (RFC 5802 §5.1)."""
    return user.replace("=", "=3D").replace(",", "=2C")


def _prepared(text: str) -> str:
    """Normalize as SASLprep does (RFC 4013 §2.1, §2.2). The server rejects prohibited characters."""
    mapped = "".join(
        " " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each)
    )
    return unicodedata.normalize("NFKC", mapped)


def decoded(challenge: str) -> bytes:
    """Decode the text of a 334 reply. Some servers send words instead of base64 where clients ignore them."""
    try:
        return b64decode(challenge.strip(), validate=True)
    except ValueError:
        return challenge.encode()
