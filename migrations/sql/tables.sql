-- All tables, with their constraints and indexes. Times of messages and partitions are UTC.

-- Organizations with a database of their own.
create table organizations (
    id uuid primary key,
    name text not null,
    country text check (country ~ '^[A-Z]{2}$'),
    status text default 'provisioning' not null check (status in ('provisioning', 'ready', 'failed')),
    founder_id uuid not null,
    database_name text not null unique,
    is_decoy boolean default false not null,
    revision text,
    health text,
    health_error text,
    checked_at timestamptz,
    created_at timestamptz default now() not null,
    ready_at timestamptz,
    failed_at timestamptz,
    drop_until timestamptz,
    dropped_at timestamptz,
    repair_id uuid,
    tables integer,
    size_bytes bigint,
    healthy_at timestamptz,
    check_due_at timestamptz default now() not null,
    drop_due_at timestamptz,
    kept_because text,
    constraint database_name check (database_name = 'org_' || replace(id::text, '-', '')),
    constraint failed_has_time check ((status = 'failed') = (failed_at is not null)),
    constraint ready_has_time check ((status = 'ready') = (ready_at is not null))
);
create index ix_organizations_check_due_at on organizations (check_due_at) where status = 'ready' and not is_decoy;
create index ix_organizations_failed_at on organizations (failed_at) where status = 'failed';

-- Registered people. Several pending registrations may share an address. It belongs to the user who verified it first:
-- the unique indexes cover verified addresses only.
create table users (
    id uuid primary key,
    status text default 'pending' not null check (status in ('pending', 'active', 'retired')),
    email text,
    email_canonical text,
    email_verified_at timestamptz,
    phone text,
    phone_verified_at timestamptz,
    password_hash text not null,
    full_name text,
    locale text not null,
    created_at timestamptz default now() not null,
    activated_at timestamptz,
    organization_id uuid references organizations deferrable initially deferred,
    constraint email_has_both_forms check ((email is null) = (email_canonical is null)),
    constraint has_address check (email is not null or phone is not null)
);
create index ix_users_email on users (email_canonical, created_at) where email_canonical is not null;
create index ix_users_inactive on users (created_at) where status in ('pending', 'retired');
create index ix_users_organization_id on users (organization_id) where organization_id is not null;
create index ix_users_phone on users (phone, created_at) where phone is not null;
create unique index uq_users_active_email on users (email_canonical) where email_verified_at is not null;
create unique index uq_users_active_phone on users (phone) where phone_verified_at is not null;

-- Tokens for activations, password resets and address changes. The code is derived from the id and a secret key
-- (`key_id`); no row contains it. The code of a `decoy` activates nothing, because the address is taken.
create table tokens (
    id uuid primary key,
    user_id uuid references users on delete cascade,
    purpose text not null check (purpose in ('activation', 'decoy', 'password_reset', 'address_change')),
    channel text not null check (channel in ('email', 'sms')),
    key_id text not null,
    attempts_left smallint not null check (attempts_left >= 0),
    created_at timestamptz default now() not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    address_id uuid,
    new_address text,
    constraint has_owner check (user_id is not null or (purpose = 'decoy' and address_id is not null)),
    constraint is_about_an_address check (address_id is not null or purpose in ('activation', 'decoy')),
    constraint new_address check ((new_address is not null) = (purpose = 'address_change'))
);
create index ix_tokens_address_id on tokens (address_id, created_at) where address_id is not null;
create index ix_tokens_expires_at on tokens (expires_at) where address_id is not null;
create index ix_tokens_user_id on tokens (user_id, created_at);

-- Sign-in sessions; a row for each family of refresh tokens.
create table sessions (
    id uuid primary key,
    user_id uuid not null references users on delete cascade,
    family_hash bytea not null unique check (octet_length(family_hash) = 32),
    refresh_hash bytea not null check (octet_length(refresh_hash) = 32),
    user_agent text,
    created_at timestamptz default now() not null,
    last_used_at timestamptz default now() not null,
    expires_at timestamptz not null
);
create index ix_sessions_expires_at on sessions (expires_at);
create index ix_sessions_user_id on sessions (user_id, last_used_at);

-- Responses to requests with an Idempotency-Key, stored for a day.
create table idempotency_keys (
    id bytea primary key,
    fingerprint bytea not null,
    status smallint not null,
    headers jsonb not null,
    body text not null,
    created_at timestamptz default now() not null,
    user_id uuid references users on delete cascade
);
create index ix_idempotency_keys_created_at on idempotency_keys (created_at);
create index ix_idempotency_keys_user_id on idempotency_keys (user_id) where user_id is not null;

-- Counters of limits. Unlogged: a crash of the server resets them.
create unlogged table rate_limits (
    key text primary key,
    amount integer not null,
    period interval not null,
    hits timestamptz[] not null,
    is_admitted boolean default true not null,
    ends_at timestamptz not null
)
with (fillfactor = 50);

-- The outbox, partitioned by the time in the id. `attempt` counts deliveries, and `lost_leases` counts leases that
-- ended without an outcome.
create table outbox_messages (
    id uuid primary key,
    template text not null,
    channel text not null check (channel in ('email', 'sms', 'provision')),
    recipient text not null,
    locale text not null,
    payload jsonb not null,
    user_id uuid,
    token_id uuid,
    status text default 'pending' not null check (status in ('pending', 'sent', 'dead')),
    dead_reason text,
    attempt smallint default 0 not null,
    max_attempts smallint not null,
    lost_leases smallint default 0 not null,
    due_at timestamptz default now() not null,
    leased_until timestamptz,
    lease_token uuid,
    expires_at timestamptz,
    provider text,
    provider_message_id text,
    last_error_class text,
    last_error text,
    traceparent text,
    created_at timestamptz default now() not null,
    settled_at timestamptz,
    priority text default 'high' not null check (priority in ('high', 'low')),
    fallback_channel text,
    fallback_lifetime interval,
    fallback_at timestamptz,
    fallback_of uuid,
    constraint dead_has_reason check ((status = 'dead') = (dead_reason is not null)),
    constraint fallback_is_whole check (fallback_at is null or (
        fallback_channel in ('email', 'sms') and fallback_channel <> channel
        and fallback_lifetime is not null and isfinite(fallback_at))),
    constraint finite_times check (
        least(due_at, created_at, expires_at) >= timestamptz '0001-01-02 00:00Z'
        and greatest(due_at, created_at, expires_at) < timestamptz '9999-01-01 00:00Z'),
    constraint lease_has_end check ((lease_token is null) = (leased_until is null)),
    constraint settled_has_time check ((status = 'pending') = (settled_at is null))
)
partition by range (id);
create index ix_outbox_messages_cause on outbox_messages (signpost_cause(dead_reason, provider, last_error), id)
    include (settled_at, dead_reason, provider, last_error)
    where status = 'dead';
create index ix_outbox_messages_dead on outbox_messages (settled_at, id) where status = 'dead';
create index ix_outbox_messages_dead_id on outbox_messages (id) where status = 'dead';
create index ix_outbox_messages_due on outbox_messages (channel, priority, due_at, id) where status = 'pending';
create index ix_outbox_messages_fallback_at on outbox_messages (fallback_at)
    where fallback_at is not null and status <> 'sent';
create index ix_outbox_messages_suspect on outbox_messages (due_at, id)
    where status = 'pending' and lost_leases >= 1;
create index ix_outbox_messages_user_id on outbox_messages (user_id, created_at);

-- Rows that a wrong clock puts outside the existing partitions. The claim and the settlement each update a row. The
-- fill factor leaves room for a second version on the same page, so that no index changes.
create table outbox_messages_default partition of outbox_messages default with (fillfactor = 45);

-- Failed attempts to deliver.
create table delivery_attempts (
    id bigint generated always as identity primary key,
    message_id uuid not null,
    attempt smallint not null,
    outcome text not null,
    provider text,
    error_class text,
    error text,
    due_at timestamptz,
    ended_at timestamptz default now() not null
);
create index ix_delivery_attempts_message_id on delivery_attempts (message_id, id);

-- Settled messages per hour, for the console.
create table hourly_stats (
    hour timestamptz not null,
    channel text not null,
    status text not null check (status in ('sent', 'dead')),
    messages bigint not null,
    primary key (hour, channel, status)
);

-- Circuit breakers and token buckets, shared by all relays.
create table providers (
    name text primary key,
    channel text,
    rate text,
    tokens double precision default 0 not null,
    refilled_at timestamptz,
    consecutive_opens integer default 0 not null,
    open_until timestamptz,
    probe_by uuid,
    probe_until timestamptz,
    since timestamptz default now() not null,
    last_failure_class text,
    last_error text,
    last_failed_at timestamptz,
    seen_at timestamptz default now() not null,
    constraint open_has_end check ((consecutive_opens = 0) = (open_until is null))
);

-- Providers, channels and templates that operators have paused: relays deliver nothing through or of them. Without
-- `until`, a pause lasts until an operator resumes it.
create table pauses (
    kind text not null check (kind in ('provider', 'channel', 'template')),
    name text not null,
    operator text not null,
    reason text not null,
    paused_at timestamptz default now() not null,
    until timestamptz,
    primary key (kind, name)
);

-- Number of fallbacks per day, in total and for each network.
create table fallback_budgets (
    day date not null,
    scope text not null,
    spent integer not null,
    primary key (day, scope)
);

-- Relays that are running, by their heartbeat.
create table relays (
    id uuid primary key,
    host text not null,
    version text not null,
    channels text[] not null,
    batch_size integer not null,
    connections integer not null,
    started_at timestamptz default now() not null,
    seen_at timestamptz default now() not null
);

-- One row: the relay that runs the maintenance.
create table leader_lease (
    id smallint default 1 primary key check (id = 1),
    holder uuid,
    leased_until timestamptz default now() not null
);
insert into leader_lease (id) values (1);

-- When operators were last notified of a cause.
create table reported_causes (
    cause text primary key,
    reported_at timestamptz default now() not null
);

-- The steps of provisioning, with their progress.
create table organization_steps (
    organization_id uuid not null references organizations on delete cascade,
    step text not null,
    started_at timestamptz default now() not null,
    done_at timestamptz,
    error_class text,
    error text,
    primary key (organization_id, step)
);

-- Databases of organizations that health checks found missing.
create table organization_losses (
    id uuid primary key,
    organization_id uuid not null references organizations on delete cascade,
    found_at timestamptz default now() not null,
    healthy_at timestamptz,
    revision text,
    tables integer,
    size_bytes bigint,
    restored_at timestamptz
);
create index ix_organization_losses_organization_id on organization_losses (organization_id);
create unique index uq_organization_losses_organization_id on organization_losses (organization_id)
    where restored_at is null;

-- Tokens of operators, as SHA-256. The scopes are those of `Scope` in operator_console/actions/tokens.py.
create table operator_tokens (
    id uuid primary key,
    name text not null,
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    scopes text[] not null check (cardinality(scopes) > 0 and scopes <@ array['read', 'act', 'reveal']),
    created_at timestamptz default now() not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    last_used_at timestamptz
);

-- Browser sessions of operators.
create table console_sessions (
    id bytea primary key check (octet_length(id) = 32),
    token_id uuid not null references operator_tokens on delete cascade,
    started_at timestamptz default now() not null,
    used_at timestamptz default now() not null
);

-- Audit log: actions of operators and their reasons. A step of a bulk action is one row, with its messages and their
-- states before it in the same order.
create table operator_actions (
    id bigint generated always as identity primary key,
    operator text not null,
    action text not null,
    message_id uuid,
    reason text not null,
    before jsonb not null,
    acted_at timestamptz default now() not null,
    after jsonb,
    bulk_id uuid,
    message_ids uuid[],
    states jsonb,
    constraint messages_have_states check (coalesce(cardinality(message_ids), -1)
        = coalesce(jsonb_array_length(states), -1))
);
create index ix_operator_actions_message_id on operator_actions (message_id, id);
create index ix_operator_actions_message_ids on operator_actions using gin (message_ids)
    where message_ids is not null;

-- Actions on many messages, with their progress, so that they resume after a restart.
create table bulk_actions (
    id uuid primary key,
    action text not null check (action in ('requeue', 'discard')),
    operator text not null,
    reason text not null,
    wanted jsonb not null,
    per_minute integer check (per_minute > 0),
    status text default 'running' not null check (status in ('running', 'stopped', 'done')),
    found integer not null,
    acted integer default 0 not null,
    skipped integer default 0 not null,
    cursor uuid,
    created_at timestamptz default now() not null,
    next_step_at timestamptz default now() not null,
    ended_at timestamptz
);
