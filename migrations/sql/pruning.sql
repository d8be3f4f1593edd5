-- Retention. Each function deletes at most `batch` rows and returns how many.

-- Returns the time before which rows may be deleted. Raises if `keep_days` is below `fewest`.
create function signpost_cutoff(keep_days integer, fewest integer) returns timestamptz
language plpgsql stable strict set search_path = public, pg_temp
as $$
begin
    if keep_days < fewest then
        raise exception 'the shortest retention is % days', fewest using errcode = 'invalid_parameter_value';
    end if;
    return now() - make_interval(days => keep_days);
end
$$;

-- Deletes settled messages one by one in partitions that cannot be dropped: the default one, and those with a pending
-- message.
create function signpost_prune_undropped_messages(keep_days integer, batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $_$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    partition text;
    part integer;
begin
    pruned := 0;
    for partition in select 'outbox_messages_default' union all select signpost_partitions_before(cutoff) loop
        exit when pruned >= batch;
        continue when partition <> 'outbox_messages_default' and not signpost_has_unsettled(partition);
        execute format('delete from %1$I where ctid = any(array(select ctid from %1$I where settled_at < $1'
                       ' limit $2 for update skip locked))', partition) using cutoff, batch - pruned;
        get diagnostics part = row_count;
        pruned := pruned + part;
    end loop;
end
$_$;

-- Deletes attempts of deleted messages, oldest ids first, which needs no index on time. The scalar subquery reads one
-- partition for each row. PostgreSQL would plan `not exists` as a join, which may read all partitions.
create function signpost_prune_attempts(keep_days integer, batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
begin
    delete from delivery_attempts where id = any(array(
        select id from (select id, message_id, ended_at from delivery_attempts order by id limit batch) as oldest
         where ended_at < cutoff
           and (select message.id from outbox_messages as message where message.id = oldest.message_id) is null));
    get diagnostics pruned = row_count;
end
$$;

-- Deletes audit rows, after 90 days at the earliest.
create function signpost_prune_actions(keep_days integer, batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 90);
begin
    delete from operator_actions where id = any(array(
        select id from (select id, acted_at from operator_actions order by id limit batch) as oldest
         where acted_at < cutoff));
    get diagnostics pruned = row_count;
end
$$;

-- Returns whether the user has a token that was valid at that moment or later.
create function signpost_has_token_since(candidate uuid, cutoff timestamptz) returns boolean
language sql stable strict set search_path = public, pg_temp
begin atomic
    select exists (select from tokens where user_id = candidate and expires_at >= cutoff);
end;

-- Deletes registrations that were never activated, in two statements: the first locks the rows, and the second reads
-- them again in its own snapshot. A resend or requeue adds a token, which locks the user. So the second statement sees
-- those that committed meanwhile, and no other can follow. The query for messages stands here, because a function would
-- open all partitions at each call.
create function signpost_prune_users(keep_days integer, batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    candidates uuid[];
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
end
$$;

-- Deletes tokens of password resets and address changes that expired before the cutoff.
create function signpost_prune_tokens(keep_days integer, batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
begin
    delete from tokens where id = any(array(
        select id from tokens where address_id is not null and expires_at < cutoff
         order by expires_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;

-- Deletes sessions that have expired.
create function signpost_prune_sessions(batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
begin
    delete from sessions where id = any(array(
        select id from sessions where expires_at <= now() order by expires_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;

-- Deletes stored responses after a day, as documented.
create function signpost_prune_idempotency_keys(batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
begin
    delete from idempotency_keys where ctid = any(array(
        select ctid from idempotency_keys where created_at < now() - interval '1 day'
         limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;

-- Deletes rate limits that have ended. An index on the time would cost more at each hit than this scan does once a
-- minute.
create function signpost_prune_limits(batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
begin
    delete from rate_limits where ctid = any(array(
        select ctid from rate_limits where ends_at < now() limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;

-- Deletes relays that were last seen more than a day ago.
create function signpost_prune_relays(batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
begin
    delete from relays where id = any(array(
        select id from relays where seen_at < now() - interval '1 day' limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;

-- Deletes failed organizations whose database was dropped or never created, after two days at the earliest: the relay
-- checks for a day that a database is gone.
create function signpost_prune_organizations(keep_days integer, batch integer, out pruned integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := least(signpost_cutoff(keep_days, 1), now() - interval '2 days');
begin
    delete from organizations where id = any(array(
        select id from organizations as organization
         where status = 'failed' and failed_at < cutoff and (drop_until is null or drop_until <= now())
           and not exists (select from users where organization_id = organization.id)
           and not exists (select from organization_members where organization_id = organization.id)
           and (dropped_at < cutoff
                or not exists (select from organization_steps where organization_id = organization.id))
         order by failed_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
end
$$;
