"""Settling what provisions: its sequel is written in the same statement, and so with it or not at all."""

from collections.abc import Sequence
from uuid import UUID

from outbox_relay.db.prepared import text_array
from outbox_relay.model import ClaimedMessage, Sent, Unsent
from outbox_relay.outbox.settle import Statement
from outbox_relay.outbox.settle_sql import UNSENT, sent_parameters, unsent_parameters
from outbox_relay.outbox.settled_notifier import ToldSettles
from shared.ids import uuid7

# What was sent is a fact, and told whoever holds the lease. That an organization is ready is none for a relay that
# has lost it: another may have found it to have failed by now, and dropped what there was.
SETTLE_PROVISIONED = """
with told as materialized (
    select * from unnest(%(ids)s::uuid[], %(lease_tokens)s::uuid[], %(providers)s::text[], %(next_ids)s::uuid[])
        as told (id, lease_token, provider, next_id)),
settled as (
    update outbox_messages as message
       set status = 'sent', dead_reason = null, settled_at = clock_timestamp(), attempt = message.attempt + 1,
           lease_token = null, leased_until = null, provider = told.provider
      from told
     where message.id = told.id and message.lease_token = told.lease_token
       and message.id >= %(lowest)s and message.id <= %(highest)s
    returning message.id, told.next_id)
select id, signpost_provisioned(id, next_id) from settled
"""

SETTLE_UNPROVISIONED = f"""{UNSENT},
next as materialized (
    select * from unnest(%(ids)s::uuid[], %(next_ids)s::uuid[]) as next (id, next_id))
select settled.id, case told.outcome when 'dead' then signpost_provisioning_failed(settled.id, next.next_id) end
  from settled join told using (id) join next using (id)
"""  # noqa: S608 - put together from our own


class ProvisionSettles(ToldSettles):
    """SettlementStore, and has the founder told: the code once their organization is ready, or that it has failed."""

    is_sent_a_fact = False

    async def _write_sent(self, sent: Sequence[tuple[ClaimedMessage, Sent]]) -> frozenset[UUID]:
        """Write that these are provisioned; return those that this was too late for."""
        return await self.write_fenced(sent, SETTLE_PROVISIONED, sent_parameters(sent) | {"next_ids": _next_ids(sent)})

    def statement_of_unsent(self, unsent: Sequence[tuple[ClaimedMessage, Unsent]]) -> Statement:
        """Return what writes that these are not."""
        return SETTLE_UNPROVISIONED, unsent_parameters(unsent) | {"next_ids": _next_ids(unsent)}


def _next_ids(told: Sequence[object]) -> str:
    """Return an id for each message that may follow."""
    return text_array(str(uuid7()) for _ in told)
