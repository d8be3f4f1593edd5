"""A notice that an address was changed goes to the address before, however it is corrected, or to nobody.

It tells whoever has that address of what may be a theft, and tells erasing where to look for what its user left there:
sent to the present address, it would do neither.
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

CHECK = """
create or replace function signpost_check_recipient() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    if (new.user_id is not null or new.token_id is not null)
       and lower(new.recipient collate "C") <> lower(old.recipient collate "C")
       and {is_elsewhere} then
        raise exception 'a message about a user goes to no address but that user''s'
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$
"""
IS_NOT_THEIRS = """not exists (
           select from users
            where id = new.user_id and case new.channel when 'sms' then phone = new.recipient
                                       else lower(email collate "C") = lower(new.recipient collate "C") end)"""


def upgrade() -> None:
    op.execute(CHECK.replace("{is_elsewhere}", f"(new.template = 'address_changed' or {IS_NOT_THEIRS})"))


def downgrade() -> None:
    op.execute(CHECK.replace("{is_elsewhere}", IS_NOT_THEIRS))
