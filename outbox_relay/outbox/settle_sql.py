"""The statements that settle, and how what is told is written for them."""

from collections.abc import Sequence
from typing import Any

from outbox_relay.db.prepared import text_array, uuid_array
from outbox_relay.failures import storable
from outbox_relay.model import ClaimedMessage, Dead, Failure, Outcome, Sent, Unsent
from outbox_relay.outbox.scan_cursor import NO_ID
from shared.vocabulary import ERASED

Told = Sequence[tuple[ClaimedMessage, Outcome]]

# Whatever a relay tells is fenced by the lease that it held.
# - The bounds let the other partitions be pruned. An "id = any(array)" beside the join, as in claims, was
#   measured at 94 ms for 500 rows instead of 27: the planner then scans the whole array for each row.
# - Only a pending message has a lease, so the token says it all; a condition on the status as well would
#   tempt the planner into the due index, which does not lead with the id.
SETTLE_SENT = """
with told as materialized (
    select * from unnest(%(ids)s::uuid[], %(lease_tokens)s::uuid[], %(providers)s::text[], %(provider_ids)s::text[])
        as told (id, lease_token, provider, provider_id))
update outbox_messages as message
   set status = 'sent', dead_reason = null, settled_at = clock_timestamp(), attempt = message.attempt + 1,
       lease_token = null, leased_until = null, provider = told.provider, provider_message_id = told.provider_id
  from told
 where message.id = told.id and message.lease_token = told.lease_token
   and message.id >= %(lowest)s and message.id <= %(highest)s
returning message.id
"""

# Sent is a fact, and beats a death that another relay wrote meanwhile: of the same words to the same address. A
# message that an operator has corrected and requeued since is another. Of whom was erased nothing is kept but the fact.
SETTLE_SENT_LATE = f"""
with told as materialized (
    select * from unnest(%(ids)s::uuid[], %(recipients)s::text[], %(token_ids)s::uuid[], %(providers)s::text[],
                         %(provider_ids)s::text[])
        as told (id, recipient, token_id, provider, provider_id))
update outbox_messages as message
   set status = 'sent', dead_reason = null, settled_at = clock_timestamp(), attempt = message.attempt + 1,
       lease_token = null, leased_until = null, provider = told.provider,
       provider_message_id = case message.recipient when '{ERASED}' then null else told.provider_id end
  from told
 where message.id = told.id and message.status <> 'sent'
   and (message.recipient = '{ERASED}'
        or message.recipient = told.recipient and message.token_id is not distinct from told.token_id)
   and message.id >= %(lowest)s and message.id <= %(highest)s
returning message.id
"""  # noqa: S608 - put together from our own

NOTHING_SENT = {
    "ids": "{}",
    "lease_tokens": "{}",
    "providers": "{}",
    "provider_ids": "{}",
    "lowest": NO_ID,
    "highest": NO_ID,
}

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


def sent_parameters(told: Sequence[tuple[ClaimedMessage, Sent]]) -> dict[str, Any]:
    """Return the parameters of SETTLE_SENT, parallel arrays in the order of ids."""
    return _ids([message for message, _ in told]) | {
        "lease_tokens": uuid_array(message.lease_token for message, _ in told),
        "providers": text_array(sent.provider for _, sent in told),
        "provider_ids": text_array(storable(sent.provider_message_id) for _, sent in told),
    }


def late_parameters(told: Sequence[tuple[ClaimedMessage, Sent]]) -> dict[str, Any]:
    """Return the parameters of SETTLE_SENT_LATE likewise."""
    return sent_parameters(told) | {
        "recipients": text_array(message.recipient for message, _ in told),
        "token_ids": [message.token_id for message, _ in told],
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


def standing_parameters(told: Told) -> dict[str, Any]:
    """Return the parameters of STANDING_AS_TOLD likewise."""
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
