"""Settling: write what became of many messages, in one statement."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from outbox_relay.arrays import text_array, uuid_array
from outbox_relay.database import Lifeline, RelayConnection
from outbox_relay.failures import storable
from outbox_relay.floor import NO_ID
from outbox_relay.messages import ClaimedMessage
from outbox_relay.outcomes import Dead, Deferred, Failure, Outcome, Sent, Unsent

# Sent is a fact and names no lease: it is written in any case, and beats a death that another relay
# wrote meanwhile. Whatever else a late relay believes is fenced by the lease that it held.
# - The bounds let the other partitions be pruned. An "id = any(array)" beside the join, as in claims, was
#   measured at 94 ms for 500 rows instead of 27: the planner then scans the whole array for each row.
# - Only a pending message has a lease, so the token says it all; a condition on the status as well would
#   tempt the planner into the due index, which does not lead with the id.
SETTLE_SENT = """
with told as materialized (
    select * from unnest(%(ids)s::uuid[], %(providers)s::text[], %(provider_ids)s::text[])
        as told (id, provider, provider_id))
update outbox_messages as message
   set status = 'sent', dead_reason = null, settled_at = clock_timestamp(), attempt = message.attempt + 1,
       lease_token = null, leased_until = null, provider = told.provider, provider_message_id = told.provider_id
  from told
 where message.id = told.id and message.status <> 'sent'
   and message.id >= %(lowest)s and message.id <= %(highest)s
"""

NOTHING_SENT = {"ids": "{}", "providers": "{}", "provider_ids": "{}", "lowest": NO_ID, "highest": NO_ID}

# What dies need not wait to fall back: its time has come. What need not wait at all keeps its place in the queue.
UNSENT = """
with told as materialized (
    select *
      from unnest(%(ids)s::uuid[], %(lease_tokens)s::uuid[], %(outcomes)s::text[], %(delays)s::float8[],
                  %(spent)s::integer[], %(reasons)s::text[], %(providers)s::text[], %(error_classes)s::text[],
                  %(errors)s::text[])
        as told (id, lease_token, outcome, delay, spent, reason, provider, error_class, error)),
settled as (
    update outbox_messages as message
       set status = case told.outcome when 'dead' then 'dead' else 'pending' end,
           dead_reason = told.reason,
           settled_at = case told.outcome when 'dead' then clock_timestamp() end,
           attempt = message.attempt + told.spent,
           due_at = case told.delay when 0 then message.due_at
                    else clock_timestamp() + make_interval(secs => told.delay) end,
           expiries = case told.outcome when 'retry' then 0 else message.expiries end,
           lease_token = null,
           leased_until = null,
           provider = coalesce(told.provider, message.provider),
           last_error_class = coalesce(told.error_class, message.last_error_class),
           last_error = coalesce(told.error, message.last_error),
           fallback_at = case when told.outcome = 'dead' and message.fallback_at > clock_timestamp()
                              then clock_timestamp() else message.fallback_at end
      from told
     where message.id = told.id and message.lease_token = told.lease_token
       and message.id >= %(lowest)s and message.id <= %(highest)s
    returning message.id, message.attempt, message.due_at),
noted as (
    insert into delivery_attempts (message_id, attempt, outcome, provider, error_class, error, due_at)
    select id, settled.attempt, told.outcome, told.provider, told.error_class, told.error,
           case told.outcome when 'retry' then settled.due_at end
      from settled join told using (id)
     where told.spent > 0)"""

SETTLE_UNSENT = f"{UNSENT}\nselect id from settled"

Statement = tuple[str, dict[str, Any]]
Told = Sequence[tuple[ClaimedMessage, Outcome]]

# What an earlier try has written is as it was told. Had another relay had the message since, it would have counted
# the lease that was lost before.
STANDING_AS_TOLD = """
select message.id
  from unnest(%(ids)s::uuid[], %(outcomes)s::text[], %(reasons)s::text[], %(attempts)s::integer[],
              %(expiries)s::integer[], %(spent)s::integer[])
       as told (id, outcome, reason, attempt, expiries, spent)
  join outbox_messages as message on message.id = told.id
 where message.lease_token is null
   and message.status = case when told.outcome in ('sent', 'dead') then told.outcome else 'pending' end
   and message.dead_reason is not distinct from told.reason
   and message.attempt = told.attempt + told.spent
   and message.expiries = case told.outcome when 'retry' then 0 else told.expiries end
   and message.id >= %(lowest)s and message.id <= %(highest)s
"""
NOBODY = frozenset[UUID]()


class Settlement(NamedTuple):
    """A message and what became of it."""

    message: ClaimedMessage
    outcome: Outcome


BY_ID = attrgetter("message.id.int")


class Settles:
    """The relay's pen in the outbox; ``has_deferred`` is whether anything was put off, for want of what it needs.

    ``on_death`` is called once a death is written: it may have a fallback.
    """

    is_sent_a_fact: ClassVar[bool] = True
    """Whether *sent* is true whoever holds the lease by now."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self.has_deferred = False
        self.on_death: Callable[[], None] = _nobody_to_tell

    async def settle(self, settlements: Sequence[Settlement]) -> frozenset[UUID]:
        """Write the outcomes, each message at most once among them; return the messages that this was too late for.

        One statement for what was sent and one for the rest, each committed when this returns; waits for as long as
        the database is away. It is too late once a lease was lost: what becomes of the message others decide.
        """
        # In the order of ids, so that two relays that settle the same messages cannot deadlock.
        ordered = sorted(settlements, key=BY_ID)
        sent = [(message, outcome) for message, outcome in ordered if isinstance(outcome, Sent)]
        unsent = [(message, outcome) for message, outcome in ordered if not isinstance(outcome, Sent)]
        late = await self._write_sent(sent) if sent else NOBODY
        if unsent:
            late |= await self._write_unsent(unsent)
        if any(isinstance(outcome, Dead) for _, outcome in unsent):
            self.on_death()
        return late

    async def get_ready(self) -> None:
        """Connect, and have the statement planned that writes what was sent: the first message would wait for both."""

        async def work(connection: RelayConnection) -> None:
            await connection.ask(SETTLE_SENT, NOTHING_SENT)

        await self._lifeline.try_quietly(work)

    async def _write_sent(self, sent: Sequence[tuple[ClaimedMessage, Sent]]) -> frozenset[UUID]:
        """Write that these were sent. It is true whoever has written it first, and so never too late."""

        async def work(connection: RelayConnection) -> None:
            await connection.ask(SETTLE_SENT, sent_parameters(sent))

        await self._lifeline.run(work)
        return NOBODY

    async def _write_unsent(self, unsent: Sequence[tuple[ClaimedMessage, Unsent]]) -> frozenset[UUID]:
        """Write what else became of these; return those that this was too late for."""
        self.has_deferred |= any(isinstance(outcome, Deferred) and outcome.delay for _, outcome in unsent)
        return await self.write_fenced(unsent, *self.statement_of_unsent(unsent))

    def statement_of_unsent(self, unsent: Sequence[tuple[ClaimedMessage, Unsent]]) -> Statement:
        """Return what writes these; the first column of its rows is the id of a message that it has written."""
        return SETTLE_UNSENT, unsent_parameters(unsent)

    async def write_fenced(self, told: Told, statement: str, parameters: dict[str, Any]) -> frozenset[UUID]:
        """Write outcomes that hold only under their lease; return the messages whose lease was lost.

        What an earlier try has written whose answer got lost is not among them.
        """
        is_again = False

        async def work(connection: RelayConnection) -> frozenset[UUID]:
            nonlocal is_again
            is_first, is_again = not is_again, True
            written = await _ids_of(connection, statement, parameters)
            if is_first:
                return written
            return written | await _ids_of(connection, STANDING_AS_TOLD, _standing_parameters(told))

        return frozenset(message.id for message, _ in told) - await self._lifeline.run(work)


async def _ids_of(connection: RelayConnection, statement: str, parameters: dict[str, Any]) -> frozenset[UUID]:
    return frozenset(row[0] for row in (await connection.ask(statement, parameters)).rows)


def _nobody_to_tell() -> None:
    """Do nothing: whoever settles has no fallbacks to look for."""


def sent_parameters(told: Sequence[tuple[ClaimedMessage, Sent]]) -> dict[str, Any]:
    """Return the parameters of SETTLE_SENT, parallel arrays in the order of ids."""
    return _ids([message for message, _ in told]) | {
        "providers": text_array(sent.provider for _, sent in told),
        "provider_ids": text_array(storable(sent.provider_message_id) for _, sent in told),
    }


def unsent_parameters(told: Sequence[tuple[ClaimedMessage, Unsent]]) -> dict[str, Any]:
    """Return the parameters of SETTLE_UNSENT, parallel arrays in the order of ids."""
    names = ("outcomes", "delays", "spent", "reasons", "providers", "error_classes", "errors")
    columns = zip(*(_columns(outcome) for _, outcome in told), strict=True)
    messages = [message for message, _ in told]
    return (
        _ids(messages)
        | dict(zip(names, map(list, columns), strict=True))
        | {"lease_tokens": [message.lease_token for message in messages]}
    )


def _standing_parameters(told: Told) -> dict[str, Any]:
    messages = [message for message, _ in told]
    return _ids(messages) | {
        "outcomes": [outcome.word for _, outcome in told],
        "reasons": [_reason(outcome) for _, outcome in told],
        "spent": [outcome.spent for _, outcome in told],
        "attempts": [message.attempt for message in messages],
        "expiries": [message.expiries for message in messages],
    }


def _ids(messages: Sequence[ClaimedMessage]) -> dict[str, Any]:
    return {
        "ids": uuid_array(message.id for message in messages),
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
