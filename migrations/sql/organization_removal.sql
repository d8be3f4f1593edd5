-- Operators remove organizations: the members lose it at once, and a relay drops its database, used or not.

alter table organizations
    add column is_removed boolean default false not null,
    add column drop_forced boolean default false not null;

-- Removes an organization that is ready or has failed, or removes it again with the other choice about open sessions.
-- To relays, it has failed, and no user can found it again. Without a step, they would not look for a database. The
-- accounts stay. A pending repair is closed, and a founder who has not activated continues without organization.
create function signpost_remove_organization(for_organization uuid, is_forced boolean) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    organization organizations;
begin
    update organizations
       set status = 'failed', failed_at = now(), ready_at = null, health = null, health_error = null,
           is_removed = true, drop_forced = is_forced, drop_due_at = null, kept_because = null
     where id = for_organization and status in ('ready', 'failed')
    returning * into organization;
    if not found then
        return false;
    end if;
    delete from organization_members where organization_id = organization.id;
    update users set organization_id = null where organization_id = organization.id;
    insert into organization_steps (organization_id, step) values (organization.id, 'create_database')
    on conflict do nothing;
    update outbox_messages
       set status = 'dead', dead_reason = 'superseded', settled_at = clock_timestamp(),
           lease_token = null, leased_until = null
     where id = organization.repair_id and status = 'pending';
    return true;
end
$$;
