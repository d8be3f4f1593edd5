-- What the roles of the processes may do. Owners of databases restored without the roles get these grants again
-- from `api-service migrate`.

-- Functions may be executed by the roles named below only, unlike PostgreSQL's default.
revoke execute on function
    signpost_abandon_organization(),
    signpost_start_provisioning(uuid, uuid),
    signpost_check_recipient(),
    signpost_check_token(),
    signpost_correct_address(uuid, text, text),
    signpost_cutoff(integer, integer),
    signpost_drop_partition(integer),
    signpost_enqueue_repair(uuid, uuid, boolean),
    signpost_erase(uuid, jsonb),
    signpost_fall_back(uuid, uuid),
    signpost_has_token_since(uuid, timestamptz),
    signpost_has_unsettled(text),
    signpost_is_taken(text, text),
    signpost_make_partition(timestamptz),
    signpost_make_partitions(integer),
    signpost_messages_of(uuid),
    signpost_newest_key(),
    signpost_partitions_before(timestamptz),
    signpost_provisioned(uuid, uuid),
    signpost_provisioning_failed(uuid, uuid),
    signpost_prune_actions(integer, integer),
    signpost_prune_idempotency_keys(integer),
    signpost_prune_attempts(integer, integer),
    signpost_prune_limits(integer),
    signpost_prune_messages(integer, integer),
    signpost_prune_organizations(integer, integer),
    signpost_prune_relays(integer),
    signpost_prune_sessions(integer),
    signpost_prune_tokens(integer, integer),
    signpost_prune_users(integer, integer),
    signpost_revoke_operator_token(uuid),
    signpost_supersede(uuid, uuid),
    signpost_notify_founder(outbox_messages, boolean, uuid),
    signpost_enqueue_digests(uuid[], text[], text, interval)
from public;

-- signpost_api
grant select on alembic_version to signpost_api;
grant execute on function signpost_enqueue_repair(uuid,uuid,boolean) to signpost_api;
grant execute on function signpost_erase(uuid,jsonb) to signpost_api;
grant execute on function signpost_messages_of(uuid) to signpost_api;
grant execute on function signpost_supersede(uuid,uuid) to signpost_api;
grant insert, select on idempotency_keys to signpost_api;
grant insert (country, database_name, founder_id, id, is_decoy, name) on organizations to signpost_api;
grant select (checked_at, country, created_at, failed_at, founder_id, health, id, name, ready_at, status) on
    organizations to signpost_api;
grant insert on outbox_messages to signpost_api;
grant select (attempt, channel, created_at, dead_reason, due_at, expires_at, lost_leases, fallback_at, fallback_of, id,
    last_error_class, leased_until, locale, max_attempts, payload, recipient, settled_at, status, template,
    token_id, priority, user_id) on outbox_messages to signpost_api;
grant insert, select, update on rate_limits to signpost_api;
grant usage on schema public to signpost_api;
grant delete, insert, select on sessions to signpost_api;
grant update (expires_at, last_used_at, refresh_hash) on sessions to signpost_api;
grant insert, select, update on tokens to signpost_api;
grant insert, select, update on users to signpost_api;
-- signpost_console
grant select on alembic_version to signpost_console;
grant insert, select on bulk_actions to signpost_console;
grant update (acted, cursor, ended_at, next_step_at, skipped, status, wanted) on bulk_actions to signpost_console;
grant delete, insert, select on console_sessions to signpost_console;
grant update (used_at) on console_sessions to signpost_console;
grant select on dead_letters to signpost_console;
grant select on delivery_attempts to signpost_console;
grant execute on function signpost_correct_address(uuid,text,text) to signpost_console;
grant execute on function signpost_enqueue_repair(uuid,uuid,boolean) to signpost_console;
grant execute on function signpost_newest_key() to signpost_console;
grant execute on function signpost_revoke_operator_token(uuid) to signpost_console;
grant insert, select on operator_actions to signpost_console;
grant select on operator_tokens to signpost_console;
grant update (last_used_at) on operator_tokens to signpost_console;
grant select on organization_losses to signpost_console;
grant select on organization_steps to signpost_console;
grant select on organizations to signpost_console;
grant update (check_due_at) on organizations to signpost_console;
grant select on outbox_backlog to signpost_console;
grant select on outbox_messages to signpost_console;
grant update (attempt, dead_reason, due_at, expires_at, lost_leases, fallback_at, lease_token, leased_until, locale,
    payload, recipient, settled_at, status, token_id) on outbox_messages to signpost_console;
grant select on providers to signpost_console;
grant select on relays to signpost_console;
grant usage on schema public to signpost_console;
grant select on hourly_stats to signpost_console;
grant insert on tokens to signpost_console;
grant select (address_id, channel, created_at, expires_at, id, key_id, new_address, purpose, user_id) on tokens to
    signpost_console;
grant select on reported_causes to signpost_console;
-- signpost_relay
grant insert on delivery_attempts to signpost_relay;
grant delete, insert, select, update on fallback_budgets to signpost_relay;
grant execute on function signpost_start_provisioning(uuid,uuid) to signpost_relay;
grant execute on function signpost_drop_partition(integer) to signpost_relay;
grant execute on function signpost_enqueue_repair(uuid,uuid,boolean) to signpost_relay;
grant execute on function signpost_fall_back(uuid,uuid) to signpost_relay;
grant execute on function signpost_make_partitions(integer) to signpost_relay;
grant execute on function signpost_provisioned(uuid,uuid) to signpost_relay;
grant execute on function signpost_provisioning_failed(uuid,uuid) to signpost_relay;
grant execute on function signpost_prune_actions(integer,integer) to signpost_relay;
grant execute on function signpost_prune_idempotency_keys(integer) to signpost_relay;
grant execute on function signpost_prune_attempts(integer,integer) to signpost_relay;
grant execute on function signpost_prune_limits(integer) to signpost_relay;
grant execute on function signpost_prune_messages(integer,integer) to signpost_relay;
grant execute on function signpost_prune_organizations(integer,integer) to signpost_relay;
grant execute on function signpost_prune_relays(integer) to signpost_relay;
grant execute on function signpost_prune_sessions(integer) to signpost_relay;
grant execute on function signpost_prune_tokens(integer,integer) to signpost_relay;
grant execute on function signpost_prune_users(integer,integer) to signpost_relay;
grant execute on function signpost_enqueue_digests(uuid[],text[],text,interval) to signpost_relay;
grant insert, select on organization_losses to signpost_relay;
grant update (restored_at) on organization_losses to signpost_relay;
grant insert, select, update on organization_steps to signpost_relay;
grant select on organizations to signpost_relay;
grant update (check_due_at, checked_at, drop_due_at, drop_until, dropped_at, health, health_error, healthy_at,
    kept_because, revision, size_bytes, tables) on organizations to signpost_relay;
grant select on outbox_backlog to signpost_relay;
grant select on outbox_messages to signpost_relay;
grant update (attempt, dead_reason, due_at, lost_leases, fallback_at, last_error, last_error_class, lease_token,
    leased_until, provider, provider_message_id, settled_at, status) on outbox_messages to signpost_relay;
grant insert (name, rate) on providers to signpost_relay;
grant select on providers to signpost_relay;
grant update (last_failed_at, last_failure_class, open_until, consecutive_opens, probe_by, probe_until, rate, refilled_at,
    seen_at, since, tokens) on providers to signpost_relay;
grant insert (batch_size, channels, connections, host, id, version) on relays to signpost_relay;
grant select on relays to signpost_relay;
grant update (batch_size, channels, connections, host, seen_at, version) on relays to signpost_relay;
grant usage on schema public to signpost_relay;
grant delete, insert, select, update on hourly_stats to signpost_relay;
grant select on leader_lease to signpost_relay;
grant update (holder, leased_until) on leader_lease to signpost_relay;
