"""Telling operators what needs them: a message in the outbox, and a POST for when mail is what is broken.

The relay that holds the leader lease asks the database at each turn. What is new is decided there, for all
relays: each cause at most once an hour. The POST comes after the commit; what could not be posted is tried
again at the next turns.
"""

import asyncio
import hashlib
import hmac
import json
import socket
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from outbox_relay.db.connection import RelayConnection, under_settings
from outbox_relay.metrics import DIGESTS
from outbox_relay.settings import RelaySettings
from shared.ids import uuid7
from shared.log import get_logger

# The function makes the words of facts in the database, and the message of those words: nothing else can be sent so.
TELL = "select signpost_enqueue_digests(%(ids)s, %(addresses)s, %(locale)s, %(late)s)"

MOST_UNPOSTED = 24
"""A receiver that is away for longer than a day has missed what is older."""
POST_SECONDS = 10.0

log = get_logger("relay.digests")


class Digests:
    """This relay's part in telling operators; it does nothing where nobody is to be told."""

    def __init__(self, settings: RelaySettings) -> None:
        self._addresses = list(settings.operator_addresses or ())
        self._url = settings.operator_webhook_url
        self._key = settings.operator_webhook_key
        self._console_url = settings.console_url
        self._about = {"locale": settings.operator_locale.value, "late": settings.latest}
        self._unposted: deque[bytes] = deque(maxlen=MOST_UNPOSTED)

    async def gather(self, connection: RelayConnection) -> None:
        """Enqueue a digest of what operators have not been told within the hour, if there is anything.

        One statement, and so a transaction: a cause counts as told if, and only if, its messages are in the outbox.
        """
        if not self._addresses and self._url is None:
            return
        ids = [uuid7() for _ in self._addresses]
        async with under_settings(connection):
            cursor = await connection.execute(TELL, self._about | {"ids": ids, "addresses": self._addresses})
            row = await cursor.fetchone()
        if row and row[0]:
            self._take(row[0])

    def _take(self, news: Mapping[str, Any]) -> None:
        log.warning("operators told", causes=len(news["causes"]), messages=news["dead"])
        DIGESTS.labels("email", "told").inc(len(self._addresses))
        if self._url is not None:
            self._unposted.append(json.dumps(self._document(news)).encode())

    def _document(self, news: Mapping[str, Any]) -> dict[str, Any]:
        lines = [f"{cause['count'] or ''} {cause['cause']}".strip() for cause in news["causes"]]
        return {
            "event": "operator_digest",
            "id": str(uuid7()),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "messages": news["dead"],
            "causes": news["causes"],
            "console_url": self._console_url,
            "text": "Signpost: " + "; ".join(lines),  # what chat services show of a POST
        }

    async def post(self) -> None:
        """Post what has not been posted, the oldest first; what fails waits, with all behind it, for the next call.

        A receiver may get one twice, under the same id, if its answer was lost.
        """
        while self._unposted and self._url is not None:
            if not await self._posted(self._url, self._unposted[0]):
                DIGESTS.labels("webhook", "failed").inc()
                return
            DIGESTS.labels("webhook", "told").inc()
            self._unposted.popleft()

    async def _posted(self, url: str, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", "User-Agent": "signpost"}
        if self._key is not None:
            headers["Signpost-Signature"] = signature(self._key, body, int(time.time()))
        try:
            async with (
                asyncio.timeout(POST_SECONDS),  # httpx's own is for each read, of which there can be any number
                httpx.AsyncClient(timeout=POST_SECONDS) as client,
                client.stream("POST", url, content=body, headers=headers) as answer,
            ):
                is_taken, told = answer.is_success, str(answer.status_code)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            is_taken, told = False, type(error).__name__  # its text may quote the URL
        if not is_taken:
            log.warning("digest not posted", answer=told)
        return is_taken


def signature(key: str, body: bytes, seconds: int) -> str:
    """Sign a body together with the time, in seconds since 1970, so that receivers can refuse what is old."""
    digest = hmac.new(key.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={digest.hexdigest()}"
