-- Partitions of the outbox: one for each week from Monday (UTC), by the time in the message's id (UUIDv7). A statement
-- locks all partitions of its plan, so claims are cheaper with few large partitions than with many small ones.

-- Returns the lowest UUIDv7 of that millisecond.
create function signpost_uuid7_floor(moment timestamptz) returns uuid
language sql immutable strict parallel safe
return (rpad(lpad(to_hex(floor(extract(epoch from moment) * 1000)::bigint), 12, '0'), 32, '0'))::uuid;

-- Creates the partition of a week; returns 1, or 0 if it exists. Rows of that week move out of the default partition,
-- where a wrong clock put them. Moving more than 20,000 rows would block inserts for over half a second, so they stay.
-- For this week the parent is locked first, because an insert may be on its way into the default partition.
create function signpost_make_partition(week timestamptz) returns integer
language plpgsql set search_path = public, pg_temp
as $$
declare
    partition constant text := 'outbox_messages_' || to_char(week at time zone 'UTC', 'YYYYMMDD');
    lowest constant uuid := signpost_uuid7_floor(week);
    beyond constant uuid := signpost_uuid7_floor(week + interval '168 hours');
begin
    if to_regclass(partition) is not null then
        return 0;
    end if;
    if (select count(*) > 20000
          from (select from outbox_messages_default where id >= lowest and id < beyond limit 20000 + 1) as those)
    then
        raise exception 'more than 20000 messages of that week are in the default partition'
            using errcode = 'program_limit_exceeded';
    end if;
    execute format('create table %I (like outbox_messages including defaults including constraints)'
                   ' with (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.02,'
                   ' autovacuum_vacuum_insert_scale_factor = 0.2)', partition);
    if week < now() + interval '1 hour' then
        lock table only outbox_messages in access exclusive mode;
    end if;
    lock table outbox_messages_default in access exclusive mode;
    execute format('with misplaced as (delete from outbox_messages_default where id >= %L and id < %L returning *)'
                   ' insert into %I select * from misplaced', lowest, beyond, partition);
    execute format('alter table outbox_messages attach partition %I for values from (%L) to (%L)',
                   partition, lowest, beyond);
    return 1;
end
$$;

-- Creates the partitions of this week and the coming weeks. The next call retries a partition that fails: all inserts
-- would wait behind a wait for its lock.
create function signpost_make_partitions(weeks_ahead integer) returns integer
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '200ms'
as $$
declare
    week timestamptz := date_trunc('week', now(), 'UTC');
    last_week constant timestamptz := week + make_interval(hours => 168 * weeks_ahead);
    made integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('signpost_make_partitions'));
    while week <= last_week loop
        begin
            made := made + signpost_make_partition(week);
        exception when lock_not_available or check_violation or program_limit_exceeded then
            raise warning 'partition of % not created: %', week, sqlerrm
                using errcode = sqlstate,
                      table = 'outbox_messages_' || to_char(week at time zone 'UTC', 'YYYYMMDD');
        end;
        week := week + interval '168 hours';
    end loop;
    return made;
end
$$;

-- Returns whether a partition has pending messages.
create function signpost_has_unsettled(partition text) returns boolean
language plpgsql stable strict set search_path = public, pg_temp
as $$
declare
    found_one boolean;
begin
    execute format('select exists (select from %I where status = ''pending'')', partition) into found_one;
    return found_one;
end
$$;

-- Returns the partitions of the weeks that ended before that moment's day, oldest first.
create function signpost_partitions_before(cutoff timestamptz) returns setof text
language sql stable strict set search_path = public, pg_temp
begin atomic
    select relname::text
      from pg_inherits join pg_class on pg_class.oid = inhrelid
     where inhparent = 'outbox_messages'::regclass
       and to_date(substring(relname from '^outbox_messages_([0-9]{8})$'), 'YYYYMMDD') + 7
           <= (cutoff at time zone 'UTC')::date
     order by relname;
end;

-- Drops the oldest partition past retention that has no pending message; returns how many it dropped (0 or 1). All
-- claims and inserts wait behind the lock on the parent. So the wait for that lock is short, and there is no wait for
-- the locks on the partition and the default partition. The function checks again for pending messages under the lock,
-- because an operator may have requeued one. An advisory lock excludes signpost_make_partitions meanwhile.
create function signpost_drop_partition(keep_days integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp set lock_timeout = '200ms'
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    partition text;
begin
    if not pg_try_advisory_xact_lock(hashtext('signpost_make_partitions')) then
        return 0;
    end if;
    for partition in select signpost_partitions_before(cutoff) loop
        continue when signpost_has_unsettled(partition);
        begin
            lock table only outbox_messages in access exclusive mode;
            execute format('lock table %I, outbox_messages_default in access exclusive mode nowait', partition);
            if not signpost_has_unsettled(partition) then
                execute format('drop table %I', partition);
                return 1;
            end if;
        exception when lock_not_available then
            raise warning 'partition % not dropped: %', partition, sqlerrm using errcode = sqlstate, table = partition;
        end;
    end loop;
    return 0;
end
$$;
