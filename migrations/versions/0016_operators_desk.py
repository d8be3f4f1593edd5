"""What operators work with: causes of deaths, counts by the hour, bulk acts, tokens, a fuller record of what they did.

A cause is made by the database, in an index over dead rows alone: whoever writes a death, its cause is there, and what
is sent pays nothing for it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# Of a provider's words stays what its replies have in common: the code that they begin with, and words without a
# digit, an address or the name of a host. What stands in quotes or angle brackets is somebody's, and a long word
# without a vowel is the id of a queue (Postfix makes them so, lest they spell something).
ERROR_PATTERN = r"""
create function signpost_error_pattern(error text) returns text
language sql immutable parallel safe
return coalesce(substring(error from '^[0-9]{3}(?:[ -][245][.][0-9]{1,3}[.][0-9]{1,3})?'), '')
    || left(regexp_replace(
           regexp_replace(error, '^[0-9]{3}(?:[ -][245][.][0-9]{1,3}[.][0-9]{1,3})?', ''),
           '\S*(?:"[^"]*"|<[^>]*>|[@0-9]|[[:alnum:]][.][[:alpha:]])\S*|\m[B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{7,}\M',
           '…', 'g'), 200)
"""

# The hash is the one that partitions by hash rest on: it stays what it is, and no policy takes it away, as it may md5.
CAUSE = """
create function signpost_cause(dead_reason text, provider text, error text) returns text
language sql immutable parallel safe
return right(lpad(to_hex(hashtextextended(
    coalesce(dead_reason, '') || chr(31) || coalesce(provider, '') || chr(31)
    || coalesce(signpost_error_pattern(error), ''), 0)), 16, '0'), 12)
"""

IS_DEAD = sa.text("status = 'dead'")

# Whom a message tells of a user it tells at an address of that user, or at the one it went to before, written
# another way. Otherwise whoever has the console's role could have a code sent to a stranger, and so prove an address
# that the stranger never had. Letters beyond ASCII are compared as they are.
CHECK_RECIPIENT = """
create function signpost_check_recipient() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    if (new.user_id is not null or new.token_id is not null)
       and lower(new.recipient collate "C") <> lower(old.recipient collate "C")
       and not exists (
           select from users
            where id = new.user_id and case new.channel when 'sms' then phone = new.recipient
                                       else lower(email collate "C") = lower(new.recipient collate "C") end) then
        raise exception 'a message about a user goes to no address but that user''s'
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$
"""

RECIPIENT_TRIGGER = """
create trigger tr_outbox_messages_recipient after update of recipient on outbox_messages
for each row when (old.recipient is distinct from new.recipient) execute function signpost_check_recipient()
"""

# Someone who registered with a slip in the address: nobody has proven anything yet, so that the registration itself
# may be given another one, as if it had been made with it. All codes that went to the old address end, since they
# would now prove the new one; what still waits for it is closed; and whether the new code may activate is decided by
# the new address alone, as at a registration.
# The user is locked before other messages are, as a resend does.
CORRECT_ADDRESS = """
create function signpost_correct_address(of_message uuid, address text, canonical text) returns boolean
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    message outbox_messages;
    token tokens;
    lifetime interval;
    is_taken boolean;
begin
    select * into message from outbox_messages where id = of_message and status = 'dead' for update;
    perform from users where id = message.user_id and status = 'pending' for update;
    if not found or (canonical <> case message.channel when 'sms' then address else lower(address) end) then
        return false;
    end if;
    select * into token from tokens where id = message.token_id and purpose in ('activation', 'decoy');
    if not found then
        return false;
    end if;
    is_taken := case message.channel
        when 'sms' then exists (select from users where phone = canonical and phone_verified_at is not null)
        else exists (select from users where email_canonical = canonical and email_verified_at is not null) end;
    select max(expires_at - created_at) into lifetime
      from tokens where user_id = message.user_id and channel = message.channel;
    update tokens set expires_at = now()
     where user_id = message.user_id and channel = message.channel and expires_at > now();
    update outbox_messages
       set status = 'dead', dead_reason = 'superseded', settled_at = clock_timestamp(),
           lease_token = null, leased_until = null, fallback_at = null
     where user_id = message.user_id and channel = message.channel and status = 'pending';
    if message.channel = 'sms' then
        update users set phone = canonical where id = message.user_id;
    else
        update users set email = address, email_canonical = canonical where id = message.user_id;
    end if;
    insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
    values (gen_random_uuid(), message.user_id, case when is_taken then 'decoy' else 'activation' end,
            message.channel, token.key_id, 5, now() + lifetime)
    returning * into token;
    update outbox_messages
       set recipient = address, token_id = token.id, expires_at = token.expires_at,
           template = case when is_taken then 'account_exists' else 'activation' end
     where id = of_message;
    return true;
end
$$
"""

# Whoever may revoke a token may not bring it back: so the role has no right to the column.
REVOKE = """
create function signpost_revoke_operator_token(of_token uuid) returns boolean
language sql strict security definer set search_path = public, pg_temp
begin atomic
    with revoked as (
        update operator_tokens set revoked_at = now() where id = of_token and revoked_at is null returning 1)
    select exists (select from revoked);
end
"""

FUNCTIONS = (
    "signpost_check_recipient()",
    "signpost_correct_address(uuid, text, text)",
    "signpost_revoke_operator_token(uuid)",
)
MOVED_BY_STEPS = "status, cursor, acted, skipped, next_step_at, ended_at, wanted"
GRANTS = (
    "grant update (recipient, locale) on outbox_messages to signpost_console",
    "grant execute on function signpost_correct_address(uuid, text, text) to signpost_console",
    "grant execute on function signpost_revoke_operator_token(uuid) to signpost_console",
    "grant select, update (last_used_at) on operator_tokens to signpost_console",
    f"grant select, insert, update ({MOVED_BY_STEPS}) on bulk_acts to signpost_console",
    "grant select on settled_by_hour to signpost_console",
    "grant select, insert, update, delete on settled_by_hour to signpost_relay",
)


def upgrade() -> None:
    op.execute(ERROR_PATTERN)
    op.execute(CAUSE)
    op.create_index("ix_outbox_messages_dead_id", "outbox_messages", ["id"], postgresql_where=IS_DEAD)
    op.create_index(
        "ix_outbox_messages_cause",
        "outbox_messages",
        [sa.text("signpost_cause(dead_reason, provider, last_error)"), "id"],
        postgresql_where=IS_DEAD,
    )
    op.add_column("operator_actions", sa.Column("after", JSONB()))
    op.add_column("operator_actions", sa.Column("bulk_id", sa.Uuid()))
    op.alter_column("operator_actions", "message_id", existing_type=sa.Uuid(), nullable=True)
    _make_operator_tokens()
    _make_bulk_acts()
    op.create_table(
        "settled_by_hour",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "channel", "status", name="pk_settled_by_hour"),
        sa.CheckConstraint("status in ('sent', 'dead')", name=op.f("ck_settled_by_hour_status")),
    )
    for function in (CHECK_RECIPIENT, RECIPIENT_TRIGGER, CORRECT_ADDRESS, REVOKE):
        op.execute(function)
    for function in FUNCTIONS:
        op.execute(f"revoke all on function {function} from public")
    for grant in GRANTS:
        op.execute(grant)


def _make_operator_tokens() -> None:
    op.create_table(
        "operator_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_operator_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_operator_tokens_token_hash"),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_operator_tokens_token_hash")),
        sa.CheckConstraint(
            "cardinality(scopes) > 0 and scopes <@ array['read', 'act', 'reveal']",
            name=op.f("ck_operator_tokens_scopes"),
        ),
    )


def _make_bulk_acts() -> None:
    op.create_table(
        "bulk_acts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("wanted", JSONB(), nullable=False),
        sa.Column("per_minute", sa.Integer()),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("acted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cursor", sa.Uuid()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("next_step_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_bulk_acts"),
        sa.CheckConstraint("action in ('requeue', 'discard')", name=op.f("ck_bulk_acts_action")),
        sa.CheckConstraint("status in ('running', 'stopped', 'done')", name=op.f("ck_bulk_acts_status")),
        sa.CheckConstraint("per_minute > 0", name=op.f("ck_bulk_acts_per_minute")),
    )


def downgrade() -> None:
    op.execute("drop trigger tr_outbox_messages_recipient on outbox_messages")
    for function in FUNCTIONS:
        op.execute(f"drop function {function}")
    op.execute("revoke update (recipient, locale) on outbox_messages from signpost_console")
    for table in ("settled_by_hour", "bulk_acts", "operator_tokens"):
        op.drop_table(table)
    op.execute("delete from operator_actions where message_id is null")
    op.alter_column("operator_actions", "message_id", existing_type=sa.Uuid(), nullable=False)
    for column in ("bulk_id", "after"):
        op.drop_column("operator_actions", column)
    for index in ("ix_outbox_messages_cause", "ix_outbox_messages_dead_id"):
        op.drop_index(index, "outbox_messages")
    op.execute("drop function signpost_cause(text, text, text)")
    op.execute("drop function signpost_error_pattern(text)")
