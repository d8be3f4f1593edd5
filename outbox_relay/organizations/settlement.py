"""Settle messages of the provision channel, with the follow-up message to the founder in the same statement."""

from collections.abc import Sequence
from uuid import UUID

from outbox_relay.arrays import text_array
from outbox_relay.messages import ClaimedMessage
from outbox_relay.outcomes import Sent, Unsent
from outbox_relay.settle_statements import UNSENT, sent_parameters, unsent_parameters
from outbox_relay.settles import Statement
from outbox_relay.telling import ToldSettles
from shared.ids import uuid7

# An e-mail stays sent even if its lease was lost meanwhile, but an organization does not stay ready: another relay may
# have failed it and dropped its database. So a success requires the lease, too.
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
    """Settle provisioning: enqueue the activation code for a ready organization, a notice for a failed one."""

    is_sent_a_fact = False

    async def _write_sent(self, sent: Sequence[tuple[ClaimedMessage, Sent]]) -> frozenset[UUID]:
        """Record success; return the ids of messages whose lease was lost."""
        return await self.write_fenced(sent, SETTLE_PROVISIONED, sent_parameters(sent) | {"next_ids": _next_ids(sent)})

    def statement_of_unsent(self, unsent: Sequence[tuple[ClaimedMessage, Unsent]]) -> Statement:
        """Return the statement that records retries, deferrals and failures, with its parameters."""
        return SETTLE_UNPROVISIONED, unsent_parameters(unsent) | {"next_ids": _next_ids(unsent)}


def _next_ids(told: Sequence[object]) -> str:
    """Return an id for each possible follow-up message."""
    return text_array(str(uuid7()) for _ in told)
