-- Delivery reports: what mail servers, mobile networks and providers say about a message after it was accepted.

-- Receivers only insert. A relay matches a report to its message, applies it, and writes the columns from applied_at on.
-- Reports arrive in any order, more than once, and before the relay has written that the message was sent.
create table delivery_reports (
    id uuid primary key,
    -- The same report has the same key, so a repetition changes nothing.
    deduplication_key bytea not null unique check (octet_length(deduplication_key) = 32),
    -- Either the message, from an address or URL with a MAC, or the provider's name and its id of the message.
    message_id uuid,
    -- A keyed hash of the recipient, from the same address: a bounce of a former recipient does not count.
    recipient_tag text check (length(recipient_tag) <= 64),
    provider text check (length(provider) <= 200),
    provider_message_id text check (length(provider_message_id) <= 200),
    kind text not null check (kind in ('delivered', 'bounced', 'delayed', 'complained')),
    -- Whose failure a bounce is: only those of the recipient count against the address.
    cause text check (cause in ('recipient', 'mailbox_full', 'content', 'policy', 'other')),
    is_permanent boolean default false not null,
    status_code text check (length(status_code) <= 40),
    diagnostic text check (length(diagnostic) <= 1000),
    -- A later migration adds sources.
    source text not null check (source in ('lmtp', 'imap', 'twilio', 'kannel', 'json', 'smpp')),
    occurred_at timestamptz,
    received_at timestamptz default now() not null,
    applied_at timestamptz,
    ignored_because text check (ignored_because in ('other_recipient', 'code_entered')),
    fallback_due_at timestamptz,
    check (message_id is not null or provider_message_id is not null)
);
create index ix_delivery_reports_unapplied on delivery_reports (received_at) where applied_at is null;
create index ix_delivery_reports_received_at on delivery_reports (received_at);
create index ix_delivery_reports_message_id on delivery_reports (message_id);
create index ix_delivery_reports_provider_message_id on delivery_reports (provider_message_id)
    where message_id is null;
create index ix_delivery_reports_fallback_due_at on delivery_reports (fallback_due_at)
    where fallback_due_at is not null;

-- A report by the provider's id looks for its message. Only SMS have such reports: a bounced e-mail names its message.
create index ix_outbox_messages_provider_message_id on outbox_messages (provider_message_id)
    where channel = 'sms' and provider_message_id is not null;

-- The state of each message with a report that counts. Reports arrive in any order, so the kind decides and not the time:
-- - A complaint proves that the message arrived.
-- - A bounce overrides "delivered". A mail server may report that it passed the message on, and another one bounces it.
--   A long SMS may arrive in part.
-- - A delay is over when any other report arrives.
create view delivery_states as
select distinct on (message_id)
       message_id, kind as state, least(occurred_at, received_at) as reported_at, cause, is_permanent, status_code,
       diagnostic, source
  from delivery_reports
 where applied_at is not null and ignored_because is null
 order by message_id, array_position(array['complained', 'bounced', 'delivered', 'delayed'], kind), is_permanent desc,
          received_at, id;

-- Addresses that get no messages until then, as keyed hashes. `key_id` names the key in FEEDBACK_KEYS. A relay finds an
-- entry under any of its keys, and writes a new one under the newest. `strikes` counts an address's bounces in a row: an
-- entry stays for 30 days after its end, so that the next bounce suppresses for longer.
create table suppressions (
    hash bytea not null check (octet_length(hash) = 16),
    reason text not null check (reason in ('bounced', 'complained', 'operator')),
    key_id text not null,
    strikes smallint default 1 not null,
    since timestamptz default now() not null,
    until timestamptz not null,
    primary key (hash, reason)
);
create index ix_suppressions_until on suppressions (until);

-- Suppresses an address after a bounce, for 1 day, then 7, then 30; or after a complaint, for a year. `hashes` is an array
-- of {key_id, hash}, newest key first. While a suppression lasts, bounces of messages sent before it change nothing.
create function signpost_suppress(hashes jsonb, for_reason text) returns void
language plpgsql strict set search_path = public, pg_temp
as $$
declare
    possible constant bytea[] := array(
        select decode(each.value ->> 'hash', 'hex') from jsonb_array_elements(hashes) as each);
    known suppressions;
begin
    select * into known from suppressions
     where hash = any(possible) and reason = for_reason order by until desc limit 1;
    if known.until > now() then
        return;
    end if;
    delete from suppressions where hash = any(possible) and reason = for_reason;
    insert into suppressions (hash, reason, key_id, strikes, until)
    select decode(hashes -> 0 ->> 'hash', 'hex'), for_reason, hashes -> 0 ->> 'key_id', strikes,
           now() + case for_reason when 'complained' then interval '365 days' when 'bounced' then
               (array[interval '1 day', interval '7 days', interval '30 days'])[least(strikes, 3)] end
      from (values (coalesce(known.strikes, 0) + 1)) as counted (strikes)
        on conflict do nothing;
end
$$;

-- Deletes suppressions 30 days after their end.
create function signpost_prune_suppressions(batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
begin
    delete from suppressions where ctid = any(array(
        select ctid from suppressions where until < now() - interval '30 days'
         order by until limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;

-- Applies reports to the messages that the caller has matched; returns those that it applied. `batch` is an array of
-- {report_id, message_id, recipient, is_of_recipient, hashes}. The relay has compared the report's tag with that recipient,
-- because the database has no keys. A message with another recipient by now is matched again later.
-- - A report about a former recipient does not count. Neither does one after the code was entered: the code arrived.
-- - A permanent bounce starts the message's fallback, whatever its cause: the person waits for a code that did not
--   arrive, as after a rejection. signpost_fall_back checks that a reason is left.
-- - A permanent bounce suppresses the address if it is the recipient's failure, and so does a complaint. The relay has
--   computed the hashes of the address, if it has keys.
-- - Reports are locked in one order, so that two relays cannot deadlock. A locked report is applied by another relay.
create function signpost_apply_reports(batch jsonb)
returns table (report_id uuid, kind text, cause text, source text, ignored_because text, is_fallback_due boolean)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
    match record;
    report delivery_reports;
    message outbox_messages;
begin
    for match in
        select * from jsonb_to_recordset(batch)
            as match (report_id uuid, message_id uuid, recipient text, is_of_recipient boolean, hashes jsonb)
         order by match.report_id
    loop
        select * into message from outbox_messages
         where id = match.message_id and status = 'sent' and recipient = match.recipient;
        continue when not found;
        select * into report from delivery_reports
         where id = match.report_id and applied_at is null for no key update skip locked;
        continue when not found;
        ignored_because := case
            when not match.is_of_recipient then 'other_recipient'
            when exists (select from tokens
                          where id = message.token_id and used_at is not null
                            and (report.kind <> 'delivered' or used_at <= report.received_at)) then 'code_entered' end;
        is_fallback_due := ignored_because is null and report.kind = 'bounced' and report.is_permanent
                           and message.fallback_at is not null;
        update delivery_reports as applied
           set applied_at = now(), message_id = message.id,
               ignored_because = signpost_apply_reports.ignored_because,
               fallback_due_at = case when is_fallback_due then now() end
         where id = report.id;
        if ignored_because is null and match.hashes <> '[]' then
            if report.kind = 'complained' then
                perform signpost_suppress(match.hashes, 'complained');
            elsif report.kind = 'bounced' and report.is_permanent
                  and report.cause in ('recipient', 'mailbox_full') then
                perform signpost_suppress(match.hashes, 'bounced');
            end if;
        end if;
        report_id := report.id;
        kind := report.kind;
        cause := report.cause;
        source := report.source;
        return next;
    end loop;
end
$$;

-- Adds the fallback message, over the other channel, of a message whose fallback is due.
-- - A message that was sent falls back if it bounced. Its fallback_at shows that it has not fallen back yet.
-- - A registration's code proves the address that receives it. So the fallback has its own token, which is a decoy if
--   the address is taken, as at a resend. It has the remaining attempts of the first and does not outlive it.
-- - A reset's code proves no address. So the fallback repeats it, and only to an address that the user has proven. With
--   one token, a confirmation takes the same statements whether or not a fallback was sent.
-- Locked rows are skipped and stay due: a resend locks user and messages in the other order.
create or replace function signpost_fall_back(first_id uuid, second_id uuid) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    message outbox_messages;
    holder users;
    token tokens;
    other record;
    is_taken boolean;
    next_template text;
begin
    select * into message from outbox_messages
     where id = first_id and fallback_at is not null
       and case status when 'sent' then exists (
               select from delivery_reports where message_id = first_id and fallback_due_at is not null)
           else fallback_at <= now() end
       for no key update skip locked;
    if not found then
        return false;
    end if;
    select * into holder from users where id = message.user_id for no key update skip locked;
    if not found and exists (select from users where id = message.user_id) then
        return false;
    end if;
    update outbox_messages set fallback_at = null where id = first_id;
    update delivery_reports set fallback_due_at = null where message_id = first_id and fallback_due_at is not null;
    select * into token from tokens
     where id = message.token_id and used_at is null and expires_at > now() and attempts_left > 0;
    select * into other from (values
        ('email', holder.email, holder.email_canonical, holder.email_verified_at),
        ('sms', holder.phone, holder.phone, holder.phone_verified_at)) as each (channel, address, canonical, proven_at)
     where channel = message.fallback_channel;
    if token.id is null or other.address is null
       or not (message.status <> 'dead' or message.dead_reason in ('rejected', 'exhausted', 'suppressed'))
       or exists (select from outbox_messages as newer
                    join tokens as its on its.id = newer.token_id
                     and its.address_id is not distinct from token.address_id
                   where newer.user_id = message.user_id and newer.created_at > message.created_at) then
        return false;
    end if;
    case token.purpose
        when 'activation', 'decoy' then
            if holder.status = 'active' then
                return false;
            end if;
            is_taken := signpost_is_taken(message.fallback_channel, other.canonical);
            insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
            values (gen_random_uuid(), holder.id, case when is_taken then 'decoy' else 'activation' end,
                    message.fallback_channel, token.key_id, token.attempts_left,
                    least(token.expires_at, now() + message.fallback_lifetime))
            returning * into token;
            next_template := case when is_taken then 'account_exists' else 'activation' end;
        when 'password_reset' then
            if holder.status <> 'active' or other.proven_at is null then
                return false;
            end if;
            next_template := message.template;
    end case;
    insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id,
                                 max_attempts, expires_at, traceparent, priority, fallback_of)
    values (second_id, next_template, message.fallback_channel, other.address, message.locale, message.payload,
            holder.id, token.id, message.max_attempts, token.expires_at, message.traceparent, message.priority,
            first_id);
    return true;
end
$$;

-- Returns all messages of a user, with the providers' replies and reports, and the events of notices. The API reads replies only
-- through this function, after it has checked the password.
create or replace function signpost_messages_of(for_user uuid) returns jsonb
language sql stable strict security definer set search_path = public, pg_temp
begin atomic
    select coalesce(jsonb_agg(jsonb_build_object(
               'id', id, 'template', template, 'channel', channel, 'recipient', recipient, 'locale', locale,
               'name', payload -> 'name', 'events', coalesce(payload -> 'events', '[]'), 'status', status,
               'dead_reason', dead_reason, 'attempts', attempt,
               'provider', provider, 'provider_message_id', provider_message_id, 'last_error', last_error,
               'created_at', created_at, 'settled_at', settled_at, 'expires_at', expires_at,
               'failures', (
                   select coalesce(jsonb_agg(jsonb_build_object(
                              'attempt', failure.attempt, 'outcome', failure.outcome, 'provider', failure.provider,
                              'error', failure.error, 'ended_at', failure.ended_at) order by failure.id), '[]')
                     from delivery_attempts as failure where failure.message_id = message.id),
               'reports', (
                   select coalesce(jsonb_agg(jsonb_build_object(
                              'kind', report.kind, 'cause', report.cause, 'status_code', report.status_code,
                              'diagnostic', report.diagnostic, 'source', report.source,
                              'occurred_at', report.occurred_at, 'received_at', report.received_at)
                              order by report.received_at, report.id), '[]')
                     from delivery_reports as report where report.message_id = message.id)
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
-- - Delivery reports are deleted, once more at the end: a relay may have matched another one meanwhile.
create or replace function signpost_erase(for_user uuid, held jsonb) returns boolean
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
    -- Before the messages lose their providers' ids. A report that is not matched yet has no other connection to them.
    delete from delivery_reports as report using outbox_messages as message
     where (message.user_id = any(owners) or message.id = any(strangers))
       and (report.message_id = message.id
            or report.message_id is null and report.provider_message_id = message.provider_message_id
               and report.provider = message.provider);
    -- The database of an organization with other members is created all the same.
    update outbox_messages
       set user_id = null, recipient = payload ->> 'organization_id',
           payload = jsonb_build_object('organization_id', payload -> 'organization_id')
     where user_id = for_user and channel = 'provision' and status = 'pending'
       and exists (select from organization_members
                    where organization_id = (payload ->> 'organization_id')::uuid
                      and organization_members.user_id <> for_user);
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
    delete from delivery_reports where message_id = any(messages);
    delete from tokens using jsonb_to_recordset(held) as had (until timestamptz, address_ids uuid[])
     where tokens.address_id = any(had.address_ids) and tokens.user_id is null and tokens.created_at <= had.until;
    delete from users where id = any(owners);
    return true;
end
$$;

-- Deletes reports whose message is deleted, oldest first. Until then they repeat nothing: a report has one key.
create function signpost_prune_reports(keep_days integer, batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
begin
    delete from delivery_reports where id = any(array(
        select id from (select id, message_id, received_at from delivery_reports
                         where applied_at is not null order by received_at limit batch) as oldest
         where received_at < cutoff
           and (select message.id from outbox_messages as message where message.id = oldest.message_id) is null));
    get diagnostics pruned = row_count;
end
$$;

-- Deletes reports that matched no message for a week. Relays no longer try them.
create function signpost_prune_unmatched_reports(batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
begin
    delete from delivery_reports where id = any(array(
        select id from delivery_reports where applied_at is null and received_at < now() - interval '7 days'
         order by received_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;
