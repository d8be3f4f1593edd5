-- The rights of the processes' roles in the newest schema. The last migration of each upgrade runs this file in its
-- transaction, so it may name tables and functions of all migrations. `api-service migrate` grants missing rights again,
-- as in a database that was restored without the roles. Removing a right here does not revoke it: a migration does.
-- A statement grants rights to one role.

-- By default, PostgreSQL lets every role execute every function. These four are harmless, and indexes or several roles
-- need them.
do $$
declare
    function regprocedure;
begin
    for function in
        select oid from pg_proc
         where pronamespace = 'public'::regnamespace and starts_with(proname, 'signpost_')
           and proname not in ('signpost_cause', 'signpost_error_pattern', 'signpost_masked', 'signpost_uuid7_floor')
    loop
        execute format('revoke execute on function %s from public', function);
    end loop;
end
$$;

-- signpost_api
grant usage on schema public to signpost_api;
grant select on
    alembic_version, idempotency_keys, organization_invitations, organization_members, rate_limits, security_events, seen_clients, sessions, tokens,
    users, wrong_passwords
    to signpost_api;
grant insert on
    idempotency_keys, organization_invitations, outbox_messages, rate_limits, security_events, seen_clients, sessions,
    tokens, users, wrong_passwords
    to signpost_api;
grant update on rate_limits, tokens, users to signpost_api;
grant delete on organization_members, seen_clients, sessions, wrong_passwords to signpost_api;
grant update (last_seen_at) on seen_clients to signpost_api;
grant update (expires_at, last_used_at, organization_id, refresh_hash) on sessions to signpost_api;
grant update (role) on organization_members to signpost_api;
grant update (in_a_row, last_at) on wrong_passwords to signpost_api;
grant insert (country, database_name, founder_id, id, is_decoy, name, status) on organizations to signpost_api;
grant select (checked_at, country, created_at, failed_at, founder_id, health, id, name, ready_at, status)
    on organizations to signpost_api;
grant select (attempt, channel, created_at, dead_reason, due_at, expires_at, lost_leases, fallback_at, fallback_of, id,
              last_error_class, leased_until, locale, max_attempts, payload, recipient, settled_at, status, template,
              token_id, priority, user_id)
    on outbox_messages to signpost_api;
grant select (message_id, reported_at, state) on delivery_states to signpost_api;
grant select (channels, seen_at) on relays to signpost_api;
grant execute on function
    signpost_accept_invitation(uuid,uuid), signpost_end_invitation(uuid),
    signpost_enqueue_repair(uuid,uuid,boolean), signpost_erase(uuid,jsonb), signpost_messages_of(uuid),
    signpost_supersede(uuid,uuid)
    to signpost_api;

-- signpost_console
grant usage on schema public to signpost_console;
grant select on
    alembic_version, bulk_actions, console_sessions, dead_letters, delivery_attempts, delivery_reports, delivery_states,
    hourly_stats, operator_actions,
    operator_tokens, organization_losses, organization_members, organization_steps, organizations, outbox_backlog,
    outbox_messages, pauses, providers, relays, reported_causes, suppressions
    to signpost_console;
grant select (address_id, channel, created_at, expires_at, id, key_id, new_address, purpose, user_id)
    on tokens to signpost_console;
grant select (id, profile) on users to signpost_console;
grant insert on bulk_actions, console_sessions, operator_actions, pauses, suppressions, tokens to signpost_console;
grant delete on console_sessions, pauses, suppressions to signpost_console;
grant update (acted, cursor, ended_at, next_step_at, skipped, status, wanted) on bulk_actions to signpost_console;
grant update (used_at) on console_sessions to signpost_console;
grant update (last_used_at) on operator_tokens to signpost_console;
grant update (check_due_at) on organizations to signpost_console;
grant update (attempt, dead_reason, due_at, expires_at, lost_leases, fallback_at, lease_token, leased_until, locale,
              payload, recipient, settled_at, status, token_id)
    on outbox_messages to signpost_console;
grant update (operator, paused_at, reason, until) on pauses to signpost_console;
grant update (open_until) on providers to signpost_console;
grant update (profile) on users to signpost_console;
grant execute on function
    signpost_correct_address(uuid,text,text), signpost_enqueue_repair(uuid,uuid,boolean), signpost_newest_key(),
    signpost_remove_organization(uuid,boolean), signpost_renew_password(uuid,uuid),
    signpost_revoke_operator_token(uuid)
    to signpost_console;

-- signpost_relay
grant usage on schema public to signpost_relay;
grant select on
    alembic_version, fallback_budgets, hourly_stats, leader_lease, organization_losses, organization_steps, organizations,
    outbox_backlog, outbox_messages, pauses, providers, relays, suppressions
    to signpost_relay;
grant select (applied_at, fallback_due_at, id, message_id, provider, provider_message_id, received_at, recipient_tag)
    on delivery_reports to signpost_relay;
grant update (fallback_due_at) on delivery_reports to signpost_relay;
grant insert on delivery_attempts, fallback_budgets, hourly_stats, organization_losses, organization_steps
    to signpost_relay;
grant insert (cause, deduplication_key, diagnostic, id, is_permanent, kind, message_id, occurred_at, provider,
              provider_message_id, recipient_tag, source, status_code)
    on delivery_reports to signpost_relay;
grant update on fallback_budgets, hourly_stats, organization_steps to signpost_relay;
grant delete on fallback_budgets, hourly_stats to signpost_relay;
grant update (holder, leased_until) on leader_lease to signpost_relay;
grant update (restored_at) on organization_losses to signpost_relay;
grant update (check_due_at, checked_at, drop_due_at, drop_until, dropped_at, health, health_error, healthy_at,
              kept_because, revision, size_bytes, tables)
    on organizations to signpost_relay;
grant update (attempt, dead_reason, due_at, lost_leases, fallback_at, last_error, last_error_class, lease_token,
              leased_until, provider, provider_message_id, settled_at, status)
    on outbox_messages to signpost_relay;
grant insert (channel, name, rate) on providers to signpost_relay;
grant update (channel, last_error, last_failed_at, last_failure_class, open_until, consecutive_opens, probe_by,
              probe_until, rate, refilled_at, seen_at, since, tokens)
    on providers to signpost_relay;
grant insert (batch_size, channels, connections, host, id, version) on relays to signpost_relay;
grant update (batch_size, channels, connections, host, seen_at, version) on relays to signpost_relay;
grant execute on function
    signpost_apply_reports(jsonb), signpost_drop_partition(integer), signpost_enqueue_digests(uuid[],text[],text,interval),
    signpost_enqueue_notices(integer), signpost_enqueue_repair(uuid,uuid,boolean), signpost_fall_back(uuid,uuid),
    signpost_make_partitions(integer),
    signpost_provisioned(uuid,uuid), signpost_provisioning_failed(uuid,uuid), signpost_prune_actions(integer,integer),
    signpost_prune_attempts(integer,integer), signpost_prune_idempotency_keys(integer), signpost_prune_limits(integer),
    signpost_prune_organizations(integer,integer), signpost_prune_relays(integer), signpost_prune_suppressions(integer),
    signpost_prune_reports(integer,integer),
    signpost_prune_security_events(integer), signpost_prune_seen_clients(integer), signpost_prune_sessions(integer),
    signpost_prune_tokens(integer,integer), signpost_prune_undropped_messages(integer,integer),
    signpost_prune_unmatched_reports(integer),
    signpost_prune_users(integer,integer), signpost_prune_wrong_passwords(integer),
    signpost_start_provisioning(uuid,uuid)
    to signpost_relay;

-- signpost_receiver: takes bounces and callbacks from outside, and can do nothing but report them.
grant usage on schema public to signpost_receiver;
grant select on alembic_version to signpost_receiver;
grant insert (cause, deduplication_key, diagnostic, id, is_permanent, kind, message_id, occurred_at, provider,
              provider_message_id, recipient_tag, source, status_code)
    on delivery_reports to signpost_receiver;
