"""SMS over a gateway's HTTPS: one POST of JSON per message (httpx)."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from outbox_relay.channels.base import ProviderDownError, Session, Tray
from outbox_relay.failures import LONGEST_ERROR, broken_off, from_http_status, printable, retry_after_header
from outbox_relay.messages import Letter
from outbox_relay.outcomes import Failure, Sent

LONGEST_CONNECT_SECONDS = 5.0
LONGEST_ANSWER_SECONDS = 2.0
ABOUT_US = frozenset({401, 402, 403, 404, 407, 408, 425, 429, 502, 503, 504})
"""Statuses that say nothing of the letter: our account, our pace, or what stands behind the gateway."""
LONGEST_ANSWER_BYTES = 16 * 1024
LONGEST_MESSAGE_ID = 200


@dataclass(frozen=True)
class HttpJsonProvider:
    """A gateway at ``url``; ``timeout`` is in seconds, for one letter from connecting to the answer."""

    name: str
    url: str
    token: str = field(repr=False)
    ssl_context: ssl.SSLContext
    timeout: float

    def session(self) -> Session:
        """Make a session; nothing is connected yet."""
        return HttpJsonSession(self)


class HttpJsonSession:
    """One connection, kept alive; see ``channels.base.Session``.

    HTTP has no greeting: the connection is made for the first letter, so that a gateway that
    cannot be reached is found out with a letter in hand, which is reported as not handed over.
    """

    def __init__(self, provider: HttpJsonProvider) -> None:
        self._provider = provider
        self._client = httpx.AsyncClient(
            verify=provider.ssl_context,
            headers={"Authorization": f"Bearer {provider.token}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(provider.timeout, connect=min(provider.timeout / 2, LONGEST_CONNECT_SECONDS)),
            limits=httpx.Limits(max_connections=1),
            follow_redirects=False,
            trust_env=False,
        )

    async def carry(self, tray: Tray) -> None:
        """Post letter after letter."""
        while (letter := tray.take()) is not None:
            posting = _Posting(self._provider, letter)
            try:
                fate = await posting.run(self._client)
            except BaseException as error:
                tray.report(letter, posting.broken_off(error))
                if isinstance(error, httpx.TransportError | TimeoutError):
                    down = broken_off(self._provider.name, error, is_handed_over=False)
                    raise ProviderDownError(down) from error
                raise
            tray.report(letter, fate)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


class _Posting:
    """One letter's POST, which knows how far it has come."""

    def __init__(self, provider: HttpJsonProvider, letter: Letter) -> None:
        self._provider = provider
        self._letter = letter
        self._is_handed_over = False

    async def run(self, client: httpx.AsyncClient) -> Sent | Failure:
        async with asyncio.timeout(self._provider.timeout):
            response = await client.send(client.build_request(**self._request()), stream=True)
        try:
            return self._fate(response, await _answer(response))
        finally:
            await response.aclose()

    def broken_off(self, error: BaseException) -> Failure:
        return broken_off(self._provider.name, error, is_handed_over=self._is_handed_over)

    def _request(self) -> dict[str, Any]:
        message = self._letter.message
        return {
            "method": "POST",
            "url": self._provider.url,
            "json": {"to": message.recipient, "text": self._letter.content.decode(), "id": str(message.id)},
            "headers": {"Idempotency-Key": str(message.id)},
            "extensions": {"trace": self._follow},
        }

    async def _follow(self, event: str, _info: Mapping[str, Any]) -> None:
        # The gateway can act on nothing before the body has begun to leave.
        if event.endswith("send_request_body.started"):
            self._is_handed_over = True

    def _fate(self, response: httpx.Response, answer: Mapping[str, Any]) -> Sent | Failure:
        provider = self._provider.name
        if response.is_success:
            return Sent(provider, _message_id(answer))
        problem = answer.get("code")
        kind = from_http_status(response.status_code, problem if isinstance(problem, str) else None)
        error = f"HTTP {response.status_code} {json.dumps(answer) if answer else ''}".strip()[:LONGEST_ERROR]
        return Failure(
            kind,
            provider,
            error,
            retry_after_header(response.headers.get("Retry-After"), datetime.now(UTC)),
            is_reply=response.status_code not in ABOUT_US,
        )


async def _answer(response: httpx.Response) -> Mapping[str, Any]:
    """Return the JSON object that came, or an empty one: the status alone decides."""
    content = b""
    try:
        async with asyncio.timeout(LONGEST_ANSWER_SECONDS):
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > LONGEST_ANSWER_BYTES:
                    return {}
        answer = json.loads(content)
    except (TimeoutError, httpx.TransportError, ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _message_id(answer: Mapping[str, Any]) -> str | None:
    given = answer.get("id")
    if not isinstance(given, str | int):
        return None
    return printable(str(given))[:LONGEST_MESSAGE_ID] or None
