"""What the console mints is under the newest key, and no registration is given an address that is none.

A token minted long after the one that it replaces was given that one's key, which may have been taken away since: no
relay could then derive its code.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

# The console has no key and is told of none. What the API derives under at present stands in the newest message that
# brings a code; where the last thousand bring none, nothing is known, and whoever asks keeps to what there was.
NEWEST_KEY = """
create function signpost_newest_key() returns text
language sql stable parallel safe set search_path = public, pg_temp
begin atomic
    select payload ->> 'key_id'
      from (select id, payload from outbox_messages order by id desc limit 1000) as newest
     where payload ? 'key_id'
     order by id desc
     limit 1;
end
"""

CORRECT_ADDRESS = """
create or replace function signpost_correct_address(of_message uuid, address text, canonical text) returns boolean
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
    if not found or (canonical <> case message.channel when 'sms' then address else lower(address) end){unless} then
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
            message.channel, {key_id}, 5, now() + lifetime)
    returning * into token;
    update outbox_messages
       set recipient = address, token_id = token.id, expires_at = token.expires_at,
           template = case when is_taken then 'account_exists' else 'activation' end
     where id = of_message;
    return true;
end
$$
"""

# Less than the console itself asks of an address, and enough that whoever has its role alone can write no nonsense.
UNLESS_ADDRESS = r"""
       or (address !~ case message.channel when 'sms' then '^[+][1-9][0-9]{4,14}$'
                                           else '^[^@\s\x01-\x1f\x7f]+@[a-z0-9.-]+$' end)"""


def upgrade() -> None:
    op.execute(NEWEST_KEY)
    op.execute("revoke all on function signpost_newest_key() from public")
    op.execute("grant execute on function signpost_newest_key() to signpost_console")
    _correct_address(unless=UNLESS_ADDRESS, key_id="coalesce(signpost_newest_key(), token.key_id)")


def downgrade() -> None:
    _correct_address(unless="", key_id="token.key_id")
    op.execute("drop function signpost_newest_key()")


def _correct_address(*, unless: str, key_id: str) -> None:
    op.execute(CORRECT_ADDRESS.replace("{unless}", unless).replace("{key_id}", key_id))
