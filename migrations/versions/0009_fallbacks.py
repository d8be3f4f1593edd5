"""A message may fall back to the user's other channel: when and how long, and what that may cost a day.

The relay may read no user and mint no token, so that a function of the owner's does it for one message.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The second message brings a token of its own: a code proves the address that it went to, and no other. Its
# purpose is decided by that address alone, as at a resend, so that what comes the second way tells nothing of the
# first address. It gets the attempts that the first code has left, and no life beyond the first one's.
# - Rows that someone holds are skipped: a resend locks the user before it closes messages, and waiting for each
#   other in opposite orders would be a deadlock. What was skipped is still due a second later.
# - Whatever comes of it, the message is asked once.
FALL_BACK = """
create function signpost_fall_back(first_id uuid, second_id uuid) returns boolean
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    message outbox_messages;
    holder users;
    address text;
    token tokens;
    is_taken boolean;
begin
    select * into message from outbox_messages
     where id = first_id and fallback_at <= now() and status <> 'sent' for no key update skip locked;
    if not found then
        return false;
    end if;
    select * into holder from users where id = message.user_id for no key update skip locked;
    if not found and exists (select from users where id = message.user_id) then
        return false;
    end if;
    address := case message.fallback_channel when 'sms' then holder.phone else holder.email end;
    update outbox_messages set fallback_at = null where id = first_id;
    select * into token from tokens
     where id = message.token_id and used_at is null and expires_at > now() and attempts_left > 0;
    if token.id is null or address is null or holder.status = 'active'
       or not (message.status = 'pending' or message.dead_reason in ('rejected', 'exhausted'))
       or exists (select from outbox_messages
                   where user_id = message.user_id and created_at > message.created_at) then
        return false;
    end if;
    is_taken := case message.fallback_channel
        when 'sms' then exists (
            select from users where phone = holder.phone and phone_verified_at is not null)
        else exists (
            select from users where email_canonical = holder.email_canonical and email_verified_at is not null)
        end;
    insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
    values (gen_random_uuid(), holder.id, case when is_taken then 'decoy' else 'activation' end,
            message.fallback_channel, token.key_id, token.attempts_left,
            least(token.expires_at, now() + message.fallback_lifetime))
    returning * into token;
    insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id,
                                 max_attempts, expires_at, traceparent, urgency, fallback_of)
    values (second_id, case when is_taken then 'account_exists' else 'activation' end, message.fallback_channel,
            address, message.locale, message.payload, holder.id, token.id,
            message.max_attempts, token.expires_at, message.traceparent,
            message.urgency, first_id);
    return true;
end
$$
"""

SUPERSEDE_WITH_FALLBACK = """
create or replace function signpost_supersede(for_user uuid, of_token uuid) returns integer
language sql security definer set search_path = public, pg_temp
begin atomic
    with closed as (
        update outbox_messages as message
           set status = 'dead', dead_reason = 'superseded', settled_at = clock_timestamp(),
               lease_token = null, leased_until = null, fallback_at = null
         where user_id = for_user and status = 'pending'
           and (token_id = of_token or fallback_of in (
                select id from outbox_messages as first where first.user_id = for_user and first.token_id = of_token))
        returning 1)
    select count(*)::integer from closed;
end
"""

SUPERSEDE_WITHOUT = """
create or replace function signpost_supersede(for_user uuid, of_token uuid) returns integer
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

GRANTS = (
    "grant select (fallback_at, fallback_of) on outbox_messages to signpost_api",
    "grant update (fallback_at) on outbox_messages to signpost_relay, signpost_console",
    "grant execute on function signpost_fall_back(uuid, uuid) to signpost_relay",
    "grant select, insert, update, delete on fallback_budgets to signpost_relay",
)
COLUMNS = ("fallback_channel", "fallback_lifetime", "fallback_at", "fallback_of")


def upgrade() -> None:
    op.add_column("outbox_messages", sa.Column("fallback_channel", sa.Text()))
    op.add_column("outbox_messages", sa.Column("fallback_lifetime", sa.Interval()))
    op.add_column("outbox_messages", sa.Column("fallback_at", sa.DateTime(timezone=True)))
    op.add_column("outbox_messages", sa.Column("fallback_of", sa.Uuid()))
    op.create_check_constraint(
        op.f("ck_outbox_messages_fallback_is_whole"),
        "outbox_messages",
        "fallback_at is null or (fallback_channel in ('email', 'sms') and fallback_channel <> channel"
        " and fallback_lifetime is not null and isfinite(fallback_at))",
    )
    op.create_index(
        "ix_outbox_messages_fallback_at",
        "outbox_messages",
        ["fallback_at"],
        postgresql_where=sa.text("fallback_at is not null and status <> 'sent'"),
    )
    op.create_table(
        "fallback_budgets",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("spent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "scope", name="pk_fallback_budgets"),
    )
    op.execute(FALL_BACK)
    op.execute("revoke all on function signpost_fall_back(uuid, uuid) from public")
    op.execute(SUPERSEDE_WITH_FALLBACK)
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    op.execute(SUPERSEDE_WITHOUT)
    op.execute("drop function signpost_fall_back(uuid, uuid)")
    op.drop_table("fallback_budgets")
    op.drop_index("ix_outbox_messages_fallback_at", "outbox_messages")
    op.drop_constraint(op.f("ck_outbox_messages_fallback_is_whole"), "outbox_messages")
    for column in COLUMNS:
        op.drop_column("outbox_messages", column)
