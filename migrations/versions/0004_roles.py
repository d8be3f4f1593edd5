"""Three roles with only the grants they need; each process logs in as a member of one of them.

Roles belong to the whole server, so a downgrade takes their grants away and leaves them standing.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROLES = ("signpost_api", "signpost_relay", "signpost_console")

# Asked first, since an owner without CREATEROLE is refused even where the role exists already; caught as well,
# since two databases of one server may be migrated at the same moment (the tests do).
MAKE_ROLE = """
do $$ begin
    if not exists (select from pg_roles where rolname = '{role}') then
        create role {role} nologin;
    end if;
exception when duplicate_object or unique_violation then null;
end $$
"""

# The API may close a token's pending messages, and may do nothing else to any: it has no UPDATE on the outbox.
SUPERSEDE = """
create function signpost_supersede(for_user uuid, of_token uuid) returns integer
language sql security definer set search_path = public, pg_temp
begin atomic
    with closed as (
        update outbox_messages
           set status = 'dead', dead_reason = 'superseded', settled_at = clock_timestamp(),
               lease_token = null, leased_until = null
         where user_id = for_user and token_id = of_token and status = 'pending'
        returning 1)
    select count(*)::integer from closed;
end
"""

READ_BY_API = "id, template, channel, recipient, user_id, token_id, status, dead_reason, attempt, due_at, expires_at, "
READ_BY_API += "last_error_class, created_at, settled_at, locale, payload, max_attempts, expiries, leased_until"

SETTLED_BY_RELAY = (
    "status, dead_reason, attempt, expiries, due_at, leased_until, lease_token, provider, provider_message_id, "
    "last_error_class, last_error, settled_at"
)
REQUEUED_BY_CONSOLE = (
    "status, dead_reason, attempt, expiries, due_at, leased_until, lease_token, settled_at, token_id, expires_at, "
    "payload"
)
RENEWED_BY_CONSOLE = "id, user_id, purpose, channel, key_id, created_at, expires_at"

GRANTS = (
    "grant select, insert, update on users to signpost_api",
    "grant select, insert, update on tokens to signpost_api",
    "grant insert on outbox_messages to signpost_api",
    f"grant select ({READ_BY_API}) on outbox_messages to signpost_api",
    "grant execute on function signpost_supersede(uuid, uuid) to signpost_api",
    "grant select on alembic_version to signpost_api",
    "grant select on outbox_messages, outbox_backlog to signpost_relay",
    f"grant update ({SETTLED_BY_RELAY}) on outbox_messages to signpost_relay",
    "grant insert on delivery_attempts to signpost_relay",
    "grant execute on function signpost_make_partitions(integer) to signpost_relay",
    "grant select on outbox_messages, delivery_attempts, dead_letters, outbox_backlog to signpost_console",
    f"grant update ({REQUEUED_BY_CONSOLE}) on outbox_messages to signpost_console",
    f"grant select ({RENEWED_BY_CONSOLE}), insert on tokens to signpost_console",
)


def upgrade() -> None:
    for role in ROLES:
        op.execute(MAKE_ROLE.format(role=role))
        op.execute(f"grant usage on schema public to {role}")
    op.execute(SUPERSEDE)
    op.execute("revoke all on function signpost_supersede(uuid, uuid) from public")
    op.execute("revoke all on function signpost_make_partitions(integer) from public")
    op.execute("revoke all on function signpost_make_partition(timestamptz) from public")
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    tables = "users, tokens, outbox_messages, delivery_attempts, dead_letters, outbox_backlog, alembic_version"
    roles = ", ".join(ROLES)
    op.execute("drop function signpost_supersede(uuid, uuid)")
    op.execute(f"revoke all on {tables} from {roles}")
    op.execute(f"revoke all on function signpost_make_partitions(integer) from {roles}")
    op.execute(f"revoke usage on schema public from {roles}")
