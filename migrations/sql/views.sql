-- Views for operators and alarms.

-- Dead messages with masked recipients. An error appears as its pattern, because a server may quote the address in
-- another form, or other addresses.
create view dead_letters as
select id, template, channel, signpost_masked(recipient) as recipient, dead_reason, attempt, provider,
       last_error_class, signpost_error_pattern(last_error) as last_error, created_at, settled_at
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
