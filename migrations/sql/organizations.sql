-- The effects of provisioning on organizations, tokens and the founder's message, once for each message.

-- Returns the organization to provision, or no row. After an operator's requeue, a failed organization is provisioned
-- again, except while a relay drops its database, or after its founder was deleted.
create function signpost_start_provisioning(work_id uuid, lease uuid) returns setof organizations
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    wanted uuid;
begin
    select (payload ->> 'organization_id')::uuid into wanted from outbox_messages
     where id = work_id and channel = 'provision' and lease_token = lease;
    update organizations set status = 'provisioning', failed_at = null, dropped_at = null,
           drop_due_at = null, kept_because = null
     where id = wanted and status = 'failed' and (drop_until is null or drop_until <= now())
       and exists (select from users where organization_id = wanted);
    return query select * from organizations where id = wanted and status <> 'failed';
end
$$;

-- Adds the founder's message when the database is ready. The lifetime of its token starts now. As at a resend, the code
-- becomes a decoy if the address is taken. A decoy organization has no database, so its code stays a decoy. The message
-- gets 200 attempts, like every message to people (shared/enqueue.py).
create function signpost_notify_founder(work outbox_messages, is_decoy boolean, message_id uuid) returns void
language plpgsql set search_path = public, pg_temp
as $$
declare
    founder users;
    token tokens;
    is_taken boolean;
    fallback constant jsonb := work.payload -> 'fallback';
begin
    select * into founder from users where id = work.user_id and status = 'pending' for no key update;
    select * into token from tokens where id = (work.payload ->> 'token_id')::uuid and used_at is null;
    if founder.id is null or token.id is null then
        return;
    end if;
    is_taken := is_decoy or signpost_is_taken(token.channel, case token.channel
        when 'sms' then founder.phone else founder.email_canonical end);
    update tokens
       set purpose = case when is_taken then 'decoy' else 'activation' end,
           created_at = now(), expires_at = now() + (expires_at - created_at)
     where id = token.id returning * into token;
    insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id, max_attempts,
                                 expires_at, traceparent, priority, fallback_channel, fallback_lifetime, fallback_at)
    values (message_id, case when is_taken then 'account_exists' else 'activation' end, token.channel,
            work.recipient, work.locale, work.payload - array['organization_id', 'token_id', 'fallback'],
            founder.id, token.id, 200, token.expires_at, work.traceparent, work.priority,
            fallback ->> 'channel', make_interval(secs => (fallback ->> 'lifetime_seconds')::float8),
            now() + make_interval(secs => (fallback ->> 'after_seconds')::float8));
end
$$;

-- Marks the organization ready. NOTIFY takes a lock at commit, which is cheap at the rate of organizations.
create function signpost_provisioned(work_id uuid, message_id uuid) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    work outbox_messages;
    organization organizations;
begin
    select * into work from outbox_messages where id = work_id and channel = 'provision';
    update organizations
       set status = 'ready', ready_at = coalesce(ready_at, now()), failed_at = null,
           health = case when not is_decoy then 'healthy' end, health_error = null, checked_at = now()
     where id = (work.payload ->> 'organization_id')::uuid and status in ('provisioning', 'ready')
    returning * into organization;
    if not found then
        return false;
    end if;
    if work.template = 'organization' then
        perform signpost_notify_founder(work, organization.is_decoy, message_id);
        perform pg_notify('signpost_outbox', '');
    end if;
    return true;
end
$$;

-- Marks the organization failed and notifies its founder. A failed repair changes nothing. The founder of a decoy, who
-- registered a taken address, gets no message.
-- organization_members.sql replaces it.
create function signpost_provisioning_failed(work_id uuid, message_id uuid) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    work outbox_messages;
    organization organizations;
    code_channel text;
begin
    select * into work from outbox_messages where id = work_id and channel = 'provision';
    update organizations set status = 'failed', failed_at = now()
     where id = (work.payload ->> 'organization_id')::uuid and status = 'provisioning'
    returning * into organization;
    if not found then
        return false;
    end if;
    select channel into code_channel from tokens where id = (work.payload ->> 'token_id')::uuid;
    if code_channel is not null and not organization.is_decoy then
        insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, max_attempts,
                                     expires_at, traceparent, priority)
        values (message_id, 'organization_failed', code_channel, work.recipient, work.locale,
                work.payload - array['organization_id', 'token_id', 'fallback'], work.user_id, 200,
                now() + interval '72 hours', work.traceparent, 'low');
        perform pg_notify('signpost_outbox', '');
    end if;
    return true;
end
$$;

-- Enqueues a repair unless one is pending or ended less than a minute ago. After a dead repair, relays wait for
-- an hour; operators do not. Only users who have verified their address can request repairs. So the organization is no
-- decoy from now on.
-- organization_members.sql replaces it.
create function signpost_enqueue_repair(
    for_organization uuid, message_id uuid, is_by_operator boolean default false) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    organization organizations;
    founder users;
begin
    update organizations set repair_id = message_id, is_decoy = false
     where id = for_organization and status = 'ready' and health is distinct from 'healthy'
       and not exists (select from outbox_messages as last
                        where last.id = organizations.repair_id
                          and (last.status = 'pending'
                               or last.settled_at > now() - case when last.status = 'dead' and not is_by_operator
                                                                 then interval '1 hour' else interval '1 minute' end))
    returning * into organization;
    if not found then
        return false;
    end if;
    select * into founder from users where id = organization.founder_id;
    insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, max_attempts,
                                 expires_at, priority)
    values (message_id, 'organization_repair', 'provision', organization.id::text, coalesce(founder.locale, 'en'),
            jsonb_build_object('organization_id', organization.id, 'name', founder.full_name), founder.id, 8,
            now() + interval '72 hours', 'high');
    return true;
end
$$;

-- Marks an organization failed when its last user is pruned before activation. Operators handle organizations of
-- activated users.
create function signpost_abandon_organization() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    update organizations set status = 'failed', failed_at = now(), ready_at = null
     where id = old.organization_id and status <> 'failed'
       and not exists (select from users where organization_id = old.organization_id);
    return null;
end
$$;
