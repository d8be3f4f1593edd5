"""One request for each letter, on a connection kept alive (httpx); what it says is up to the gateway's ``Api``."""

import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar
from typing import Any, Protocol

import httpx

from outbox_relay.channels.base import LONGEST_MESSAGE_ID, ProviderDownError, Session, Tray
from outbox_relay.channels.hearing import heard_within
from outbox_relay.failures import LONGEST_ERROR, beneath, broken_off, printable, retry_after_header
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.log import get_logger

LONGEST_CONNECT_SECONDS = 5.0
LONGEST_ANSWER_SECONDS = 2.0
LONGEST_ANSWER_BYTES = 16 * 1024
ABOUT_US = frozenset({401, 402, 403, 404, 407, 408, 425, 429, 502, 503, 504})
"""Statuses that say nothing of the letter: our account, our pace, or what stands behind the gateway."""

log = get_logger("relay.http")


@dataclass(frozen=True)
class Answer:
    """What a gateway answered; ``content`` is what came of it before it was too long, too late or broken off."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Tell whether the status is 2xx."""
        return httpx.codes.is_success(self.status)

    @property
    def text(self) -> str:
        """The content on one line."""
        return printable(self.content.decode(errors="replace"))

    @property
    def object(self) -> Mapping[str, Any]:
        """The JSON object that came, or an empty one."""
        try:
            answer = json.loads(self.content)
        except (ValueError, RecursionError):
            return {}
        return answer if isinstance(answer, dict) else {}

    def failure(self, provider: str, kind: FailureClass, *, words: str, is_reply: bool) -> Failure:
        """Return what this answer means, with the wait that it asks for; ``words`` are for operators."""
        error = printable(f"HTTP {self.status} {words}").strip()[:LONGEST_ERROR]
        wait = retry_after_header(self.headers.get("Retry-After"), datetime.now(UTC))
        return Failure(kind, provider, error, wait, is_reply=is_reply)


def message_id_in(given: object) -> str | None:
    """Return a gateway's own name for a message, made fit to be kept."""
    if not isinstance(given, str | int):
        return None
    return printable(str(given))[:LONGEST_MESSAGE_ID] or None


class Api(Protocol):
    """How one gateway is asked and understood; decides, and does no IO."""

    @property
    def name(self) -> str:
        """What operators call the gateway."""

    def request(self, letter: RenderedMessage) -> Mapping[str, Any]:
        """Return the arguments of httpx's ``build_request``."""

    def fate(self, answer: Answer) -> Sent | Failure:
        """Return what the answer means for the letter."""


@dataclass(frozen=True)
class HttpProvider:
    """A gateway; ``timeout`` is in seconds, for one letter from connecting to the answer."""

    api: Api
    ssl_context: ssl.SSLContext
    timeout: float

    @property
    def name(self) -> str:
        """The gateway's name."""
        return self.api.name

    def session(self) -> Session:
        """Make a session; nothing is connected yet."""
        return HttpSession(self)


class NoCookies(CookieJar):
    """Keeps none: a gateway that gives another to each letter would get them all back with every one."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Leave them where they are."""


class HttpSession:
    """One connection, kept alive; see ``channels.base.Session``.

    HTTP has no greeting: the connection is made for the first letter, so that a gateway that
    cannot be reached is found out with a letter in hand, which is reported as not handed over.
    """

    def __init__(self, provider: HttpProvider) -> None:
        self._provider = provider
        self._client = httpx.AsyncClient(
            verify=provider.ssl_context,
            headers={"Accept-Encoding": "identity"},
            timeout=httpx.Timeout(None, connect=min(provider.timeout / 2, LONGEST_CONNECT_SECONDS)),
            limits=httpx.Limits(max_connections=1),
            follow_redirects=False,
            event_hooks={"response": [_forget_location]},
            cookies=NoCookies(),
            trust_env=False,
        )

    async def carry(self, tray: Tray) -> None:
        """Ask for letter after letter."""
        while (letter := tray.take()) is not None:
            exchange = _Exchange(self._provider, letter)
            try:
                answer = await exchange.run(self._client)
            except BaseException as error:
                tray.report(letter, exchange.broken_off(error))
                if isinstance(error, httpx.TransportError | httpx.InvalidURL | TimeoutError):
                    down = broken_off(self._provider.name, beneath(error), maybe_accepted=False)
                    raise ProviderDownError(down) from error
                raise
            tray.report(letter, self._fate(answer))

    def _fate(self, answer: Answer) -> Sent | Failure:
        """Ask what the answer means. What a gateway says ends no process, whatever we fail to make of it."""
        try:
            return self._provider.api.fate(answer)
        except Exception as error:
            log.exception("answer not understood", provider=self._provider.name, status=answer.status)
            return broken_off(self._provider.name, error, maybe_accepted=True)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


class _Exchange:
    """One letter's request, which knows how far it has come."""

    def __init__(self, provider: HttpProvider, letter: RenderedMessage) -> None:
        self._provider = provider
        self._request = provider.api.request(letter)
        # The gateway can act on nothing before the body has begun to leave; a GET is all in its head.
        part = "headers" if self._request["method"] == "GET" else "body"
        self._hand_over = f"send_request_{part}.started"
        self._is_handed_over = False

    async def run(self, client: httpx.AsyncClient) -> Answer:
        request = client.build_request(**self._request, extensions={"trace": self._follow})
        async with heard_within(self._provider.timeout):
            response = await client.send(request, stream=True)
        try:
            return Answer(response.status_code, response.headers, await _content(response))
        finally:
            await response.aclose()

    def broken_off(self, error: BaseException) -> Failure:
        return broken_off(self._provider.name, beneath(error), maybe_accepted=self._is_handed_over)

    async def _follow(self, event: str, _info: Mapping[str, Any]) -> None:
        if event.endswith(self._hand_over):
            self._is_handed_over = True


async def _forget_location(response: httpx.Response) -> None:
    """Keep httpx from reading where a redirect points, which it does though it follows none: it fails at no URL."""
    response.headers.pop("Location", None)


async def _content(response: httpx.Response) -> bytes:
    """Return what came in time: the status has come already, and most gateways say yes by that alone."""
    content = b""
    with suppress(TimeoutError, httpx.TransportError):
        async with heard_within(LONGEST_ANSWER_SECONDS):
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > LONGEST_ANSWER_BYTES:
                    break
    return content
