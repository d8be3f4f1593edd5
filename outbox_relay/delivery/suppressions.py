"""Suppressed addresses: a message to one dies without an attempt."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import psycopg

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import ClaimedMessage
from shared.addresses import canonical_address
from shared.secrets import SecretKeys, suppression_hashes
from shared.templates import Template
from shared.vocabulary import SuppressionReason, WorkChannel

HAS_SUPPRESSIONS = "exists (select from suppressions where until > now())"
# "b" sends the hashes in binary form. As text, they took half of the time of this check.
FIND = "select hash, reason from suppressions where hash = any(%(hashes)b) and until > now()"

CODES_TO_PROVEN_ADDRESSES = frozenset({Template("password_reset")})
"""A complaint does not stop them: without a reset, the user could not get back into the account."""


class Suppressions:
    """Finds the messages to suppressed addresses in each claimed batch.

    It reads no list without FEEDBACK_KEYS, or while the last poll found the list empty.
    """

    def __init__(self, database: ReconnectingConnection, keys: SecretKeys | None) -> None:
        self._database = database
        self._keys = keys
        self._are_any = True

    def polled(self, *, are_any: bool) -> None:
        """Take note whether the list has entries."""
        self._are_any = are_any

    async def among(self, claimed: Sequence[ClaimedMessage]) -> frozenset[UUID]:
        """Return the ids of the messages that must not be sent; no ids while the database is away."""
        keys = self._keys
        if keys is None or not self._are_any or not claimed:
            return frozenset()
        by_hash: dict[bytes, list[ClaimedMessage]] = {}
        for message in claimed:
            if message.channel is not WorkChannel.PROVISION:
                for hashed in suppression_hashes(canonical_address(message.recipient), keys).values():
                    by_hash.setdefault(hashed, []).append(message)
        found = []
        with suppress(psycopg.Error):
            found = await self._database.once(lambda connection: connection.fetch(FIND, {"hashes": list(by_hash)}))
        return frozenset(
            message.id for row in found for message in by_hash[bytes(row.hash)] if _is_stopped(message, row.reason)
        )


def _is_stopped(message: ClaimedMessage, reason: str) -> bool:
    return reason != SuppressionReason.COMPLAINED or message.template not in CODES_TO_PROVEN_ADDRESSES
