"""Operator digests: an e-mail through the outbox, and a POST to a webhook, which also works if mail fails.

In each maintenance round, the leader asks the database for new causes. The database reports each cause at most once an
hour, for all relays together. The POST is sent after the commit. If it fails, the next rounds repeat it.
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

from outbox_relay.db.connection import RelayConnection, under_settings
from outbox_relay.metrics import DIGESTS
from outbox_relay.settings import RelaySettings
from shared.ids import uuid7
from shared.log import get_logger

# The database function composes the message from rows of the database. So the relay's role cannot use it to send other
# texts.
ENQUEUE_DIGEST = "select signpost_enqueue_digests(%(ids)s, %(addresses)s, %(locale)s, %(late)s)"

MOST_UNPOSTED = 24
"""How many unsent POSTs are stored; the oldest is dropped first."""
POST_SECONDS = 10.0

log = get_logger("relay.digests")


class Digests:
    """Enqueues and posts digests, if operator addresses or a webhook are set."""

    def __init__(self, settings: RelaySettings) -> None:
        self._addresses = list(settings.operator_addresses or ())
        self._url = settings.operator_webhook_url
        self._key = settings.operator_webhook_key
        self._console_url = settings.console_url
        self._about = {"locale": settings.operator_locale.value, "late": settings.latest}
        self._unposted: deque[bytes] = deque(maxlen=MOST_UNPOSTED)

    async def gather(self, connection: RelayConnection) -> None:
        """Enqueue a digest with the causes that were in no digest of the last hour, if there are any.

        One statement, and so one transaction: a cause counts as reported if, and only if, its messages are in the
        outbox.
        """
        if not self._addresses and self._url is None:
            return
        ids = [uuid7() for _ in self._addresses]
        async with under_settings(connection):
            cursor = await connection.execute(ENQUEUE_DIGEST, self._about | {"ids": ids, "addresses": self._addresses})
            row = await cursor.fetchone()
        if row and row[0]:
            self._reported(row[0])

    def _reported(self, news: Mapping[str, Any]) -> None:
        log.warning("digest sent", causes=len(news["causes"]), messages=news["dead"])
        DIGESTS.labels("email", "sent").inc(len(self._addresses))
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
            "text": "Signpost: " + "; ".join(lines),  # chat services display this field
        }

    async def post(self) -> None:
        """Post the digests that are not posted yet, the oldest first. After a failure, all wait for the next call.

        A receiver may get one twice, with the same id, if its response was lost.
        """
        while self._unposted and self._url is not None:
            if not await self._posted(self._url, self._unposted[0]):
                DIGESTS.labels("webhook", "failed").inc()
                return
            DIGESTS.labels("webhook", "sent").inc()
            self._unposted.popleft()

    async def _posted(self, url: str, body: bytes) -> bool:
        import httpx  # noqa: PLC0415 - the relay starts faster without httpx

        headers = {"Content-Type": "application/json", "User-Agent": "signpost"}
        if self._key is not None:
            headers["Signpost-Signature"] = signature(self._key, body, int(time.time()))
        try:
            async with (
                # The timeout of httpx applies to each single read, and there may be any number of reads.
                asyncio.timeout(POST_SECONDS),
                httpx.AsyncClient(timeout=POST_SECONDS) as client,
                client.stream("POST", url, content=body, headers=headers) as response,
            ):
                is_accepted, result = response.is_success, str(response.status_code)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            is_accepted, result = False, type(error).__name__  # its text may quote the URL
        if not is_accepted:
            log.warning("digest not posted", response=result)
        return is_accepted


def signature(key: str, body: bytes, seconds: int) -> str:
    """Sign a body together with the time in seconds since 1970, so that receivers can reject old ones."""
    digest = hmac.new(key.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={digest.hexdigest()}"
