"""Codes that reset a password or prove a new address; what is held of one person, shown or taken away.

A reset is asked for by address, whoever that belongs to. So its token is found by what stands for the address, and
one for an address without an account belongs to nobody.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Whoever has the console's role may give a message only a token like its own: otherwise the code that resets a
# password could be sent to an address that the user no longer has.
CHECK_LIKENESS = """
create or replace function signpost_check_token() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    if new.token_id is not null and not exists (
        select from tokens as own
          join tokens as other on other.id = new.token_id and other.channel = own.channel
           and other.address_id is not distinct from own.address_id
           and other.new_address is not distinct from own.new_address
           and (other.purpose = own.purpose or own.address_id is null)
         where own.id = old.token_id and own.channel = new.channel
           and own.user_id = new.user_id and other.user_id = new.user_id) then
        raise exception 'a message brings no token but one like its own' using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$
"""

CHECK_OWNER = """
create or replace function signpost_check_token() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    if new.token_id is not null and not exists (
        select from tokens where id = new.token_id and user_id = new.user_id and channel = new.channel) then
        raise exception 'a message brings no token but its own user''s' using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$
"""

# The rows of messages and attempts stay, to be counted; nothing in them leads to anybody any more.
# - Registrations that never activated go too where they name an address that the person has proven. Those that
#   someone holds are skipped: an activation waits for this transaction, and waiting for each other would be a
#   deadlock.
# - A message that a relay holds loses its lease: what the relay only believes of it is then written nowhere.
#   Attempts are mended after their messages, in a statement of its own: a settle that came first is waited for, and
#   what it noted is seen.
ERASE = """
create function signpost_erase(for_user uuid, nobodies uuid[]) returns boolean
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    person users;
    owners uuid[];
    messages uuid[];
begin
    select * into person from users where id = for_user and status = 'active' for update;
    if not found then
        return false;
    end if;
    owners := for_user || array(
        select id from users where status in ('pending', 'retired') and person.email_verified_at is not null
           and email_canonical = person.email_canonical for update skip locked) || array(
        select id from users where status in ('pending', 'retired') and person.phone_verified_at is not null
           and phone = person.phone for update skip locked);
    with erased as (
        update outbox_messages
           set recipient = 'erased', payload = '{}', last_error = null, provider_message_id = null, traceparent = null,
               user_id = null, token_id = null, fallback_at = null, lease_token = null, leased_until = null,
               status = case status when 'pending' then 'dead' else status end,
               dead_reason = case status when 'pending' then 'discarded' else dead_reason end,
               settled_at = coalesce(settled_at, clock_timestamp())
         where user_id = any(owners || nobodies)
        returning id)
    select coalesce(array_agg(id), '{}') into messages from erased;
    update delivery_attempts set error = null where message_id = any(messages);
    delete from tokens where address_id = any(nobodies) and user_id is null;
    delete from users where id = any(owners);
    return true;
end
$$
"""

# The API reads no server's words; of one person, whom it has asked for the password, it may show them.
MESSAGES_OF = """
create function signpost_messages_of(for_user uuid) returns jsonb
language sql stable strict security definer set search_path = public, pg_temp
begin atomic
    select coalesce(jsonb_agg(jsonb_build_object(
               'id', id, 'template', template, 'channel', channel, 'recipient', recipient, 'locale', locale,
               'name', payload -> 'name', 'status', status, 'dead_reason', dead_reason, 'attempts', attempt,
               'provider', provider, 'provider_message_id', provider_message_id, 'last_error', last_error,
               'created_at', created_at, 'settled_at', settled_at, 'expires_at', expires_at,
               'failures', (
                   select coalesce(jsonb_agg(jsonb_build_object(
                              'attempt', failure.attempt, 'outcome', failure.outcome, 'provider', failure.provider,
                              'error', failure.error, 'ended_at', failure.ended_at) order by failure.id), '[]')
                     from delivery_attempts as failure where failure.message_id = message.id)
               ) order by created_at, id), '[]')
      from outbox_messages as message
     where user_id = for_user;
end
"""

PRUNE_TOKENS = """
create function signpost_prune_tokens(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    pruned integer;
begin
    delete from tokens where id = any(array(
        select id from tokens where address_id is not null and expires_at < cutoff
         order by expires_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$
"""

GRANTS = (
    "grant execute on function signpost_erase(uuid, uuid[]) to signpost_api",
    "grant execute on function signpost_messages_of(uuid) to signpost_api",
    "grant execute on function signpost_prune_tokens(integer, integer) to signpost_relay",
    "grant select (address_id, new_address) on tokens to signpost_console",
)
FUNCTIONS = (
    "signpost_erase(uuid, uuid[])",
    "signpost_messages_of(uuid)",
    "signpost_prune_tokens(integer, integer)",
)
PURPOSE = "ck_tokens_purpose"
ABOUT_AN_ADDRESS = sa.text("address_id is not null")


def upgrade() -> None:
    op.alter_column("tokens", "user_id", existing_type=sa.Uuid(), nullable=True)
    op.add_column("tokens", sa.Column("address_id", sa.Uuid()))
    op.add_column("tokens", sa.Column("new_address", sa.Text()))
    op.drop_constraint(op.f(PURPOSE), "tokens")
    op.create_check_constraint(
        op.f(PURPOSE), "tokens", "purpose in ('activation', 'decoy', 'password_reset', 'address_change')"
    )
    op.create_check_constraint(
        op.f("ck_tokens_has_owner"), "tokens", "user_id is not null or (purpose = 'decoy' and address_id is not null)"
    )
    op.create_check_constraint(
        op.f("ck_tokens_is_about_an_address"),
        "tokens",
        "address_id is not null or purpose in ('activation', 'decoy')",
    )
    op.create_check_constraint(
        op.f("ck_tokens_new_address"), "tokens", "(new_address is not null) = (purpose = 'address_change')"
    )
    op.create_index("ix_tokens_address_id", "tokens", ["address_id", "created_at"], postgresql_where=ABOUT_AN_ADDRESS)
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"], postgresql_where=ABOUT_AN_ADDRESS)
    for function in (CHECK_LIKENESS, ERASE, MESSAGES_OF, PRUNE_TOKENS):
        op.execute(function)
    for function in FUNCTIONS:
        op.execute(f"revoke all on function {function} from public")
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"drop function {function}")
    op.execute(CHECK_OWNER)
    op.execute("delete from tokens where address_id is not null")
    for column in ("new_address", "address_id"):
        op.drop_column("tokens", column)
    op.drop_constraint(op.f(PURPOSE), "tokens")
    op.create_check_constraint(op.f(PURPOSE), "tokens", "purpose in ('activation', 'decoy')")
    op.alter_column("tokens", "user_id", existing_type=sa.Uuid(), nullable=False)
