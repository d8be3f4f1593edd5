"""Send notices of token reuse once an hour at most, and let a notice list each event that it marks."""

from typing import Any

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ENQUEUE_NOTICES = """
-- Adds the notices that are due to the outbox; returns how many. A relay runs it, because a sign-in that added a
-- notice itself would take longer for an address with an account.
-- - `hold` is how long the first event waits for others. `pause` is the shortest time between two notices of a kind.
-- - A notice lists the newest 20 events since the last notice, and those that happened up to a pause before them.
--   Others are deleted: a client with the password can cause any number, and an export would contain them all.
-- - One statement lists the events and marks them. With two, the second would also mark events that were added
--   between.
-- - It goes to the e-mail address, or without one to the number: strangers can cause notices, and SMS cost money.
-- - The lock keeps two relays from sending the same notice. The user is locked against a concurrent erasure.
-- - The id is a UUIDv7, so that the message gets into this week's partition.
create or replace function signpost_enqueue_notices(batch integer, out enqueued integer)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    due record;
    holder users;
    listed jsonb;
    newest_key text;
begin
    enqueued := 0;
    if not pg_try_advisory_xact_lock(hashtextextended('signpost_enqueue_notices', 0)) then
        return;
    end if;
    delete from security_events as event
     where notified_at is null
       and not exists (select from users
                        where users.id = event.user_id and status = 'active'
                          and (email_verified_at is not null or phone_verified_at is not null));
    for due in
        select event.user_id, rule.kind, rule.pause, min(occurred_at) as since
          from (values ('token_reuse', interval '0', interval '1 hour'),
                       ('unfamiliar_sign_in', interval '5 minutes', interval '1 hour'),
                       ('wrong_passwords', interval '0', interval '1 day')) as rule (kind, hold, pause)
          join security_events as event on event.kind = rule.kind and event.notified_at is null
         where not exists (select from security_events as earlier
                            where earlier.user_id = event.user_id and earlier.kind = rule.kind
                              and earlier.notified_at > now() - rule.pause)
         group by event.user_id, rule.kind, rule.hold, rule.pause
        having min(occurred_at) <= now() - rule.hold
         order by since
         limit batch
    loop
        select * into holder from users where id = due.user_id and status = 'active' for key share skip locked;
        continue when not found;
        with ranked as (
            select *, row_number() over (order by occurred_at desc, id) as rank from security_events
             where user_id = due.user_id and kind = due.kind
               and (notified_at is null or occurred_at > due.since - due.pause)),
        dropped as (
            delete from security_events using ranked where security_events.id = ranked.id and rank > 20),
        marked as (
            update security_events set notified_at = now() from ranked
             where security_events.id = ranked.id and rank <= 20 and security_events.notified_at is null)
        select jsonb_agg(jsonb_build_object('at', occurred_at, 'device', device, 'network', network)
                         order by occurred_at, id),
               (array_agg(key_id order by rank))[1]
          into listed, newest_key from ranked where rank <= 20;
        insert into outbox_messages (id, template, priority, channel, recipient, locale, payload, user_id, max_attempts,
                                     expires_at)
        values ((left(signpost_uuid7_floor(clock_timestamp())::text, 14)
                 || '7' || right(gen_random_uuid()::text, 21))::uuid,
                due.kind, 'low', case when holder.email_verified_at is null then 'sms' else 'email' end,
                case when holder.email_verified_at is null then holder.phone else holder.email end,
                holder.locale,
                jsonb_build_object('name', holder.full_name, 'key_id', newest_key, 'events', listed),
                holder.id, 200, now() + interval '72 hours');
        enqueued := enqueued + 1;
    end loop;
    if enqueued > 0 then
        perform pg_notify('signpost_outbox', '');
    end if;
end
$$
"""


def upgrade() -> None:
    # The driver does not interpret `%` and `:` in it.
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute(ENQUEUE_NOTICES)


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with this function, too")
