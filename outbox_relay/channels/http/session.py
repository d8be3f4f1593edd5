"""One HTTP request for each message, on a connection kept alive (httpx). A ``GatewayApi`` builds the request."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar
from typing import Any, Protocol

import httpx

from outbox_relay.channels.base import (
    LONGEST_MESSAGE_ID,
    MessageSource,
    ProviderDownError,
    Session,
    readable_certificate,
    timeout_with_grace,
)
from outbox_relay.failures.http import retry_after_header
from outbox_relay.failures.network import LONGEST_ERROR, connection_failure, root_cause
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.log import get_logger
from shared.texts import printable

PORTS = {"http": 80, "https": 443}
LONGEST_CONNECT_SECONDS = 5.0
LONGEST_BODY_SECONDS = 2.0
LONGEST_BODY_BYTES = 16 * 1024
NOT_ABOUT_MESSAGE = frozenset({401, 402, 403, 404, 407, 408, 425, 429, 502, 503, 504})
"""Statuses that are about our account, our rate or a server behind the gateway, and not about the message."""

log = get_logger("relay.http")


@dataclass(frozen=True)
class GatewayResponse:
    """A gateway's response.

    ``content`` may be incomplete, because the body was too long or too late, or because the connection broke.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return httpx.codes.is_success(self.status)

    @property
    def text(self) -> str:
        """The content on one line."""
        return printable(self.content.decode(errors="replace"))

    @property
    def json_object(self) -> Mapping[str, Any]:
        """The content as a JSON object, empty if it is not one."""
        try:
            value = json.loads(self.content)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def failure(self, provider: str, kind: FailureClass, *, detail: str, is_about_message: bool) -> Failure:
        """Return a failure with the delay that the response asks for. ``detail`` is for operators."""
        error = printable(f"HTTP {self.status} {detail}").strip()[:LONGEST_ERROR]
        wait = retry_after_header(self.headers.get("Retry-After"), datetime.now(UTC))
        return Failure(kind, provider, error, wait, is_about_message=is_about_message)


def message_id_in(value: object) -> str | None:
    """Return a gateway's message id in a form that can be stored."""
    if not isinstance(value, str | int):
        return None
    return printable(str(value))[:LONGEST_MESSAGE_ID] or None


class GatewayApi(Protocol):
    """Builds one gateway's requests and interprets its responses. Does no IO."""

    @property
    def name(self) -> str:
        """The name that operators see."""

    def request(self, rendered: RenderedMessage) -> Mapping[str, Any]:
        """Return the arguments of httpx's ``build_request``."""

    def interpret(self, response: GatewayResponse) -> Sent | Failure:
        """Interpret the response as the message's result."""


@dataclass(frozen=True)
class HttpProvider:
    """A gateway. ``timeout`` is in seconds, for one message from connecting to the response."""

    api: GatewayApi
    ssl_context: ssl.SSLContext
    timeout: float

    @property
    def name(self) -> str:
        """The gateway's name."""
        return self.api.name

    def session(self) -> Session:
        """Create a session, which connects when it is first used."""
        return HttpSession(self)

    async def connect(self, rendered: RenderedMessage) -> None:
        """Open and close a connection to the gateway, with TLS for https. Raises ProviderDownError.

        The gateway checks the credentials with each request only. ``rendered`` is a sample, to learn the URL.
        """
        url = httpx.URL(self.api.request(rendered)["url"])
        tls = self.ssl_context if url.scheme == "https" else None
        try:
            async with timeout_with_grace(LONGEST_CONNECT_SECONDS):
                with readable_certificate():
                    _, writer = await asyncio.open_connection(url.host, url.port or PORTS[url.scheme], ssl=tls)
        except OSError as error:
            raise ProviderDownError(connection_failure(self.name, error, maybe_accepted=False)) from error
        writer.transport.abort()


class NoCookies(CookieJar):
    """Stores no cookies: they would link messages to each other and grow with each response."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Ignore the response's cookies."""


class HttpSession:
    """One connection, kept alive; see ``channels.base.Session``.

    HTTP has no greeting, so the first message opens the connection. If the gateway cannot be reached, that
    message is reported as not submitted.
    """

    def __init__(self, provider: HttpProvider) -> None:
        self._provider = provider
        self._client = httpx.AsyncClient(
            verify=provider.ssl_context,
            headers={"Accept-Encoding": "identity"},
            timeout=httpx.Timeout(None, connect=min(provider.timeout / 2, LONGEST_CONNECT_SECONDS)),
            limits=httpx.Limits(max_connections=1),
            follow_redirects=False,
            event_hooks={"response": [_remove_location]},
            cookies=NoCookies(),
            trust_env=False,
        )

    async def deliver(self, source: MessageSource) -> None:
        """Send one request for each message."""
        while (rendered := source.take()) is not None:
            exchange = _Exchange(self._provider, rendered)
            try:
                response = await exchange.run(self._client)
            except BaseException as error:
                source.report(rendered, exchange.failure(error))
                if isinstance(error, httpx.TransportError | httpx.InvalidURL | TimeoutError):
                    down = connection_failure(self._provider.name, root_cause(error), maybe_accepted=False)
                    raise ProviderDownError(down) from error
                raise
            source.report(rendered, self._interpret(response))

    def _interpret(self, response: GatewayResponse) -> Sent | Failure:
        """Interpret the response. A bug in the interpretation must not end the process."""
        try:
            return self._provider.api.interpret(response)
        except Exception as error:
            log.exception("response not understood", provider=self._provider.name, status=response.status)
            return connection_failure(self._provider.name, error, maybe_accepted=True)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


class _Exchange:
    """The request for one message, and whether it was submitted."""

    def __init__(self, provider: HttpProvider, rendered: RenderedMessage) -> None:
        self._provider = provider
        self._request = provider.api.request(rendered)
        # A gateway cannot accept a message before the relay starts to send the body. A GET has no body, so the message
        # counts as submitted when its headers are sent.
        part = "headers" if self._request["method"] == "GET" else "body"
        self._submitting = f"send_request_{part}.started"
        self._is_submitted = False

    async def run(self, client: httpx.AsyncClient) -> GatewayResponse:
        request = client.build_request(**self._request, extensions={"trace": self._trace})
        async with timeout_with_grace(self._provider.timeout):
            response = await client.send(request, stream=True)
        try:
            return GatewayResponse(response.status_code, response.headers, await _content(response))
        finally:
            await response.aclose()

    def failure(self, error: BaseException) -> Failure:
        return connection_failure(self._provider.name, root_cause(error), maybe_accepted=self._is_submitted)

    async def _trace(self, event: str, _info: Mapping[str, Any]) -> None:
        if event.endswith(self._submitting):
            self._is_submitted = True


async def _remove_location(response: httpx.Response) -> None:
    """Remove the target of a redirect: httpx parses it even if it does not follow it, and an invalid URL raises."""
    response.headers.pop("Location", None)


async def _content(response: httpx.Response) -> bytes:
    """Return the part of the body that arrives in time. The status is known already, and suffices for most gateways."""
    content = b""
    with suppress(TimeoutError, httpx.TransportError):
        async with timeout_with_grace(LONGEST_BODY_SECONDS):
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > LONGEST_BODY_BYTES:
                    break
    return content
