"""Gathers outcomes and settles them together: one statement for many, at once for a single one."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import psycopg

from outbox_relay.hours import BOOK
from outbox_relay.messages import ClaimedMessage
from outbox_relay.metrics import count_settled
from outbox_relay.outcomes import Dead, Deferred, Outcome, Retry, Sent
from outbox_relay.settles import Settlement, Settles
from outbox_relay.spans import record_settles
from shared.db.errors import describe
from shared.log import get_logger
from shared.tracing import recorder

FULL_BATCH = 250
LINGER_SECONDS = 0.005
BUSY_LINGER_SECONDS = 0.01
"""With a full batch on its way: fewer statements take a quarter off the CPU of a drain, here and in PostgreSQL."""

log = get_logger("relay.settler")


class Settler:
    """Holds outcomes until they are written.

    ``held`` counts messages claimed and not yet settled, ``settled`` those that no longer are held.
    ``on_settled`` is told, after each statement, how soon one of its messages is due again.
    """

    def __init__(self, settles: Settles, on_settled: Callable[[timedelta | None], None]) -> None:
        self._settles = settles
        self._on_settled = on_settled
        self._outcomes: list[Settlement] = []
        self._writing: list[Settlement] = []
        self._some = asyncio.Event()
        self.held = 0
        self.settled = 0

    def put(self, message: ClaimedMessage, outcome: Outcome) -> None:
        """Take an outcome to be written soon."""
        self._outcomes.append(Settlement(message, outcome))
        self._some.set()

    def hold(self, claimed: Sequence[ClaimedMessage]) -> Sequence[ClaimedMessage]:
        """Count messages as held, and return them, but for those that were sent and are still to be written as that.

        Their lease ran out meanwhile, or a standby that took over has never heard of it. They must not be sent again.
        """
        if self._settles.is_sent_a_fact:
            unwritten = (*self._writing, *self._outcomes)
            sent = {one.message.id.int: one.message for one in unwritten if isinstance(one.outcome, Sent)}
            claimed = [message for message in claimed if not _is_the_same(message, sent.get(message.id.int))]
        self.held += len(claimed)
        return claimed

    async def run(self) -> None:
        """Write outcomes as they come, until cancelled.

        When other messages are still on their way, a few milliseconds are waited for their company;
        the last one on its own is written at once.
        """
        while True:
            await self._some.wait()
            if len(self._outcomes) < min(FULL_BATCH, self.held):
                await asyncio.sleep(LINGER_SECONDS if self.held < FULL_BATCH else BUSY_LINGER_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        batch, began = self._next_batch(), time.monotonic()
        self._writing = batch
        await self._write(batch)
        self._writing = []
        if taker := recorder():
            record_settles(taker, batch, time.monotonic() - began)
        self.held -= len(batch)
        self.settled += len(batch)
        self._on_settled(_soonest(batch))

    async def _write(self, batch: list[Settlement]) -> None:
        """Settle the batch; if PostgreSQL cannot take it, each by itself, so that one spoils no other."""
        try:
            late = await self._settles.settle(batch)
        except psycopg.DataError as error:
            if len(batch) == 1:
                log.error("outcome not written", message_id=str(batch[0].message.id), **describe(error))  # noqa: TRY400 - the text quotes the row
                return
            for settlement in batch:
                await self._write([settlement])
        else:
            true = [one for one in batch if one.message.id not in late]
            count_settled(true)
            BOOK.count(true)
            _tell(true)
            if late:
                _tell_late(late)

    def _next_batch(self) -> list[Settlement]:
        """Take each message once: one that was claimed anew meanwhile waits for the next statement."""
        batch: dict[int, Settlement] = {}
        for settlement in self._outcomes:
            batch.setdefault(settlement.message.id.int, settlement)
        is_each_once = len(batch) == len(self._outcomes)
        self._outcomes = [] if is_each_once else [one for one in self._outcomes if batch[one.message.id.int] is not one]
        if not self._outcomes:
            self._some.clear()
        return list(batch.values())


def _is_the_same(message: ClaimedMessage, sent: ClaimedMessage | None) -> bool:
    """Tell whether this is what was sent: an operator may have corrected and requeued it since."""
    return sent is not None and (message.recipient, message.token_id) == (sent.recipient, sent.token_id)


def _soonest(batch: list[Settlement]) -> timedelta | None:
    """Return how soon the first of the messages is due again, if any is."""
    delays = [one.outcome.delay for one in batch if isinstance(one.outcome, Retry | Deferred)]
    return min(delays, default=None)


def _tell(batch: list[Settlement]) -> None:
    """Say what was written."""
    sent = [str(settlement.message.id) for settlement in batch if isinstance(settlement.outcome, Sent)]
    if sent:
        log.info("messages sent", channel=batch[0].message.channel.value, count=len(sent), message_ids=sent)
    for settlement in batch:
        _tell_unsent(settlement.message, settlement.outcome)


def _tell_late(message_ids: frozenset[UUID]) -> None:
    """Say what was not written: the relay that has the messages by now decides on them."""
    log.info("outcomes too late", count=len(message_ids), message_ids=sorted(map(str, message_ids)))


def _tell_unsent(message: ClaimedMessage, outcome: Outcome) -> None:
    match outcome:
        case Sent() | Deferred():
            return
        case Retry():
            log.info(
                "message will be retried",
                message_id=str(message.id),
                attempt=message.attempt + 1,
                error_class=outcome.failure.kind.value,
                delay_seconds=round(outcome.delay.total_seconds(), 1),
            )
        case Dead():
            log.warning(
                "message dead",
                message_id=str(message.id),
                dead_reason=outcome.reason.value,
                error_class=outcome.failure.kind.value if outcome.failure else None,
            )
