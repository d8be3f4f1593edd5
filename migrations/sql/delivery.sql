-- Changes of the outbox that API, relay and console may make only through functions of the schema's owner.

-- Supersedes the pending messages of a token and their fallbacks, after its use or when a newer code replaces it. The
-- API has no right to update the outbox. In PL/pgSQL, because PostgreSQL before 18 plans SQL functions at each call.
create function signpost_supersede(for_user uuid, of_token uuid) returns integer
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    closed integer;
begin
    update outbox_messages as message
       set status = 'dead', dead_reason = 'superseded', settled_at = clock_timestamp(),
           lease_token = null, leased_until = null, fallback_at = null
     where user_id = for_user and status = 'pending'
       and (token_id = of_token or fallback_of in (
            select id from outbox_messages as first where first.user_id = for_user and first.token_id = of_token));
    get diagnostics closed = row_count;
    return closed;
end
$$;

-- Returns whether a user has verified this address (canonical form). A new code for it is then a decoy.
create function signpost_is_taken(channel text, canonical text) returns boolean
language sql stable set search_path = public, pg_temp
return case channel
    when 'sms' then exists (select from users where phone = canonical and phone_verified_at is not null)
    else exists (select from users where email_canonical = canonical and email_verified_at is not null) end;

-- Adds the fallback message, over the other channel, of a message whose fallback is due. It has its own token, because
-- a code proves the address that receives it. As at a resend, the code is a decoy if the address is taken. The new
-- token has the remaining attempts of the first and does not outlive it. Locked rows are skipped and stay due: a resend
-- locks user and messages in the other order.
-- delivery_reports.sql replaces it.
create function signpost_fall_back(first_id uuid, second_id uuid) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    message outbox_messages;
    holder users;
    address text;
    token tokens;
    is_taken boolean;
begin
    select * into message from outbox_messages
     where id = first_id and fallback_at <= now() and status <> 'sent' for no key update skip locked;
    if not found then
        return false;
    end if;
    select * into holder from users where id = message.user_id for no key update skip locked;
    if not found and exists (select from users where id = message.user_id) then
        return false;
    end if;
    address := case message.fallback_channel when 'sms' then holder.phone else holder.email end;
    update outbox_messages set fallback_at = null where id = first_id;
    select * into token from tokens
     where id = message.token_id and used_at is null and expires_at > now() and attempts_left > 0;
    if token.id is null or address is null or holder.status = 'active'
       or not (message.status = 'pending' or message.dead_reason in ('rejected', 'exhausted'))
       or exists (select from outbox_messages
                   where user_id = message.user_id and created_at > message.created_at) then
        return false;
    end if;
    is_taken := signpost_is_taken(message.fallback_channel, case message.fallback_channel
        when 'sms' then holder.phone else holder.email_canonical end);
    insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
    values (gen_random_uuid(), holder.id, case when is_taken then 'decoy' else 'activation' end,
            message.fallback_channel, token.key_id, token.attempts_left,
            least(token.expires_at, now() + message.fallback_lifetime))
    returning * into token;
    insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id,
                                 max_attempts, expires_at, traceparent, priority, fallback_of)
    values (second_id, case when is_taken then 'account_exists' else 'activation' end, message.fallback_channel,
            address, message.locale, message.payload, holder.id, token.id,
            message.max_attempts, token.expires_at, message.traceparent,
            message.priority, first_id);
    return true;
end
$$;

-- Allows as the recipient of a message about a user only an address of this user, in any spelling. Otherwise the
-- console's role could send a code to a stranger. Only ASCII letters are compared without case.
create function signpost_check_recipient() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    if (new.user_id is not null or new.token_id is not null)
       and lower(new.recipient collate "C") <> lower(old.recipient collate "C")
       and (new.template = 'address_changed' or not exists (
           select from users
            where id = new.user_id and case new.channel when 'sms' then phone = new.recipient
                                       else lower(email collate "C") = lower(new.recipient collate "C") end)) then
        raise exception 'a message about a user may only go to an address of that user'
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$;

-- Allows as a message's new token only one for the same purpose and address. Otherwise the console's role could send a
-- password reset to an address that the user no longer has.
-- reset_fallback.sql replaces it.
create function signpost_check_token() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    if new.token_id is not null and not exists (
        select from tokens as own
          join tokens as other on other.id = new.token_id and other.channel = own.channel
           and other.address_id is not distinct from own.address_id
           and other.new_address is not distinct from own.new_address
           and (other.purpose = own.purpose or own.address_id is null)
         where own.id = old.token_id and own.channel = new.channel
           and own.user_id = new.user_id and other.user_id = new.user_id) then
        raise exception 'a message may only get a token for the same purpose and address'
            using errcode = 'insufficient_privilege';
    end if;
    if exists (
        select from tokens
          join users on users.id = new.user_id
         where tokens.id = new.token_id and tokens.address_id is null
           and case new.channel when 'sms' then phone is distinct from new.recipient
               else lower(email collate "C") is distinct from lower(new.recipient collate "C") end) then
        raise exception 'a registration''s code may only go to its present address'
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$;

-- Returns the id of the key that the API uses for new codes, as in the newest message with a code. The console has no
-- keys. Null if the last thousand messages have no code.
create function signpost_newest_key() returns text
language sql stable parallel safe set search_path = public, pg_temp
begin atomic
    select payload ->> 'key_id'
      from (select id, payload from outbox_messages order by id desc limit 1000) as newest
     where payload ? 'key_id'
     order by id desc
     limit 1;
end;

-- Corrects a typing error in the address of a registration before its activation. All codes sent to the old address
-- expire, because they would now prove the new one, and pending messages to it are superseded. The new code is a decoy
-- if the new address is taken. The user is locked before the other messages, as at a resend. The console has checked
-- the address; the checks here only reject obvious errors.
create function signpost_correct_address(of_message uuid, address text, canonical text) returns boolean
language plpgsql strict security definer set search_path = public, pg_temp
as $_$
declare
    message outbox_messages;
    token tokens;
    lifetime interval;
    is_taken boolean;
begin
    select * into message from outbox_messages where id = of_message and status = 'dead' for update;
    perform from users where id = message.user_id and status = 'pending' for update;
    if not found or (canonical <> case message.channel when 'sms' then address else lower(address) end)
       or (address !~ case message.channel when 'sms' then '^[+][1-9][0-9]{4,14}$'
                                           else '^[^@\s\x01-\x1f\x7f]+@[a-z0-9.-]+$' end) then
        return false;
    end if;
    select * into token from tokens where id = message.token_id and purpose in ('activation', 'decoy');
    if not found then
        return false;
    end if;
    is_taken := signpost_is_taken(message.channel, canonical);
    select max(expires_at - created_at) into lifetime
      from tokens where user_id = message.user_id and channel = message.channel;
    update tokens set expires_at = now()
     where user_id = message.user_id and channel = message.channel and expires_at > now();
    update outbox_messages
       set status = 'dead', dead_reason = 'superseded', settled_at = clock_timestamp(),
           lease_token = null, leased_until = null, fallback_at = null
     where user_id = message.user_id and channel = message.channel and status = 'pending';
    if message.channel = 'sms' then
        update users set phone = canonical where id = message.user_id;
    else
        update users set email = address, email_canonical = canonical where id = message.user_id;
    end if;
    -- Five attempts, as NEW_CODE_ATTEMPTS in operator_console/actions/requeue.py.
    insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
    values (gen_random_uuid(), message.user_id, case when is_taken then 'decoy' else 'activation' end,
            message.channel, coalesce(signpost_newest_key(), token.key_id), 5, now() + lifetime)
    returning * into token;
    update outbox_messages
       set recipient = address, token_id = token.id, expires_at = token.expires_at,
           template = case when is_taken then 'account_exists' else 'activation' end
     where id = of_message;
    return true;
end
$_$;

-- Revokes an operator's token. The console's role may not update the column, so it cannot undo this.
create function signpost_revoke_operator_token(of_token uuid) returns boolean
language sql strict security definer set search_path = public, pg_temp
begin atomic
    with revoked as (
        update operator_tokens set revoked_at = now() where id = of_token and revoked_at is null returning 1)
    select exists (select from revoked);
end;

-- Adds the operators' digest to the outbox and returns its content, or null without news. The relay only chooses the
-- addresses and the language.
-- - Superseded messages, discarded messages and digests are not reported.
-- - Dead letters count since the last report of their cause, for two hours at most.
-- - A provider that no relay has seen for five minutes was removed from the settings.
-- - Relays try a provider that is down at least every two minutes. Without a try for five minutes its state is unknown,
--   as after a time without a relay.
-- - Causes are written in one order, so that two relays cannot deadlock.
create function signpost_enqueue_digests(ids uuid[], addresses text[], in_locale text, late interval) returns jsonb
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    news jsonb;
begin
    with dead as (
        select concat_ws(', ', dead_reason, provider, last_error_class) as cause, settled_at
          from outbox_messages
         where status = 'dead' and settled_at > now() - interval '2 hours'
           and dead_reason not in ('superseded', 'discarded') and template <> 'operator_digest'),
    found as (
        select 'dead' as kind, dead.cause, count(*) as count
          from dead left join reported_causes as before on before.cause = dead.cause
         where before.cause is null or settled_at > reported_at
         group by dead.cause
        union all
        select 'late', 'late, ' || channel, count(*)
          from outbox_messages
         where status = 'pending' and due_at <= now() - late and (leased_until is null or leased_until <= now())
           and template <> 'operator_digest'
         group by channel
        union all
        select 'provider_down', 'provider down, ' || name, null
          from providers
         where consecutive_opens > 0 and since <= now() - late and seen_at > now() - interval '5 minutes'
           and open_until > now() - interval '5 minutes'),
    reported as (
        insert into reported_causes as before (cause, reported_at)
        select cause, now() from found order by cause
            on conflict (cause) do update set reported_at = excluded.reported_at
                  where before.reported_at <= now() - interval '1 hour'
        returning cause)
    select jsonb_build_object(
               'dead', coalesce(sum(count), 0),
               'causes', jsonb_agg(jsonb_build_object('kind', kind, 'cause', cause, 'count', count)
                                   order by count desc nulls last, cause))
      into news from found join reported using (cause)
    having count(*) > 0;
    if news is null then
        return null;
    end if;
    insert into outbox_messages (id, template, priority, channel, recipient, locale, payload, max_attempts, expires_at)
    select id, 'operator_digest', 'low', 'email', address, in_locale, news, 200, now() + interval '12 hours'
      from unnest(ids, addresses) as addressed (id, address);
    delete from reported_causes where reported_at < now() - interval '7 days';
    return news;
end
$$;
