"""What operators see, and what they are told: the relays that are alive, and causes of trouble, each once an hour."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# A day after it was last seen, a relay is of interest to nobody; its host and version are in its log.
PRUNE_RELAYS = """
create function signpost_prune_relays(batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    pruned integer;
begin
    delete from relays where id = any(array(
        select id from relays where seen_at < now() - interval '1 day' limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$
"""

# All in one transaction: what counts as told is in the outbox. The relay that calls this chooses addresses and
# language; the words are made here of what the tables say, so that nothing else can be sent this way.
# - Nobody need do anything about what was superseded or discarded. Digests that die or are late make no digests.
# - Deaths are counted since the cause was last told, two hours back at most: it was told within the last hour, or
#   nothing died of it.
# - A provider's row that no relay has seen for five minutes is that of one taken out.
# - Causes are told in one order, so that two relays that are at it cannot deadlock.
TELL_OPERATORS = """
create function signpost_tell_operators(ids uuid[], addresses text[], in_locale text, late interval) returns jsonb
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    news jsonb;
begin
    with dead as (
        select concat_ws(', ', dead_reason, provider, last_error_class) as cause, settled_at
          from outbox_messages
         where status = 'dead' and settled_at > now() - interval '2 hours'
           and dead_reason not in ('superseded', 'discarded') and template <> 'operator_digest'),
    found as (
        select 'dead' as kind, dead.cause, count(*) as count
          from dead left join told_causes as told on told.cause = dead.cause
         where told.cause is null or settled_at > told_at
         group by dead.cause
        union all
        select 'late', 'late, ' || channel, count(*)
          from outbox_messages
         where status = 'pending' and due_at <= now() - late and (leased_until is null or leased_until <= now())
           and template <> 'operator_digest'
         group by channel
        union all
        select 'provider_down', 'provider down, ' || name, null
          from providers
         where openings > 0 and since <= now() - late and seen_at > now() - interval '5 minutes'),
    told as (
        insert into told_causes as before (cause, told_at)
        select cause, now() from found order by cause
            on conflict (cause) do update set told_at = excluded.told_at
                  where before.told_at <= now() - interval '1 hour'
        returning cause)
    select jsonb_build_object(
               'dead', coalesce(sum(count), 0),
               'causes', jsonb_agg(jsonb_build_object('kind', kind, 'cause', cause, 'count', count)
                                   order by count desc nulls last, cause))
      into news from found join told using (cause)
    having count(*) > 0;
    if news is null then
        return null;
    end if;
    insert into outbox_messages (id, template, urgency, channel, recipient, locale, payload, max_attempts, expires_at)
    select id, 'operator_digest', 'notice', 'email', address, in_locale, news, 200, now() + interval '12 hours'
      from unnest(ids, addresses) as addressed (id, address);
    delete from told_causes where told_at < now() - interval '7 days';
    return news;
end
$$
"""

TOLD_BY_RELAY = "host, version, channels, batch_size, connections"

FUNCTIONS = ("signpost_prune_relays(integer)", "signpost_tell_operators(uuid[], text[], text, interval)")


def upgrade() -> None:
    op.create_table(
        "relays",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("channels", ARRAY(sa.Text()), nullable=False),
        sa.Column("batch_size", sa.Integer(), nullable=False),
        sa.Column("connections", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_relays"),
    )
    op.execute(
        f"grant select, insert (id, {TOLD_BY_RELAY}), update (seen_at, {TOLD_BY_RELAY}) on relays to signpost_relay"
    )
    op.execute("grant select on relays to signpost_console")
    op.create_table(
        "told_causes",
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("cause", name="pk_told_causes"),
    )
    op.execute("grant select on told_causes to signpost_console")
    op.execute(PRUNE_RELAYS)
    op.execute(TELL_OPERATORS)
    for function in FUNCTIONS:
        op.execute(f"revoke all on function {function} from public")
        op.execute(f"grant execute on function {function} to signpost_relay")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"drop function {function}")
    op.drop_table("told_causes")
    op.drop_table("relays")
