"""One HTTP request for each message, on a connection kept alive (aiohttp). An ``HttpApi`` builds the request."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol, cast, runtime_checkable
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from outbox_relay.channels.base import (
    LONGEST_MESSAGE_ID,
    MessageSource,
    ProviderDownError,
    Session,
    readable_certificate,
    timeout_with_grace,
)
from outbox_relay.channels.http_client import cause_of, open_client, proxy_for
from outbox_relay.failures.http import retry_after_header
from outbox_relay.failures.network import LONGEST_ERROR, connection_failure
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.log import get_logger
from shared.texts import printable

PORTS = {"http": 80, "https": 443}
LONGEST_CONNECT_SECONDS = 5.0
LONGEST_BODY_SECONDS = 2.0
LONGEST_BODY_BYTES = 16 * 1024

NOT_ABOUT_MESSAGE = frozenset({401, 402, 403, 404, 407, 408, 425, 429, 502, 503, 504})
"""Statuses that are about our account, our rate or a server behind the gateway, and not about the message."""

SECRET_HEADERS = frozenset({"authorization", "x-amz-security-token", "x-postmark-server-token", "api-key"})
"""Request headers with secrets, after a scheme such as Bearer if there is one."""

log = get_logger("relay.http")


@dataclass(frozen=True)
class HttpRequest:
    """A request: a POST, or a GET if ``body`` is None. Its representation shows no secret."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def method(self) -> str:
        """The method."""
        return "GET" if self.body is None else "POST"


def json_request(url: str, value: object, headers: Mapping[str, str]) -> HttpRequest:
    """Return a POST of JSON."""
    return HttpRequest(url, {"Content-Type": "application/json", **headers}, json.dumps(value).encode())


def form_request(url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> HttpRequest:
    """Return a POST of form fields."""
    form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return HttpRequest(url, form, urlencode(fields).encode())


def query_request(url: str, fields: Mapping[str, str]) -> HttpRequest:
    """Return a GET with the fields in its query."""
    return HttpRequest(f"{url}?{urlencode(fields)}")


@dataclass(frozen=True)
class HttpResponse:
    """A response. ``headers`` ignores case.

    ``content`` may be incomplete, because the body was too long or too late, or because the connection broke.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

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
    """Return a provider's message id in a form that can be stored."""
    if not isinstance(value, str | int):
        return None
    return printable(str(value))[:LONGEST_MESSAGE_ID] or None


class HttpApi(Protocol):
    """Builds the requests of one provider's API and interprets its responses. Does no IO."""

    @property
    def name(self) -> str:
        """The name that operators see."""

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message."""

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result."""


@runtime_checkable
class AccountCheck(Protocol):
    """An ``HttpApi`` that can also check the account without a message. Does no IO."""

    def account_request(self) -> HttpRequest:
        """Build a request that needs the key and has no effect."""

    def account_problem(self, response: HttpResponse) -> str | None:
        """Return why the account cannot send, in the provider's terms, or None if the response shows no reason."""


@dataclass(frozen=True)
class HttpProvider:
    """A provider with an HTTP API. ``timeout`` is in seconds, for one message from connecting to the response."""

    api: HttpApi
    ssl_context: ssl.SSLContext
    timeout: float

    @property
    def name(self) -> str:
        """The API's name."""
        return self.api.name

    def session(self) -> Session:
        """Create a session, which connects when it is first used."""
        return HttpSession(self)

    async def connect(self, rendered: RenderedMessage) -> None:
        """Open and close a connection to the API, with TLS for https. Raises ProviderDownError.

        With a proxy, this reaches the proxy only. ``rendered`` is a sample, to learn the URL.
        """
        url = self.api.request(rendered).url
        try:
            proxy = proxy_for(url)
            parts = urlsplit(proxy or url)
            tls = self.ssl_context if parts.scheme == "https" else None
            async with timeout_with_grace(LONGEST_CONNECT_SECONDS):
                with readable_certificate():
                    _, writer = await asyncio.open_connection(
                        parts.hostname, parts.port or PORTS[parts.scheme], ssl=tls
                    )
        except OSError as error:
            raise ProviderDownError(connection_failure(self.name, error, maybe_accepted=False)) from error
        writer.transport.abort()

    async def account_problem(self) -> str | None:
        """Return why the account cannot send, or None if the API shows no reason. Raises ProviderDownError."""
        if not isinstance(self.api, AccountCheck):
            return None
        session = HttpSession(self)
        try:
            return self.api.account_problem(await session.respond(self.api.account_request()))
        finally:
            await session.close()


class _Response(aiohttp.ClientResponse):
    """A response that remembers its connection after it has ended."""

    connection_used: ResponseHandler | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read the headers."""
        self.connection_used = connection.protocol
        return await super().start(connection)


class Exchange:
    """One request and its response, and whether the request was submitted.

    Once aiohttp begins to write, the server may have accepted the message: it writes headers and body together.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self.is_submitted = False
        self._connection: ResponseHandler | None = None

    def can_be_followed(self) -> bool:
        """Return whether the connection is fit for another request.

        After the response, a server may have sent bytes without a request. aiohttp would take them for the next
        response, and the next message would count as accepted.
        """
        return self._connection is not None and not self._connection.should_close

    async def run(self, client: aiohttp.ClientSession, request: HttpRequest) -> HttpResponse:
        """Send the request, and return the response. Raises aiohttp.ClientError or OSError."""
        with readable_certificate():
            async with timeout_with_grace(self._timeout):
                response = await client.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    data=request.body,
                    allow_redirects=False,
                    trace_request_ctx=self,
                )
        self._connection = cast(_Response, response).connection_used
        try:
            content = _without_secrets(request.headers, await _content(response))
            return HttpResponse(response.status, response.headers, content)
        finally:
            response.close()

    def submitting(self) -> None:
        """Note that aiohttp begins to write.

        It repeats a GET when a connection that was kept alive breaks. An SMS gateway that takes GETs would then send
        the SMS twice, so the second time is refused.
        """
        if self.is_submitted:
            raise aiohttp.ServerDisconnectedError
        self.is_submitted = True


class HttpSession:
    """One connection, kept alive; see ``channels.base.Session``.

    HTTP has no greeting, so the first message opens the connection. If the server cannot be reached, that
    message is reported as not submitted.
    """

    def __init__(self, provider: HttpProvider) -> None:
        self._provider = provider
        self._client: aiohttp.ClientSession | None = None
        self._last_exchange: Exchange | None = None

    async def deliver(self, source: MessageSource) -> None:
        """Send one request for each message."""
        while (rendered := source.take()) is not None:
            exchange = Exchange(self._provider.timeout)
            try:
                response = await self._send(self._provider.api.request(rendered), exchange)
            except BaseException as error:
                source.report(rendered, self._failure(error, maybe_accepted=exchange.is_submitted))
                if isinstance(error, aiohttp.ClientError | OSError):
                    raise ProviderDownError(self._failure(error, maybe_accepted=False)) from error
                raise
            source.report(rendered, self._interpret(response))

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Send a request without a message, and return the response. Raises ProviderDownError."""
        try:
            return await self._send(request, Exchange(self._provider.timeout))
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderDownError(self._failure(error, maybe_accepted=False)) from error

    async def _send(self, request: HttpRequest, exchange: Exchange) -> HttpResponse:
        if self._last_exchange and not self._last_exchange.can_be_followed():
            await self.close()
        if self._client is None:
            self._client = _client_of(self._provider, request.url)
        self._last_exchange = exchange
        return await exchange.run(self._client, request)

    def _failure(self, error: BaseException, *, maybe_accepted: bool) -> Failure:
        return connection_failure(self._provider.name, cause_of(error), maybe_accepted=maybe_accepted)

    def _interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response. A bug in the interpretation must not end the process."""
        try:
            return self._provider.api.interpret(response)
        except Exception as error:
            log.exception("response not understood", provider=self._provider.name, status=response.status)
            return connection_failure(self._provider.name, error, maybe_accepted=True)

    async def close(self) -> None:
        """Close the connection."""
        client, self._client, self._last_exchange = self._client, None, None
        if client is not None:
            await client.close()


def _client_of(provider: HttpProvider, url: str) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_on_writing)
    longest_connect = min(provider.timeout / 2, LONGEST_CONNECT_SECONDS)
    return open_client(
        url,
        provider.ssl_context,
        aiohttp.ClientTimeout(total=None, sock_connect=longest_connect),
        trace_configs=[trace],
        response_class=_Response,
    )


async def _on_writing(_client: object, context: Any, _parameters: object) -> None:
    context.trace_request_ctx.submitting()


def _without_secrets(sent: Mapping[str, str], content: bytes) -> bytes:
    """Remove the request's secrets from a response that quotes them, because operators see its text."""
    for name, value in sent.items():
        if name.lower() in SECRET_HEADERS:
            content = content.replace(value.rpartition(" ")[2].encode(), "…".encode())
    return content


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """Return the part of the body that arrives in time. The status is known already, and suffices for most APIs."""
    content = b""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with timeout_with_grace(LONGEST_BODY_SECONDS):
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > LONGEST_BODY_BYTES:
                    break
    return content
