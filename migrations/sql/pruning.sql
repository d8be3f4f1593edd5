-- Retention. Each function deletes at most `batch` rows and returns how many.

-- The moment before which rows may go. Raises if fewer days than `fewest` are asked for.
create function signpost_cutoff(keep_days integer, fewest integer) returns timestamptz
language plpgsql stable strict set search_path = public, pg_temp
as $$
begin
    if keep_days < fewest then
        raise exception 'kept for % days at least', fewest using errcode = 'invalid_parameter_value';
    end if;
    return now() - make_interval(days => keep_days);
end
$$;

-- Deletes settled messages one by one where the partition cannot be dropped: in the default one, and beside a
-- pending message.
create function signpost_prune_messages(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $_$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    partition text;
    pruned integer := 0;
    part integer;
begin
    for partition in select 'outbox_messages_default' union all select signpost_partitions_before(cutoff) loop
        exit when pruned >= batch;
        continue when partition <> 'outbox_messages_default' and not signpost_has_unsettled(partition);
        execute format('delete from %1$I where ctid = any(array(select ctid from %1$I where settled_at < $1'
                       ' limit $2 for update skip locked))', partition) using cutoff, batch - pruned;
        get diagnostics part = row_count;
        pruned := pruned + part;
    end loop;
    return pruned;
end
$_$;

-- Deletes attempts whose messages are gone, oldest ids first, so that no index on time is needed. The scalar
-- subquery reads one partition for each row; `not exists` would be planned as a join that may read all partitions.
create function signpost_prune_attempts(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    pruned integer;
begin
    delete from delivery_attempts where id = any(array(
        select id from (select id, message_id, ended_at from delivery_attempts order by id limit batch) as oldest
         where ended_at < cutoff
           and (select message.id from outbox_messages as message where message.id = oldest.message_id) is null));
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

-- The audit log is kept for 90 days at least, whatever a relay asks for.
create function signpost_prune_actions(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 90);
    pruned integer;
begin
    delete from operator_actions where id = any(array(
        select id from (select id, acted_at from operator_actions order by id limit batch) as oldest
         where acted_at < cutoff));
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

-- Tells whether the user has a token that was valid at that moment or later.
create function signpost_has_token_since(candidate uuid, cutoff timestamptz) returns boolean
language sql stable strict set search_path = public, pg_temp
begin atomic
    select exists (select from tokens where user_id = candidate and expires_at >= cutoff);
end;

-- Deletes registrations that were never activated. Two statements: the first locks the rows, the second reads them
-- again in a snapshot of its own. A resend or requeue that committed in between added a token, which locks the
-- user; after the first statement none can. The messages are asked for here, since a function would open all
-- partitions at each call.
create function signpost_prune_users(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    candidates uuid[];
    pruned integer;
begin
    candidates := array(
        select id from users
         where created_at < cutoff and email_verified_at is null and phone_verified_at is null
           and status in ('pending', 'retired')
           and not signpost_has_token_since(id, cutoff)
           and not exists (select from outbox_messages where user_id = users.id and status = 'pending')
         limit batch
           for update skip locked);
    delete from users
     where id = any(candidates)
           and status in ('pending', 'retired')
           and not signpost_has_token_since(id, cutoff)
           and not exists (select from outbox_messages where user_id = users.id and status = 'pending');
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

-- Deletes tokens of password resets and address changes that expired before the cutoff.
create function signpost_prune_tokens(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    pruned integer;
begin
    delete from tokens where id = any(array(
        select id from tokens where address_id is not null and expires_at < cutoff
         order by expires_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

-- Deletes sessions that have expired.
create function signpost_prune_sessions(batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    pruned integer;
begin
    delete from sessions where id = any(array(
        select id from sessions where expires_at <= now() order by expires_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

-- Deletes stored responses after a day, which clients may count on.
create function signpost_prune_idempotency_keys(batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    pruned integer;
begin
    delete from idempotency_keys where ctid = any(array(
        select ctid from idempotency_keys where created_at < now() - interval '1 day' limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

-- Deletes rate limits that no longer count. There is no index on the time: each hit would pay more for it than this
-- costs once a minute.
create function signpost_prune_limits(batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    pruned integer;
begin
    delete from rate_limits where ctid = any(array(
        select ctid from rate_limits where ends_at < now() limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

-- Deletes relays that were last seen more than a day ago.
create function signpost_prune_relays(batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    pruned integer;
begin
    delete from relays where id = any(array(
        select id from relays where seen_at < now() - interval '1 day' limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

-- Deletes failed organizations whose database is dropped or was never started. Dropped ones are checked again for a
-- day, so two days at least.
create function signpost_prune_organizations(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := least(signpost_cutoff(keep_days, 1), now() - interval '2 days');
    pruned integer;
begin
    delete from organizations where id = any(array(
        select id from organizations as organization
         where status = 'failed' and failed_at < cutoff and (drop_until is null or drop_until <= now())
           and not exists (select from users where organization_id = organization.id)
           and (dropped_at < cutoff
                or not exists (select from organization_steps where organization_id = organization.id))
         order by failed_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$;
