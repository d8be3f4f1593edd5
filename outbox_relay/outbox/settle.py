"""Settlements: collect outcomes, and write many of them in one statement, fenced by their leases."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import psycopg

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection, storable
from outbox_relay.metrics import count_settled
from outbox_relay.model import ClaimedMessage, Dead, Deferred, Failure, Outcome, Retry, Sent, Settlement, Unsent
from outbox_relay.outbox.hourly_stats import HOURLY_STATS
from outbox_relay.tracing import record_settlements
from shared.db.errors import describe
from shared.ids import uuid7
from shared.log import get_logger
from shared.tracing import current_tracer
from shared.vocabulary import ERASED

FULL_BATCH = 250
LINGER_SECONDS = 0.005
BUSY_LINGER_SECONDS = 0.01
"""How long to collect outcomes while FULL_BATCH or more claimed messages are not settled. Fewer statements reduce the
CPU time for a large backlog by a quarter, in the relay and in PostgreSQL."""

log = get_logger("relay.settlements")

NO_ID = UUID(int=0)

# These updates require the lease token: a relay that has lost the lease cannot write the outcome (fencing). The one
# exception is SETTLE_SENT_WITHOUT_LEASE.
# - The bounds of the id (lowest and highest) let PostgreSQL skip the other partitions. An additional "id = any(array)",
#   as in claims, took 94 ms for 500 rows instead of 27 ms: PostgreSQL then searches the whole array for each row.
# - Only pending messages have a lease, so the comparison of the token is enough. With an additional condition on the
#   status, the planner might choose the due index, which does not begin with the id.
SETTLE_SENT = """
with reported as materialized (
    select * from unnest(%(ids)s::uuid[], %(lease_tokens)s::uuid[], %(providers)s::text[], %(provider_ids)s::text[])
        as reported (id, lease_token, provider, provider_id))
update outbox_messages as message
   set status = 'sent', dead_reason = null, settled_at = clock_timestamp(), attempt = message.attempt + 1,
       lease_token = null, leased_until = null, provider = reported.provider,
       provider_message_id = reported.provider_id
  from reported
 where message.id = reported.id and message.lease_token = reported.lease_token
   and message.id >= %(lowest)s and message.id <= %(highest)s
returning message.id
"""

# A *sent* outcome is valid even without the lease, if the message still has the same recipient and token (token_id), or
# was erased. It then overwrites a "dead" that another relay has written in the meantime. It is ignored if an operator
# has corrected and requeued the message. If the message was erased, the provider's message id is not stored.
SETTLE_SENT_WITHOUT_LEASE = f"""
with reported as materialized (
    select * from unnest(%(ids)s::uuid[], %(recipients)s::text[], %(token_ids)s::uuid[], %(providers)s::text[],
                         %(provider_ids)s::text[])
        as reported (id, recipient, token_id, provider, provider_id))
update outbox_messages as message
   set status = 'sent', dead_reason = null, settled_at = clock_timestamp(), attempt = message.attempt + 1,
       lease_token = null, leased_until = null, provider = reported.provider,
       provider_message_id = case message.recipient when '{ERASED}' then null else reported.provider_id end
  from reported
 where message.id = reported.id and message.status <> 'sent'
   and (message.recipient = '{ERASED}'
        or message.recipient = reported.recipient and message.token_id is not distinct from reported.token_id)
   and message.id >= %(lowest)s and message.id <= %(highest)s
returning message.id
"""  # noqa: S608 - contains only constants

NONE_SENT = {
    "ids": [],
    "lease_tokens": [],
    "providers": [],
    "provider_ids": [],
    "lowest": NO_ID,
    "highest": NO_ID,
}

# When a message dies, its fallback on the second channel is sent at once: fallback_at becomes the present. A message
# that was deferred without delay keeps its place in the queue.
UNSENT = """
with reported as materialized (
    select *
      from unnest(%(ids)s::uuid[], %(lease_tokens)s::uuid[], %(outcomes)s::text[], %(delays)s::float8[],
                  %(spent)s::integer[], %(reasons)s::text[], %(providers)s::text[], %(error_classes)s::text[],
                  %(errors)s::text[])
        as reported (id, lease_token, outcome, delay, spent, reason, provider, error_class, error)),
settled as (
    update outbox_messages as message
       set status = case reported.outcome when 'dead' then 'dead' else 'pending' end,
           dead_reason = reported.reason,
           settled_at = case reported.outcome when 'dead' then clock_timestamp() end,
           attempt = message.attempt + reported.spent,
           due_at = case reported.delay when 0 then message.due_at
                    else clock_timestamp() + make_interval(secs => reported.delay) end,
           lost_leases = case reported.outcome when 'retry' then 0 else message.lost_leases end,
           lease_token = null,
           leased_until = null,
           provider = coalesce(reported.provider, message.provider),
           last_error_class = coalesce(reported.error_class, message.last_error_class),
           last_error = coalesce(reported.error, message.last_error),
           fallback_at = case when reported.outcome = 'dead' and message.fallback_at > clock_timestamp()
                              then clock_timestamp() else message.fallback_at end
      from reported
     where message.id = reported.id and message.lease_token = reported.lease_token
       and message.id >= %(lowest)s and message.id <= %(highest)s
    returning message.id, message.attempt, message.due_at),
logged as (
    insert into delivery_attempts (message_id, attempt, outcome, provider, error_class, error, due_at)
    select id, settled.attempt, reported.outcome, reported.provider, reported.error_class, reported.error,
           case reported.outcome when 'retry' then settled.due_at end
      from settled join reported using (id)
     where reported.spent > 0)"""

SETTLE_UNSENT = f"{UNSENT}\nselect id from settled"

# "Provisioned" needs the lease: after its end, another relay may have marked the organization as failed, and its
# database may be gone. The same statement enqueues the message that was waiting for the organization: the founder's
# activation code or a notice. So both are written, or neither.
SETTLE_PROVISIONED = """
with reported as materialized (
    select * from unnest(%(ids)s::uuid[], %(lease_tokens)s::uuid[], %(providers)s::text[], %(next_ids)s::uuid[])
        as reported (id, lease_token, provider, next_id)),
settled as (
    update outbox_messages as message
       set status = 'sent', dead_reason = null, settled_at = clock_timestamp(), attempt = message.attempt + 1,
           lease_token = null, leased_until = null, provider = reported.provider
      from reported
     where message.id = reported.id and message.lease_token = reported.lease_token
       and message.id >= %(lowest)s and message.id <= %(highest)s
    returning message.id, reported.next_id)
select id, signpost_provisioned(id, next_id) from settled
"""

SETTLE_UNPROVISIONED = f"""{UNSENT},
next as materialized (
    select * from unnest(%(ids)s::uuid[], %(next_ids)s::uuid[]) as next (id, next_id))
select settled.id, case reported.outcome when 'dead' then signpost_provisioning_failed(settled.id, next.next_id) end
  from settled join reported using (id) join next using (id)
"""  # noqa: S608 - contains only constants


@dataclass(frozen=True)
class SettleStatements:
    """The pair of statements that settle the messages of a channel, for sent and for other outcomes.

    ``sent_without_lease`` is the statement for sent messages whose lease was lost. If it is None, those messages are
    not changed. If ``has_next_message`` is true, the statements enqueue the message that follows, with an id from
    ``next_ids``.
    """

    sent: str
    unsent: str
    sent_without_lease: str | None = None
    has_next_message: bool = False

    def next_ids(self, count: int) -> dict[str, list[UUID]]:
        """Return the parameter with ids for the messages that follow, if the statements take it."""
        return {"next_ids": [uuid7() for _ in range(count)]} if self.has_next_message else {}


MESSAGES = SettleStatements(SETTLE_SENT, SETTLE_UNSENT, SETTLE_SENT_WITHOUT_LEASE)
PROVISIONING = SettleStatements(SETTLE_PROVISIONED, SETTLE_UNPROVISIONED, has_next_message=True)

# Returns the messages whose row already has the reported outcome: an earlier run of the statement has committed it, and
# only its response was lost.
IS_SETTLED_AS_REPORTED = """
select message.id
  from unnest(%(ids)s::uuid[], %(outcomes)s::text[], %(reasons)s::text[], %(attempts)s::integer[],
              %(lost_leases)s::integer[], %(spent)s::integer[])
       as reported (id, outcome, reason, attempt, lost_leases, spent)
  join outbox_messages as message on message.id = reported.id
 where message.lease_token is null
   and message.status = case when reported.outcome in ('sent', 'dead') then reported.outcome else 'pending' end
   and message.dead_reason is not distinct from reported.reason
   and message.attempt = reported.attempt + reported.spent
   and message.lost_leases = case reported.outcome when 'retry' then 0 else reported.lost_leases end
   and message.id >= %(lowest)s and message.id <= %(highest)s
"""


def sent_parameters(reported: Sequence[tuple[ClaimedMessage, Sent]]) -> dict[str, Any]:
    """Return the parameters of SETTLE_SENT and SETTLE_PROVISIONED, parallel arrays in the order of ids."""
    return _ids([message for message, _ in reported]) | {
        "lease_tokens": [message.lease_token for message, _ in reported],
        "providers": [sent.provider for _, sent in reported],
        "provider_ids": [storable(sent.provider_message_id) for _, sent in reported],
    }


def sent_without_lease_parameters(reported: Sequence[tuple[ClaimedMessage, Sent]]) -> dict[str, Any]:
    """Return the parameters of SETTLE_SENT_WITHOUT_LEASE, in the same form."""
    return sent_parameters(reported) | {
        "recipients": [message.recipient for message, _ in reported],
        "token_ids": [message.token_id for message, _ in reported],
    }


def unsent_parameters(reported: Sequence[tuple[ClaimedMessage, Unsent]]) -> dict[str, Any]:
    """Return the parameters of SETTLE_UNSENT and SETTLE_UNPROVISIONED, parallel arrays in the order of ids."""
    names = ("outcomes", "delays", "spent", "reasons", "providers", "error_classes", "errors")
    columns = zip(*(_columns(outcome) for _, outcome in reported), strict=True)
    messages = [message for message, _ in reported]
    return (
        _ids(messages)
        | dict(zip(names, map(list, columns), strict=True))
        | {"lease_tokens": [message.lease_token for message in messages]}
    )


def reported_parameters(reported: Sequence[tuple[ClaimedMessage, Outcome]]) -> dict[str, Any]:
    """Return the parameters of IS_SETTLED_AS_REPORTED, in the same form."""
    messages = [message for message, _ in reported]
    return _ids(messages) | {
        "outcomes": [outcome.word for _, outcome in reported],
        "reasons": [_reason(outcome) for _, outcome in reported],
        "spent": [outcome.spent for _, outcome in reported],
        "attempts": [message.attempt for message in messages],
        "lost_leases": [message.lost_leases for message in messages],
    }


def _ids(messages: Sequence[ClaimedMessage]) -> dict[str, Any]:
    return {
        "ids": [message.id for message in messages],
        "lowest": messages[0].id,
        "highest": messages[-1].id,
    }


def _columns(outcome: Unsent) -> tuple[Any, ...]:
    delay = 0.0 if isinstance(outcome, Dead) else outcome.delay.total_seconds()
    return outcome.word, delay, outcome.spent, _reason(outcome), *_failure_columns(outcome.failure)


def _reason(outcome: Outcome) -> str | None:
    return outcome.reason.value if isinstance(outcome, Dead) else None


def _failure_columns(failure: Failure | None) -> tuple[str | None, ...]:
    if failure is None:
        return None, None, None
    return failure.provider, failure.kind.value, storable(failure.error)


Outcomes = Sequence[tuple[ClaimedMessage, Outcome]]

NO_IDS = frozenset[UUID]()
BY_ID = attrgetter("message.id.int")


class SettlementStore:
    """Writes outcomes with the pair of statements of one channel.

    ``has_deferred`` is true if any message was deferred with a delay, for example because a key was missing.
    """

    def __init__(self, database: ReconnectingConnection, statements: SettleStatements = MESSAGES) -> None:
        self._database = database
        self._statements = statements
        self.has_deferred = False

    @property
    def is_sent_final(self) -> bool:
        """Whether a *sent* outcome is valid even after the lease was lost."""
        return self._statements.sent_without_lease is not None

    async def settle(self, settlements: Sequence[Settlement], *, is_again: bool = False) -> frozenset[UUID]:
        """Write the outcomes.

        Return the messages whose outcome was not written, because this relay no longer held their lease. All other
        outcomes are committed when this returns. ``settlements`` must not contain a message twice. With ``is_again``,
        an earlier call may have written some of them. Without a database, the method waits until there is one again.
        """
        # In the order of ids, so that two relays that settle the same messages cannot deadlock.
        ordered = sorted(settlements, key=BY_ID)
        sent = [(message, outcome) for message, outcome in ordered if isinstance(outcome, Sent)]
        unsent = [(message, outcome) for message, outcome in ordered if not isinstance(outcome, Sent)]
        stale = NO_IDS
        if sent:
            parameters = sent_parameters(sent) | self._statements.next_ids(len(sent))
            stale = await self._write(sent, self._statements.sent, parameters, is_again=is_again)
        if stale and self._statements.sent_without_lease:
            lost = [(message, outcome) for message, outcome in sent if message.id in stale]
            stale = await self._write(lost, self._statements.sent_without_lease, sent_without_lease_parameters(lost))
        if unsent:
            self.has_deferred |= any(isinstance(outcome, Deferred) and outcome.delay for _, outcome in unsent)
            parameters = unsent_parameters(unsent) | self._statements.next_ids(len(unsent))
            stale |= await self._write(unsent, self._statements.unsent, parameters, is_again=is_again)
        return stale

    async def warm_up(self) -> None:
        """Connect and prepare the statement for sent messages, so that the first message waits for neither."""
        await self._database.try_quietly(lambda connection: connection.fetch(self._statements.sent, NONE_SENT))

    async def _write(
        self, outcomes: Outcomes, statement: str, parameters: dict[str, Any], *, is_again: bool = False
    ) -> frozenset[UUID]:
        """Run a statement whose first column contains the ids that it has written.

        Return the other ids. An outcome also counts as written if its row shows that an earlier try committed it and
        only the response was lost.
        """

        async def work(connection: RelayConnection) -> frozenset[UUID]:
            nonlocal is_again
            may_be_committed, is_again = is_again, True  # the connection calls this again after a lost response
            written = {row[0] for row in await connection.fetch(statement, parameters)}
            if len(written) < len(outcomes) and may_be_committed:
                rows = await connection.fetch(IS_SETTLED_AS_REPORTED, reported_parameters(outcomes))
                written |= {row[0] for row in rows}
            return frozenset(message.id for message, _ in outcomes) - written

        return await self._database.run(work)


class SettlementBatcher:
    """Holds outcomes in memory until they are written, also while the database is away.

    ``held`` is the number of claimed messages that are not settled yet. ``settled`` is the number of outcomes handled
    so far. After each batch, ``on_settled`` is called with the shortest delay until one of its messages is due again,
    or with None. ``on_dead`` is called if the batch has a *dead* outcome, because it may have a fallback.
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
        """Count the messages as held and return them.

        Leave out a message if its *sent* outcome is still waiting to be written, since it must not be sent again. Such
        a message was claimed a second time because its lease ended while the outcome waited, or because a database
        standby that took over does not know the first claim.
        """
        if self._store.is_sent_final:
            unwritten = (*self._writing, *self._outcomes)
            sent = {one.message.id.int: one.message for one in unwritten if isinstance(one.outcome, Sent)}
            claimed = [message for message in claimed if not _has_same_content(message, sent.get(message.id.int))]
        self.held += len(claimed)
        return claimed

    async def run(self) -> None:
        """Write outcomes as they come, until cancelled.

        While other messages are in flight, it waits a few milliseconds for their outcomes, unless it has a full batch
        already. If no message is in flight, it writes at once.
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

    async def _write(self, batch: list[Settlement], *, is_again: bool = False) -> None:
        """Settle the batch.

        If PostgreSQL rejects its data, settle each message separately, so that one bad message does not block the
        rest.
        """
        try:
            stale = await self._store.settle(batch, is_again=is_again)
        except psycopg.DataError as error:
            if len(batch) == 1:
                log.error("outcome not written", message_id=str(batch[0].message.id), **describe(error))  # noqa: TRY400 - the text quotes the row
                return
            for settlement in batch:
                await self._write([settlement], is_again=True)
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
    """Return whether the claimed message is the same as the sent one.

    An operator may have corrected and requeued it since then.
    """
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
