-- Personal data of one user: its export and its erasure.

-- Returns all messages of a user, with the providers' replies. The API reads replies only through this function, after
-- it has checked the password.
-- delivery_reports.sql replaces it.
create function signpost_messages_of(for_user uuid) returns jsonb
language sql stable strict security definer set search_path = public, pg_temp
begin atomic
    select coalesce(jsonb_agg(jsonb_build_object(
               'id', id, 'template', template, 'channel', channel, 'recipient', recipient, 'locale', locale,
               'name', payload -> 'name', 'status', status, 'dead_reason', dead_reason, 'attempts', attempt,
               'provider', provider, 'provider_message_id', provider_message_id, 'last_error', last_error,
               'created_at', created_at, 'settled_at', settled_at, 'expires_at', expires_at,
               'failures', (
                   select coalesce(jsonb_agg(jsonb_build_object(
                              'attempt', failure.attempt, 'outcome', failure.outcome, 'provider', failure.provider,
                              'error', failure.error, 'ended_at', failure.ended_at) order by failure.id), '[]')
                     from delivery_attempts as failure where failure.message_id = message.id)
               ) order by created_at, id), '[]')
      from outbox_messages as message
     where user_id = for_user;
end;

-- Erases a user; returns false if there is none. Messages and attempts remain for statistics, without personal data.
-- - `held` lists the addresses that the user has verified: {channel, canonical, until, address_ids}. Messages sent to
--   an address after `until` belong to another person, and so do registrations that got messages since.
-- - Pending registrations are locked before they are read: their holder may activate them or correct the address. An
--   activation that waits for this transaction meanwhile is a deadlock, and the API retries the loser.
-- - Ids are unnested: a comparison with an array of 5,000 takes twice as long.
-- - A leased message loses its lease, so that the relay cannot write an outcome other than sent. A later statement erases attempts: it
--   sees those of a settlement that committed first.
-- delivery_reports.sql replaces it.
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
$$;
