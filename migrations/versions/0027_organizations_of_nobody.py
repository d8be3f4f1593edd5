"""Organizations to which nobody belongs: never provisioned again, and forgotten once nothing is left of them."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

# A requeue revives what has failed. Once its founder is gone, nobody could be told, and nobody could enter it.
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
     where id = wanted and status = 'failed' and (drop_until is null or drop_until <= now())
       and exists (select from users where organization_id = wanted);
    return query select * from organizations where id = wanted and status <> 'failed';
end
$$
"""
BEGIN_BEFORE = BEGIN.replace("\n       and exists (select from users where organization_id = wanted)", "")

# What has no step was never begun. What has been dropped is looked at again for a day: so two days at the least.
PRUNE = """
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
$$
"""
PRUNING = "signpost_prune_organizations(integer, integer)"


def upgrade() -> None:
    op.execute(BEGIN)
    op.execute(PRUNE)
    op.execute(f"revoke all on function {PRUNING} from public")
    op.execute(f"grant execute on function {PRUNING} to signpost_relay")


def downgrade() -> None:
    op.execute(f"drop function {PRUNING}")
    op.execute(BEGIN_BEFORE)
