"""Collects outcomes and settles them together: one statement for many, immediately for a single one."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import psycopg

from outbox_relay.metrics import count_settled
from outbox_relay.model import ClaimedMessage, Dead, Deferred, Outcome, Retry, Sent, Settlement
from outbox_relay.outbox.hourly_stats import HOURLY_STATS
from outbox_relay.outbox.settle import SettlementStore
from outbox_relay.tracing import record_settlements
from shared.db.errors import describe
from shared.log import get_logger
from shared.tracing import current_tracer

FULL_BATCH = 250
LINGER_SECONDS = 0.005
BUSY_LINGER_SECONDS = 0.01
"""While a full batch is in flight: fewer statements take a quarter off the CPU of a drain, here and in PostgreSQL."""

log = get_logger("relay.settlements")


class SettlementBatcher:
    """Holds outcomes until they are written.

    ``held`` counts messages claimed and not yet settled, ``settled`` those that are no longer held. After each
    statement ``on_settled`` gets the shortest delay until one of its messages is due again, or None, and ``on_dead``
    is called if one has died: it may have a fallback.
    """

    def __init__(
        self,
        store: SettlementStore,
        *,
        on_settled: Callable[[timedelta | None], None],
        on_dead: Callable[[], None],
    ) -> None:
        self._store = store
        self._on_settled = on_settled
        self._on_dead = on_dead
        self._outcomes: list[Settlement] = []
        self._writing: list[Settlement] = []
        self._has_outcomes = asyncio.Event()
        self.held = 0
        self.settled = 0

    def put(self, message: ClaimedMessage, outcome: Outcome) -> None:
        """Take an outcome to be written soon."""
        self._outcomes.append(Settlement(message, outcome))
        self._has_outcomes.set()

    def hold(self, claimed: Sequence[ClaimedMessage]) -> Sequence[ClaimedMessage]:
        """Count messages as held and return them, except those whose *sent* outcome is not written yet.

        Such a message was claimed again because its lease ended meanwhile, or because a standby that took over does
        not know the first claim. It must not be sent again.
        """
        if self._store.is_sent_final:
            unwritten = (*self._writing, *self._outcomes)
            sent = {one.message.id.int: one.message for one in unwritten if isinstance(one.outcome, Sent)}
            claimed = [message for message in claimed if not _has_same_content(message, sent.get(message.id.int))]
        self.held += len(claimed)
        return claimed

    async def run(self) -> None:
        """Write outcomes as they come, until cancelled.

        While other messages are in flight, wait a few milliseconds for their outcomes; write the last one at once.
        """
        while True:
            await self._has_outcomes.wait()
            if len(self._outcomes) < min(FULL_BATCH, self.held):
                await asyncio.sleep(LINGER_SECONDS if self.held < FULL_BATCH else BUSY_LINGER_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write the outcomes collected so far."""
        batch, started = self._next_batch(), time.monotonic()
        self._writing = batch
        await self._write(batch)
        self._writing = []
        if tracer := current_tracer():
            record_settlements(tracer, batch, time.monotonic() - started)
        self.held -= len(batch)
        self.settled += len(batch)
        self._on_settled(_soonest(batch))

    async def _write(self, batch: list[Settlement]) -> None:
        """Settle the batch. If PostgreSQL rejects its data, settle each message alone, so that one spoils no other."""
        try:
            stale = await self._store.settle(batch)
        except psycopg.DataError as error:
            if len(batch) == 1:
                log.error("outcome not written", message_id=str(batch[0].message.id), **describe(error))  # noqa: TRY400 - the text quotes the row
                return
            for settlement in batch:
                await self._write([settlement])
            return
        if any(isinstance(one.outcome, Dead) for one in batch):
            self._on_dead()
        written = [one for one in batch if one.message.id not in stale]
        count_settled(written)
        HOURLY_STATS.count(written)
        _log_written(written)
        if stale:
            log.info("stale outcomes ignored", count=len(stale), message_ids=sorted(map(str, stale)))

    def _next_batch(self) -> list[Settlement]:
        """Take each message once. The outcome of a second claim of the same message waits for the next statement."""
        batch: dict[int, Settlement] = {}
        for settlement in self._outcomes:
            batch.setdefault(settlement.message.id.int, settlement)
        is_each_once = len(batch) == len(self._outcomes)
        self._outcomes = [] if is_each_once else [one for one in self._outcomes if batch[one.message.id.int] is not one]
        if not self._outcomes:
            self._has_outcomes.clear()
        return list(batch.values())


def _has_same_content(message: ClaimedMessage, sent: ClaimedMessage | None) -> bool:
    """Return whether this is the message that was sent: an operator may have corrected and requeued it since."""
    return sent is not None and (message.recipient, message.token_id) == (sent.recipient, sent.token_id)


def _soonest(batch: list[Settlement]) -> timedelta | None:
    """Return the shortest delay until one of the messages is due again, if any is."""
    delays = [one.outcome.delay for one in batch if isinstance(one.outcome, Retry | Deferred)]
    return min(delays, default=None)


def _log_written(batch: list[Settlement]) -> None:
    sent = [str(settlement.message.id) for settlement in batch if isinstance(settlement.outcome, Sent)]
    if sent:
        log.info("messages sent", channel=batch[0].message.channel.value, count=len(sent), message_ids=sent)
    for message, outcome in batch:
        match outcome:
            case Sent() | Deferred():
                pass
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
