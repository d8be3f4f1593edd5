-- The members of organizations, and organizations that wait for the activation of their founder.

-- Who belongs to which organization. A founder becomes its owner at the activation. An organization may lose its owner
-- when that user is erased.
create table organization_members (
    organization_id uuid not null references organizations on delete cascade,
    user_id uuid not null references users on delete cascade,
    role text not null check (role in ('owner', 'admin', 'member')),
    joined_at timestamptz default now() not null,
    primary key (organization_id, user_id)
);
create index ix_organization_members_user_id on organization_members (user_id, joined_at);

insert into organization_members (organization_id, user_id, role, joined_at)
select organization_id, id, 'owner', activated_at from users where status = 'active' and organization_id is not null;

-- A trigger, because the API of the previous release activates founders during the upgrade, too.
create function signpost_join_founded_organization() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    insert into organization_members (organization_id, user_id, role, joined_at)
    values (new.organization_id, new.id, 'owner', new.activated_at) on conflict do nothing;
    return null;
end
$$;
create trigger tr_users_join_founded_organization after update of status on users
for each row when (new.status = 'active' and old.status <> 'active' and new.organization_id is not null)
execute function signpost_join_founded_organization();

-- A `planned` organization gets its database after the activation of its founder.
alter table organizations drop constraint organizations_status_check;
alter table organizations add constraint organizations_status_check
    check (status in ('planned', 'provisioning', 'ready', 'failed'));

-- Enqueues the founding of a planned organization, or the repair of an unhealthy one. A repair is not enqueued while
-- one is pending, or less than a minute after one ended. After a dead repair, relays wait for an hour; operators do
-- not. Only users who have verified their address can request it. So the organization is no decoy from now on. Without
-- a token in its payload, the message causes no message with a code.
create or replace function signpost_enqueue_repair(
    for_organization uuid, message_id uuid, is_by_operator boolean default false) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    organization organizations;
    founder users;
    is_founding boolean;
begin
    select * into founder from users
     where id = (select founder_id from organizations where id = for_organization);
    update organizations set status = 'provisioning', is_decoy = false
     where id = for_organization and status = 'planned' and founder.status = 'active'
    returning * into organization;
    is_founding := found;
    if not is_founding then
        update organizations set repair_id = message_id, is_decoy = false
         where id = for_organization and status = 'ready' and health is distinct from 'healthy'
           and not exists (select from outbox_messages as last
                            where last.id = organizations.repair_id
                              and (last.status = 'pending'
                                   or last.settled_at > now() - case when last.status = 'dead' and not is_by_operator
                                                                     then interval '1 hour'
                                                                     else interval '1 minute' end))
        returning * into organization;
        if not found then
            return false;
        end if;
    end if;
    insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, max_attempts,
                                 expires_at, priority)
    values (message_id, case when is_founding then 'organization' else 'organization_repair' end, 'provision',
            organization.id::text, coalesce(founder.locale, 'en'),
            jsonb_build_object('organization_id', organization.id, 'name', founder.full_name), founder.id, 8,
            now() + interval '72 hours', 'high');
    return true;
end
$$;

-- Marks the organization failed and notifies its founder: at the address that gets the code, or, after the activation,
-- at a verified address. A failed repair changes nothing. The founder of a decoy, who registered a taken address, gets
-- no message.
create or replace function signpost_provisioning_failed(work_id uuid, message_id uuid) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    work outbox_messages;
    organization organizations;
    founder users;
    to_channel text;
    to_address text;
begin
    select * into work from outbox_messages where id = work_id and channel = 'provision';
    update organizations set status = 'failed', failed_at = now()
     where id = (work.payload ->> 'organization_id')::uuid and status = 'provisioning'
    returning * into organization;
    if not found then
        return false;
    end if;
    if work.payload ? 'token_id' then
        select channel, work.recipient into to_channel, to_address
          from tokens where id = (work.payload ->> 'token_id')::uuid;
    else
        select * into founder from users where id = work.user_id and status = 'active';
        to_channel := case when founder.email_verified_at is not null then 'email'
                           when founder.phone_verified_at is not null then 'sms' end;
        to_address := case to_channel when 'email' then founder.email else founder.phone end;
    end if;
    if to_channel is not null and not organization.is_decoy then
        insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, max_attempts,
                                     expires_at, traceparent, priority)
        values (message_id, 'organization_failed', to_channel, to_address, work.locale,
                work.payload - array['organization_id', 'token_id', 'fallback'], work.user_id, 200,
                now() + interval '72 hours', work.traceparent, 'low');
        perform pg_notify('signpost_outbox', '');
    end if;
    return true;
end
$$;
