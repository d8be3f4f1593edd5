"""A message may be given another token only if that is its own user's, on its own channel.

Otherwise whoever has the console's role could have one user's code sent to another, and so prove an
address that is not theirs. The trigger fires only where a statement names token_id: never for the relay.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CHECK = """
create function signpost_check_token() returns trigger
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

TRIGGER = """
create trigger tr_outbox_messages_token before update of token_id on outbox_messages
for each row when (old.token_id is distinct from new.token_id) execute function signpost_check_token()
"""


def upgrade() -> None:
    op.execute(CHECK)
    op.execute("revoke all on function signpost_check_token() from public")
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("drop trigger tr_outbox_messages_token on outbox_messages")
    op.execute("drop function signpost_check_token()")
