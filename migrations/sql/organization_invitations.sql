-- Owners and admins invite others to their organization.

-- An invitation is a token whose `new_address` is invited. Its `address_id` takes the place of a user, as for a reset.
alter table tokens
    drop constraint tokens_purpose_check,
    drop constraint has_owner,
    drop constraint new_address,
    add constraint tokens_purpose_check
        check (purpose in ('activation', 'decoy', 'password_reset', 'address_change', 'invitation')),
    add constraint has_owner
        check (user_id is not null or (purpose in ('decoy', 'invitation') and address_id is not null)),
    add constraint new_address
        check ((new_address is not null) = (purpose in ('address_change', 'invitation')));

-- Open invitations: a row is deleted once it is accepted, declined, revoked or replaced, or with its token, a day after
-- the expiry. `invited_by` has no foreign key: the trigger below ends the invitations of a user who is erased.
create table organization_invitations (
    id uuid primary key references tokens on delete cascade,
    organization_id uuid not null references organizations on delete cascade,
    role text not null check (role in ('admin', 'member')),
    invited_by uuid not null
);
create index ix_organization_invitations_organization_id on organization_invitations (organization_id, invited_by);
create index ix_organization_invitations_invited_by on organization_invitations (invited_by);

-- Ends an invitation. Returns false if it was not open. All functions lock the invitation, then messages, then the token.
create function signpost_end_invitation(invitation uuid) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    delete from organization_invitations where id = invitation;
    if not found then
        return false;
    end if;
    perform signpost_supersede(address_id, id) from tokens where id = invitation;
    update outbox_messages set expires_at = now()
     where user_id = (select address_id from tokens where id = invitation) and token_id = invitation
       and status = 'dead' and expires_at > now();
    update tokens set expires_at = now() where id = invitation and used_at is null and expires_at > now();
    return true;
end
$$;

-- Adds the user to the organization, and uses the invitation. Returns the organization, or null if the invitation is
-- not open. A member stays what they are. A concurrent removal of the organization waits, and then removes the new
-- member, too. The inviter cannot leave or be erased meanwhile: the erasure of an only owner checks for other members.
create function signpost_accept_invitation(invitation uuid, joining uuid) returns uuid
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    accepted organization_invitations;
begin
    perform from organization_invitations as open
      join organizations as organization on organization.id = open.organization_id and not is_removed
      join organization_members as inviter
        on inviter.organization_id = open.organization_id and inviter.user_id = open.invited_by
     where open.id = invitation
       for share of organization, inviter;
    if not found then
        return null;
    end if;
    delete from organization_invitations
     where id = invitation
       and exists (select from tokens where id = invitation and used_at is null and expires_at > clock_timestamp())
    returning * into accepted;
    if not found then
        return null;
    end if;
    perform signpost_supersede(address_id, id) from tokens where id = invitation;
    update tokens set used_at = now() where id = invitation;
    insert into organization_members (organization_id, user_id, role)
    values (accepted.organization_id, joining, accepted.role) on conflict do nothing;
    return accepted.organization_id;
end
$$;

-- Ends the invitations of a user who may invite no longer: who left, was removed or erased, or became a mere member.
-- Otherwise, a removed admin could come back through an invitation to another address.
create function signpost_end_invitations_of_member() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    perform signpost_end_invitation(id)
       from (select id from organization_invitations
              where organization_id = old.organization_id and invited_by = old.user_id order by id) as invited;
    return null;
end
$$;
create trigger tr_organization_members_removed after delete on organization_members
for each row execute function signpost_end_invitations_of_member();
create trigger tr_organization_members_demoted after update of role on organization_members
for each row when (new.role = 'member' and old.role <> 'member')
execute function signpost_end_invitations_of_member();
