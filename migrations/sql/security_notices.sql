-- Security notices: unfamiliar sign-ins, refresh tokens used twice, and wrong passwords.

alter table users add column first_sign_in_at timestamptz;

-- Devices and networks that users have signed in from, as keyed hashes.
create table seen_clients (
    user_id uuid not null references users on delete cascade,
    hash bytea not null check (octet_length(hash) = 32),
    kind text not null check (kind in ('device', 'network')),
    first_seen_at timestamptz default now() not null,
    last_seen_at timestamptz default now() not null,
    primary key (user_id, hash)
);
create index ix_seen_clients_last_seen_at on seen_clients (last_seen_at);

-- Wrong passwords in a row. Counted for addresses without an account too, by the hash of the address, because a sign-in
-- must take the same work for each address. Unlogged: a crash of the server resets them.
create unlogged table wrong_passwords (
    id uuid primary key,
    in_a_row integer default 1 not null,
    last_at timestamptz default now() not null
)
with (fillfactor = 50);

-- What notices report; `kind` is the template of the notice. Wrong passwords at an address without an account have the
-- hash of the address as `user_id`, so there is no foreign key, and the check of one would lock the user.
create table security_events (
    id uuid primary key,
    user_id uuid not null,
    kind text not null check (kind in ('token_reuse', 'unfamiliar_sign_in', 'wrong_passwords')),
    device text,
    network text,
    key_id text not null,
    occurred_at timestamptz default now() not null,
    notified_at timestamptz
);
create index ix_security_events_user_id on security_events (user_id, kind, occurred_at);
create index ix_security_events_occurred_at on security_events (occurred_at);
create index ix_security_events_unnotified on security_events (user_id, kind, occurred_at) where notified_at is null;

create function signpost_forget_security_events() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    delete from security_events where user_id = old.id;
    delete from wrong_passwords where id = old.id;
    return null;
end
$$;
create trigger tr_users_forget_security_events after delete on users
for each row execute function signpost_forget_security_events();

-- Adds the notices that are due to the outbox; returns how many. A relay runs it, because a sign-in that added a
-- notice itself would take longer for an address with an account.
-- - `hold` is how long the first event waits for others. `pause` is the shortest time between two notices of a kind.
-- - A notice lists the newest 20 events since the last notice, and those that happened up to a pause before them.
--   Others are deleted: a client with the password can cause any number, and an export would contain them all.
-- - One statement lists the events and marks them. With two, the second would also mark events that were added
--   between.
-- - It goes to the e-mail address, or without one to the number: strangers can cause notices, and SMS cost money.
-- - The lock keeps two relays from sending the same notice. The user is locked against a concurrent erasure.
-- - The id is a UUIDv7, so that the message gets into this week's partition.
create function signpost_enqueue_notices(batch integer, out enqueued integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    due record;
    holder users;
    listed jsonb;
    newest_key text;
begin
    enqueued := 0;
    if not pg_try_advisory_xact_lock(hashtextextended('signpost_enqueue_notices', 0)) then
        return;
    end if;
    delete from security_events as event
     where notified_at is null
       and not exists (select from users
                        where users.id = event.user_id and status = 'active'
                          and (email_verified_at is not null or phone_verified_at is not null));
    for due in
        select event.user_id, rule.kind, rule.pause, min(occurred_at) as since
          from (values ('token_reuse', interval '0', interval '1 hour'),
                       ('unfamiliar_sign_in', interval '5 minutes', interval '1 hour'),
                       ('wrong_passwords', interval '0', interval '1 day')) as rule (kind, hold, pause)
          join security_events as event on event.kind = rule.kind and event.notified_at is null
         where not exists (select from security_events as earlier
                            where earlier.user_id = event.user_id and earlier.kind = rule.kind
                              and earlier.notified_at > now() - rule.pause)
         group by event.user_id, rule.kind, rule.hold, rule.pause
        having min(occurred_at) <= now() - rule.hold
         order by since
         limit batch
    loop
        select * into holder from users where id = due.user_id and status = 'active' for key share skip locked;
        continue when not found;
        with ranked as (
            select *, row_number() over (order by occurred_at desc, id) as rank from security_events
             where user_id = due.user_id and kind = due.kind
               and (notified_at is null or occurred_at > due.since - due.pause)),
        dropped as (
            delete from security_events using ranked where security_events.id = ranked.id and rank > 20),
        marked as (
            update security_events set notified_at = now() from ranked
             where security_events.id = ranked.id and rank <= 20 and security_events.notified_at is null)
        select jsonb_agg(jsonb_build_object('at', occurred_at, 'device', device, 'network', network)
                         order by occurred_at, id),
               (array_agg(key_id order by rank))[1]
          into listed, newest_key from ranked where rank <= 20;
        insert into outbox_messages (id, template, priority, channel, recipient, locale, payload, user_id, max_attempts,
                                     expires_at)
        values ((left(signpost_uuid7_floor(clock_timestamp())::text, 14)
                 || '7' || right(gen_random_uuid()::text, 21))::uuid,
                due.kind, 'low', case when holder.email_verified_at is null then 'sms' else 'email' end,
                case when holder.email_verified_at is null then holder.phone else holder.email end,
                holder.locale,
                jsonb_build_object('name', holder.full_name, 'key_id', newest_key, 'events', listed),
                holder.id, 200, now() + interval '72 hours');
        enqueued := enqueued + 1;
    end loop;
    if enqueued > 0 then
        perform pg_notify('signpost_outbox', '');
    end if;
end
$$;

-- Deletes devices and networks that were last seen more than 90 days ago.
create function signpost_prune_seen_clients(batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
begin
    delete from seen_clients where ctid = any(array(
        select ctid from seen_clients where last_seen_at < now() - interval '90 days'
         order by last_seen_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;

-- Deletes events after a week. A notice about them was sent long before.
create function signpost_prune_security_events(batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
begin
    delete from security_events where id = any(array(
        select id from security_events where occurred_at < now() - interval '7 days'
         order by occurred_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;

-- Deletes counters of wrong passwords a week after the last one. An index on the time would cost more at each wrong
-- password than this scan does.
create function signpost_prune_wrong_passwords(batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
begin
    delete from wrong_passwords where ctid = any(array(
        select ctid from wrong_passwords where last_at < now() - interval '7 days'
         limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;

-- Returns all messages of a user, with the providers' replies and the events of notices. The API reads replies only
-- through this function, after it has checked the password.
-- delivery_reports.sql replaces it.
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
                     from delivery_attempts as failure where failure.message_id = message.id)
               ) order by created_at, id), '[]')
      from outbox_messages as message
     where user_id = for_user;
end;
