"""Erasing takes away what was left under addresses that a person had before, and what somebody else holds just then.

Only the present addresses were looked at, so that whoever had changed theirs left registrations that never activated,
and what was told to a stranger, under the one before. Of those under the present ones, each that somebody locked was
left out. The function of that shape stays as long as a release that calls it may still serve.
"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

# The rows of messages and attempts stay, to be counted; nothing in them leads to anybody any more.
# - `held` has the addresses that the person has proven: {channel, canonical, until, address_ids}. What came to one
#   after they had left it is somebody else's, and so is a registration that was told something since.
# - Registrations that never activated are locked first and looked at then: whoever held one may have activated it, or
#   corrected its address. An activation that waits for this transaction meanwhile is a deadlock, of which the API
#   carries out again whichever is undone.
# - By their ids out of an array, one by one: compared with the whole array, 5,000 take twice as long.
# - A message that a relay holds loses its lease: what the relay only believes of it is then written nowhere.
#   Attempts are mended after their messages, in a statement of its own: a settle that came first is waited for, and
#   what it noted is seen.
ERASE = """
create function signpost_erase(for_user uuid, held jsonb) returns boolean
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    candidates uuid[];
    owners uuid[];
    strangers uuid[];
    messages uuid[];
begin
    perform from users where id = for_user and status = 'active' for update;
    if not found then
        return false;
    end if;
    candidates := array(
        select users.id from jsonb_to_recordset(held) as had (channel text, canonical text, until timestamptz)
          join users on had.channel = 'email' and email_canonical = had.canonical and created_at <= had.until
        union
        select users.id from jsonb_to_recordset(held) as had (channel text, canonical text, until timestamptz)
          join users on had.channel = 'sms' and phone = had.canonical and created_at <= had.until);
    perform from users where id = any(candidates) and status in ('pending', 'retired') order by id for update;
    select array_append(array_agg(distinct left_there.id), for_user) into owners
      from unnest(candidates) as candidate (id)
      join users as left_there on left_there.id = candidate.id and left_there.status in ('pending', 'retired')
      join jsonb_to_recordset(held) as had (channel text, canonical text, until timestamptz)
        on had.canonical = case had.channel when 'email' then email_canonical when 'sms' then phone end
       and left_there.created_at <= had.until
     where not isfinite(had.until)
        or (not exists (select from tokens where user_id = left_there.id and created_at > had.until)
            and not exists (select from outbox_messages where user_id = left_there.id and created_at > had.until));
    select coalesce(array_agg(message.id), '{}') into strangers
      from jsonb_to_recordset(held) as had (until timestamptz, address_ids uuid[])
      join outbox_messages as message on message.user_id = any(had.address_ids) and message.created_at <= had.until
     where not exists (select from users where id = message.user_id);
    with erased as (
        update outbox_messages
           set recipient = 'erased', payload = '{}', last_error = null, provider_message_id = null, traceparent = null,
               user_id = null, token_id = null, fallback_at = null, lease_token = null, leased_until = null,
               status = case status when 'pending' then 'dead' else status end,
               dead_reason = case status when 'pending' then 'discarded' else dead_reason end,
               settled_at = coalesce(settled_at, clock_timestamp())
         where user_id = any(owners) or id = any(strangers)
        returning id)
    select coalesce(array_agg(id), '{}') into messages from erased;
    update delivery_attempts set error = null where message_id = any(messages);
    delete from tokens using jsonb_to_recordset(held) as had (until timestamptz, address_ids uuid[])
     where tokens.address_id = any(had.address_ids) and tokens.user_id is null and tokens.created_at <= had.until;
    delete from users where id = any(owners);
    return true;
end
$$
"""
NOW = "signpost_erase(uuid, jsonb)"


def upgrade() -> None:
    op.execute(ERASE)
    op.execute(f"revoke all on function {NOW} from public")
    op.execute(f"grant execute on function {NOW} to signpost_api")


def downgrade() -> None:
    op.execute(f"drop function {NOW}")
