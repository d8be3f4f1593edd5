"""What is given up is left to operators: databases that are not dropped, and repairs that cannot help."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

TRIED_BY_RELAY = "drop_due_at, kept_because"

# What is provisioned again has nothing left over.
BEGIN = """
create or replace function signpost_begin_provisioning(work_id uuid, lease uuid) returns setof organizations
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    wanted uuid;
begin
    select (payload ->> 'organization_id')::uuid into wanted from outbox_messages
     where id = work_id and channel = 'provision' and lease_token = lease;
    update organizations set status = 'provisioning', failed_at = null, dropped_at = null,
           drop_due_at = null, kept_because = null
     where id = wanted and status = 'failed' and (drop_until is null or drop_until <= now());
    return query select * from organizations where id = wanted and status <> 'failed';
end
$$
"""
BEGIN_BEFORE = """
create or replace function signpost_begin_provisioning(work_id uuid, lease uuid) returns setof organizations
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

# One at a time, and none within a minute of the last: many may stand before the door. After one that was given up, none
# within an hour, unless an operator asks: they have changed something, and whoever signs in has not.
REPAIR = """
create function signpost_enqueue_repair(
    for_organization uuid, message_id uuid, is_asked_for boolean default false
) returns boolean
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
                               or last.settled_at > now() - case when last.status = 'dead' and not is_asked_for
                                                                 then interval '1 hour' else interval '1 minute' end))
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
REPAIR_BEFORE = """
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


def upgrade() -> None:
    op.add_column("organizations", sa.Column("drop_due_at", sa.DateTime(timezone=True)))
    op.add_column("organizations", sa.Column("kept_because", sa.Text()))
    op.execute(f"grant update ({TRIED_BY_RELAY}) on organizations to signpost_relay")
    op.execute(BEGIN)
    _replace_repair("uuid, uuid", REPAIR, "uuid, uuid, boolean")


def downgrade() -> None:
    _replace_repair("uuid, uuid, boolean", REPAIR_BEFORE, "uuid, uuid")
    op.execute(BEGIN_BEFORE)
    for column in ("kept_because", "drop_due_at"):
        op.drop_column("organizations", column)


def _replace_repair(before: str, statement: str, after: str) -> None:
    op.execute(f"drop function signpost_enqueue_repair({before})")
    op.execute(statement)
    function = f"function signpost_enqueue_repair({after})"
    op.execute(f"revoke all on {function} from public")
    op.execute(f"grant execute on {function} to signpost_api, signpost_relay, signpost_console")
