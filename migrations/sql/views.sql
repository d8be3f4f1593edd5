-- Views for operators and alarms.

-- Dead messages with their addresses masked.
create view dead_letters as
select id, template, channel, signpost_masked(recipient) as recipient, dead_reason, attempt, provider,
       last_error_class, replace(replace(last_error, recipient, signpost_masked(recipient)), lower(recipient),
       signpost_masked(recipient)) as last_error, created_at, settled_at
  from outbox_messages
 where status = 'dead';

-- Pending messages by channel. Leased messages are not due.
create view outbox_backlog as
select channel,
       count(*) filter (where due_at <= now() and (leased_until is null or leased_until <= now())) as due,
       count(*) filter (where leased_until > now()) as leased,
       count(*) as pending,
       coalesce(extract(epoch from now() - min(due_at) filter (
           where due_at <= now() and (leased_until is null or leased_until <= now()))), 0)::float8 as lag_seconds
  from outbox_messages
 where status = 'pending'
 group by channel;
