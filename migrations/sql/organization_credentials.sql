-- Applications get the credentials of organizations' databases, and renew their passwords.

alter table operator_tokens drop constraint operator_tokens_scopes_check;
alter table operator_tokens add constraint operator_tokens_scopes_check
    check (cardinality(scopes) > 0 and scopes <@ array['read', 'act', 'reveal', 'credentials']);

-- The password is derived from it, so each renewal gives another one.
alter table organizations add column password_number integer default 0 not null;

-- Enqueues a repair, which also sets the role's password. Only for a healthy database: a repair of another one is the
-- operators' decision. One at a time, so that only the latest password and the one before it can be valid.
create function signpost_renew_password(for_organization uuid, message_id uuid) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    organization organizations;
    founder users;
begin
    update organizations set password_number = password_number + 1, repair_id = message_id
     where id = for_organization and status = 'ready' and health = 'healthy' and not is_decoy
       and not exists (select from outbox_messages as last
                        where last.id = organizations.repair_id and last.status = 'pending')
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
    perform pg_notify('signpost_outbox', '');
    return true;
end
$$;
