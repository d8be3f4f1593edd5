"""The code of a registration goes to the address that the registration has now, and to no earlier one.

Where an address was corrected, messages to the one before may still lie there dead. Requeued with the newest code,
they would bring the code for the right address to whoever has the wrong one.
"""

from alembic import op

revision = "0024"
down_revision = "0022"
branch_labels = None
depends_on = None

CHECK = """
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
    {present}
    return new;
end
$$
"""

# Addresses are compared as where a recipient is corrected. A token with an address_id names the address by that.
PRESENT = """if exists (
        select from tokens
          join users on users.id = new.user_id
         where tokens.id = new.token_id and tokens.address_id is null
           and case new.channel when 'sms' then phone is distinct from new.recipient
               else lower(email collate "C") is distinct from lower(new.recipient collate "C") end) then
        raise exception 'a registration''s code goes to its present address only'
            using errcode = 'insufficient_privilege';
    end if;"""


def upgrade() -> None:
    op.execute(CHECK.replace("{present}", PRESENT))


def downgrade() -> None:
    op.execute(CHECK.replace("{present}", ""))
