"""What follows the outcome of a provisioning, in the transaction that writes it.

The relay may read no user, mint no token and add no message, so that functions of the owner's do it, each for one
message and once.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# Before the first step. An operator's requeue makes a failed organization one that is being provisioned again, but
# not while what was half built of it is being dropped.
BEGIN = """
create function signpost_begin_provisioning(work_id uuid, lease uuid) returns setof organizations
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    wanted uuid;
begin
    select (payload ->> 'organization_id')::uuid into wanted from outbox_messages
     where id = work_id and channel = 'provision' and lease_token = lease;
    update organizations set status = 'provisioning', failed_at = null, dropped_at = null
     where id = wanted and status = 'failed' and (drop_until is null or drop_until <= now());
    return query select * from organizations where id = wanted and status <> 'failed';
end
$$
"""

# What the founder is told, which is added by nobody else: so it cannot come before the database is there.
# - The token is as young as its message: nobody has seen its code yet.
# - Whether the address is taken is decided anew, as at a resend. What was founded as a decoy has no database, and
#   so stays one whatever became of the address.
# - 200 attempts: those of any message to people (shared/enqueue.py).
TELL_FOUNDER = """
create function signpost_tell_founder(work outbox_messages, is_decoy boolean, message_id uuid) returns void
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
    is_taken := is_decoy or case token.channel
        when 'sms' then exists (
            select from users where phone = founder.phone and phone_verified_at is not null)
        else exists (
            select from users where email_canonical = founder.email_canonical and email_verified_at is not null)
        end;
    update tokens
       set purpose = case when is_taken then 'decoy' else 'activation' end,
           created_at = now(), expires_at = now() + (expires_at - created_at)
     where id = token.id returning * into token;
    insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id, max_attempts,
                                 expires_at, traceparent, urgency, fallback_channel, fallback_lifetime, fallback_at)
    values (message_id, case when is_taken then 'account_exists' else 'activation' end, token.channel,
            work.recipient, work.locale, work.payload - array['organization_id', 'token_id', 'fallback'],
            founder.id, token.id, 200, token.expires_at, work.traceparent, work.urgency,
            fallback ->> 'channel', make_interval(secs => (fallback ->> 'lifetime_seconds')::float8),
            now() + make_interval(secs => (fallback ->> 'after_seconds')::float8));
end
$$
"""

# At an organization's pace, the lock that NOTIFY takes at commit costs nobody anything.
SUCCEED = """
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
        perform signpost_tell_founder(work, organization.is_decoy, message_id);
        perform pg_notify('signpost_outbox', '');
    end if;
    return true;
end
$$
"""

# A repair that fails leaves its organization as it was found: there is nobody to tell but operators. Whoever
# registered a taken address is told nothing, since its holder has founded nothing.
FAIL = """
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
                                     expires_at, traceparent, urgency)
        values (message_id, 'organization_failed', code_channel, work.recipient, work.locale,
                work.payload - array['organization_id', 'token_id', 'fallback'], work.user_id, 200,
                now() + interval '72 hours', work.traceparent, 'notice');
        perform pg_notify('signpost_outbox', '');
    end if;
    return true;
end
$$
"""

# One at a time, and none within a minute of the last: many may stand before the door. Whoever can ask for a repair
# has proven the address, so that what was a decoy is none any more.
REPAIR = """
create function signpost_enqueue_repair(for_organization uuid, message_id uuid) returns boolean
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
                          and (last.status = 'pending' or last.settled_at > now() - interval '1 minute'))
    returning * into organization;
    if not found then
        return false;
    end if;
    select * into founder from users where id = organization.founder_id;
    insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, max_attempts,
                                 expires_at, urgency)
    values (message_id, 'organization_repair', 'provision', organization.id::text, coalesce(founder.locale, 'en'),
            jsonb_build_object('organization_id', organization.id, 'name', founder.full_name), founder.id, 8,
            now() + interval '72 hours', 'code');
    return true;
end
$$
"""

HELPER = "signpost_tell_founder(outbox_messages, boolean, uuid)"
FOR_THE_RELAY = (
    "signpost_begin_provisioning(uuid, uuid)",
    "signpost_provisioned(uuid, uuid)",
    "signpost_provisioning_failed(uuid, uuid)",
)
FOR_WHOEVER_SEES_IT = "signpost_enqueue_repair(uuid, uuid)"


def upgrade() -> None:
    for function in (BEGIN, TELL_FOUNDER, SUCCEED, FAIL, REPAIR):
        op.execute(function)
    for function in (HELPER, *FOR_THE_RELAY, FOR_WHOEVER_SEES_IT):
        op.execute(f"revoke all on function {function} from public")
    for function in FOR_THE_RELAY:
        op.execute(f"grant execute on function {function} to signpost_relay")
    op.execute(f"grant execute on function {FOR_WHOEVER_SEES_IT} to signpost_api, signpost_relay, signpost_console")
    op.execute("grant update (drop_until, dropped_at) on organizations to signpost_relay")


def downgrade() -> None:
    op.execute("revoke update (drop_until, dropped_at) on organizations from signpost_relay")
    for function in (FOR_WHOEVER_SEES_IT, *FOR_THE_RELAY, HELPER):
        op.execute(f"drop function {function}")
