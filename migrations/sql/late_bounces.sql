-- Bounces escalate a suppression only if their message was sent after the last suppression ended.

-- Suppresses an address after a bounce, for 1 day, then 7, then 30; or after a complaint, for a year. `hashes` is an array
-- of {key_id, hash}, newest key first. A report about a message that was sent before the end of the last suppression
-- changes nothing, even if it arrives later: only a message sent after it shows whether the address works again.
drop function signpost_suppress(jsonb, text);
create function signpost_suppress(hashes jsonb, for_reason text, sent_at timestamptz) returns void
language plpgsql strict set search_path = public, pg_temp
as $$
declare
    possible constant bytea[] := array(
        select decode(each.value ->> 'hash', 'hex') from jsonb_array_elements(hashes) as each);
    known suppressions;
begin
    select * into known from suppressions
     where hash = any(possible) and reason = for_reason order by until desc limit 1;
    if known.until >= sent_at then
        return;
    end if;
    delete from suppressions where hash = any(possible) and reason = for_reason;
    insert into suppressions (hash, reason, key_id, strikes, until)
    select decode(hashes -> 0 ->> 'hash', 'hex'), for_reason, hashes -> 0 ->> 'key_id', strikes,
           now() + case for_reason when 'complained' then interval '365 days' when 'bounced' then
               (array[interval '1 day', interval '7 days', interval '30 days'])[least(strikes, 3)] end
      from (values (coalesce(known.strikes, 0) + 1)) as counted (strikes)
        on conflict do nothing;
end
$$;

-- As before, but it passes the time at which the message was sent.
create or replace function signpost_apply_reports(batch jsonb)
returns table (report_id uuid, kind text, cause text, source text, ignored_because text, is_fallback_due boolean)
language plpgsql strict security definer set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
    match record;
    report delivery_reports;
    message outbox_messages;
begin
    for match in
        select * from jsonb_to_recordset(batch)
            as match (report_id uuid, message_id uuid, recipient text, is_of_recipient boolean, hashes jsonb)
         order by match.report_id
    loop
        select * into message from outbox_messages
         where id = match.message_id and status = 'sent' and recipient = match.recipient;
        continue when not found;
        select * into report from delivery_reports
         where id = match.report_id and applied_at is null for no key update skip locked;
        continue when not found;
        ignored_because := case
            when not match.is_of_recipient then 'other_recipient'
            when exists (select from tokens
                          where id = message.token_id and used_at is not null
                            and (report.kind <> 'delivered' or used_at <= report.received_at)) then 'code_entered' end;
        is_fallback_due := ignored_because is null and report.kind = 'bounced' and report.is_permanent
                           and message.fallback_at is not null;
        update delivery_reports as applied
           set applied_at = now(), message_id = message.id,
               ignored_because = signpost_apply_reports.ignored_because,
               fallback_due_at = case when is_fallback_due then now() end
         where id = report.id;
        if ignored_because is null and match.hashes <> '[]' then
            if report.kind = 'complained' then
                perform signpost_suppress(match.hashes, 'complained', message.settled_at);
            elsif report.kind = 'bounced' and report.is_permanent
                  and report.cause in ('recipient', 'mailbox_full') then
                perform signpost_suppress(match.hashes, 'bounced', message.settled_at);
            end if;
        end if;
        report_id := report.id;
        kind := report.kind;
        cause := report.cause;
        source := report.source;
        return next;
    end loop;
end
$$;
