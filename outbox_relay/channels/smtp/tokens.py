"""Access tokens for XOAUTH2 and OAUTHBEARER: from an OAuth2 server (RFC 6749), cached, and renewed before they expire.

All connections of a provider share one source. A token costs one HTTP request, about once an hour.
"""

import asyncio
import json
import os
import shutil
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeGuard
from urllib.parse import urlencode

from outbox_relay.channels.base import readable_certificate
from outbox_relay.failures.http import retry_after_header
from outbox_relay.failures.masking import masked_error
from outbox_relay.failures.network import connection_failure
from outbox_relay.metrics import count_failure
from shared.log import get_logger
from shared.texts import printable

REQUEST_SECONDS = 10.0
"""For each step of the request: connect, and each read."""

LONGEST_REQUEST_SECONDS = 30.0
"""For the whole response. Otherwise a server that sends a byte now and then would block all logins and the end of the
relay, because requests run one at a time."""

LONGEST_WAIT_SECONDS = 20.0
"""How long a login waits for a token. The request continues, because its response may have a new refresh token."""

LONGEST_RESPONSE_BYTES = 256 * 1024

DEFAULT_LIFETIME_SECONDS = 300.0
"""Of a token whose response has no plausible ``expires_in``. RFC 6749 §5.1 only recommends the member."""

LONGEST_LIFETIME_SECONDS = 86_400.0
"""A token is renewed after a day, even if its server promises more."""

RENEW_BEFORE_SECONDS = 300.0
RENEW_BEFORE_SHARE = 0.2
"""When to renew: five minutes before the end, but not before four fifths of the lifetime have passed."""

# RFC 6749 §5.2 and §4.1.2.1. The server has these problems itself.
_TEMPORARY_ERRORS = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_TEMPORARY_STATUSES = frozenset({408, 425, 429, *range(500, 600)})

log = get_logger("relay.tokens")


@dataclass
class Secret:
    """An access token, shared by the logins that present it, or a password, which never expires.

    Times are of the event loop's clock: from ``renew_at`` on, the source gets a new token, and at ``expires_at`` this
    one ends.
    """

    value: str = field(repr=False)
    renew_at: float = inf
    expires_at: float = inf
    has_worked: bool = False
    is_refused: bool = False


class TokenError(ConnectionError):
    """There is no access token.

    The text begins with "token refused" if an operator has to act, and with "token request failed" otherwise.
    """


@dataclass(frozen=True)
class TokenEndpoint:
    """Where and how to get tokens.

    With ``refresh_token_file``, the grant is the refresh token in it, or else the client's own credentials. The files
    are read for each request, so a new secret needs no restart.
    """

    url: str
    client_id: str
    client_secret_file: Path | None
    refresh_token_file: Path | None
    scope: str | None
    ssl_context: ssl.SSLContext | None = field(repr=False)


class TokenSource:
    """The access token of one provider; see ``login.SecretSource``.

    At most one request runs at a time, and all connections that need a token wait for it.
    """

    def __init__(self, provider: str, endpoint: TokenEndpoint) -> None:
        self._provider = provider
        self._endpoint = endpoint
        self._secret: Secret | None = None
        self._renewal: asyncio.Future[tuple[str, float]] | None = None
        self._refresh_token = ""
        self._refresh_token_in_file = ""

    async def current(self) -> Secret:
        """Return the cached token, or a new one shortly before the cached one expires. Raises TokenError.

        If a renewal fails, the cached token is used until it expires.
        """
        loop = asyncio.get_running_loop()
        cached = None if self._secret is None or self._secret.is_refused else self._secret
        if cached and loop.time() < cached.renew_at:
            return cached
        try:
            return await self._renewed()
        except TokenError as error:
            if cached is None or loop.time() >= cached.expires_at:
                raise
            failure = connection_failure(self._provider, error, maybe_accepted=False)
            count_failure(failure, self._provider)
            log.warning("token not renewed", provider=self._provider, error=masked_error(failure.error))
            return cached

    async def _renewed(self) -> Secret:
        if self._renewal is None:
            # A thread, because reading and writing the files blocks. Neither the end of the login that waits for it nor
            # that of the relay cancels it, because the response may have a new refresh token.
            self._renewal = asyncio.get_running_loop().run_in_executor(None, self._request)
            self._renewal.add_done_callback(self._end_renewal)
        renewal = self._renewal
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                await asyncio.shield(renewal)
        except TimeoutError:
            raise TokenError("token request failed: no response in time") from None
        if self._secret is None:
            raise AssertionError("a completed renewal has stored its token")
        return self._secret

    def _end_renewal(self, renewal: asyncio.Future[tuple[str, float]]) -> None:
        """Store the token. Runs before the logins that wait for it continue."""
        self._renewal = None
        if renewal.cancelled() or renewal.exception():
            return
        value, lifetime = renewal.result()
        now = asyncio.get_running_loop().time()
        margin = min(RENEW_BEFORE_SECONDS, lifetime * RENEW_BEFORE_SHARE)
        self._secret = Secret(value, renew_at=now + lifetime - margin, expires_at=now + lifetime)
        log.info("token issued", provider=self._provider, expires_in=round(lifetime))

    # The methods below run in the thread.

    def _request(self) -> tuple[str, float]:
        """Request a token; return it with its lifetime in seconds. Raises TokenError."""
        form = self._form()
        try:
            with readable_certificate():
                status, headers, content = asyncio.run(_post(self._endpoint.url, form, self._endpoint.ssl_context))
        except OSError as error:
            text = connection_failure(self._provider, error, maybe_accepted=False).error
            raise TokenError(f"token request failed: {text}") from error
        body = _json_object(content)
        token = body.get("access_token")
        if not _is_token(token):
            raise _refusal(status, headers, body, form)
        self._store_refresh_token(body.get("refresh_token"))
        return token, lifetime_in(body)

    def _form(self) -> dict[str, str]:
        endpoint = self._endpoint
        form = {"client_id": endpoint.client_id}
        if endpoint.client_secret_file:
            form["client_secret"] = read_secret(endpoint.client_secret_file)
        if endpoint.refresh_token_file:
            form |= {"grant_type": "refresh_token", "refresh_token": self._newest_refresh_token()}
        else:
            form["grant_type"] = "client_credentials"
        if endpoint.scope:
            form["scope"] = endpoint.scope
        return form

    def _newest_refresh_token(self) -> str:
        """Return the refresh token of the last response, or that of the file if its content has changed since then."""
        path = self._endpoint.refresh_token_file
        stored = read_secret(path) if path else ""
        if stored != self._refresh_token_in_file:
            self._refresh_token = self._refresh_token_in_file = stored
        return self._refresh_token

    def _store_refresh_token(self, token: object) -> None:
        """Use a new refresh token from now on, and replace the file, if the server issues a new one each time."""
        path = self._endpoint.refresh_token_file
        if path is None or not _is_token(token) or token == self._refresh_token:
            return
        self._refresh_token = token
        try:
            _replace(path, token)
        except OSError as error:
            log.warning("refresh token not stored", provider=self._provider, error=type(error).__name__)
        else:
            self._refresh_token_in_file = token


def lifetime_in(body: Mapping[str, Any]) -> float:
    """Return the lifetime of a token in seconds. Some servers send it as a string.

    With a lifetime of zero, each login would request a token, so the default applies.
    """
    try:
        lifetime = float(body["expires_in"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return DEFAULT_LIFETIME_SECONDS
    is_positive = lifetime > 0  # NaN, which Python's JSON has, is not
    return min(lifetime, LONGEST_LIFETIME_SECONDS) if is_positive else DEFAULT_LIFETIME_SECONDS


def _is_token(value: object) -> TypeGuard[str]:
    """Return whether it is a token (RFC 6749 appendix A.12, A.17)."""
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable()


def read_secret(path: Path) -> str:
    """Return the content of a file without surrounding blanks. Raises TokenError."""
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"token refused: {path} cannot be read: {type(error).__name__}") from error
    if not text:
        raise TokenError(f"token refused: {path} is empty")
    return text


def _replace(path: Path, text: str) -> None:
    """Replace the file at once, so that a crash leaves the old or the new token."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
            shutil.copymode(path, file.name)
            # An operator's command runs as root, and the relay must be able to read the file afterwards.
            with suppress(PermissionError):
                shutil.chown(file.name, path.stat().st_uid, path.stat().st_gid)
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink()
            raise


async def _post(
    url: str, form: Mapping[str, str], context: ssl.SSLContext | None
) -> tuple[int, Mapping[str, str], bytes]:
    """POST a form; return status, headers and content. Raises OSError.

    It follows no redirects.
    """
    # Here, because few relays need them.
    import aiohttp  # noqa: PLC0415

    from outbox_relay.channels.http_client import cause_of, open_client  # noqa: PLC0415

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS, sock_read=REQUEST_SECONDS)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    limit = asyncio.timeout(LONGEST_REQUEST_SECONDS)
    try:
        async with (
            limit,
            open_client(url, context, timeout) as client,
            client.post(url, data=urlencode(form).encode(), headers=headers, allow_redirects=False) as response,
        ):
            content = b""
            while len(content) < LONGEST_RESPONSE_BYTES and (chunk := await response.content.readany()):
                content += chunk
            return response.status, response.headers, content
    except (aiohttp.ClientError, TimeoutError) as error:
        if limit.expired():
            raise TimeoutError("no whole response in time") from None
        cause = cause_of(error)
        raise (cause if isinstance(cause, OSError) else ConnectionResetError(str(cause))) from error


def _json_object(content: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refusal(status: int, headers: Mapping[str, str], body: Mapping[str, Any], form: Mapping[str, str]) -> TokenError:
    """Return the error for a response without a token. It has the server's words, but no secrets of the request."""
    # Google's other APIs send an object as the error.
    error, description = (
        word if isinstance(word, str) else "" for word in (body.get("error"), body.get("error_description"))
    )
    words = ": ".join(filter(None, (error, description)))
    for name in ("client_secret", "refresh_token"):
        if name in form:
            words = words.replace(form[name], "…")
    text = printable(f"{words or 'the response has no token'} (HTTP {status})")
    if status in _TEMPORARY_STATUSES or error in _TEMPORARY_ERRORS:
        wait = retry_after_header(headers.get("Retry-After"), datetime.now(UTC))
        again = f"; try again in {wait.total_seconds():.0f} seconds" if wait else ""
        return TokenError(f"token request failed: {text}{again}")
    return TokenError(f"token refused: {text}")
