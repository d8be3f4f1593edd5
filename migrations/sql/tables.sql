-- All tables, with their constraints and indexes. Times of messages and partitions are UTC.

-- Organizations with a database of their own.
create table organizations (
    id uuid not null,
    name text not null,
    country text,
    status text default 'provisioning' not null,
    founder_id uuid not null,
    database_name text not null,
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
    constraint ck_organizations_country check (country ~ '^[A-Z]{2}$'),
    constraint ck_organizations_database_name check (database_name = ('org_' || replace(id::text, '-', ''))),
    constraint ck_organizations_failed_has_time check ((status = 'failed') = (failed_at is not null)),
    constraint ck_organizations_ready_has_time check ((status = 'ready') = (ready_at is not null)),
    constraint ck_organizations_status check (status in ('provisioning', 'ready', 'failed')),
    constraint pk_organizations primary key (id),
    constraint uq_organizations_database_name unique (database_name)
);
create index ix_organizations_check_due_at on organizations (check_due_at)
    where ((status = 'ready') and (not is_decoy));
create index ix_organizations_failed_at on organizations (failed_at) where (status = 'failed');

-- Registered people. Several pending registrations may have one address; it belongs to the user who proved it
-- first (the unique
-- indexes on verified addresses).
create table users (
    id uuid not null,
    status text default 'pending' not null,
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
    organization_id uuid,
    constraint ck_users_email_has_both_forms check ((email is null) = (email_canonical is null)),
    constraint ck_users_has_address check ((email is not null) or (phone is not null)),
    constraint ck_users_status check (status in ('pending', 'active', 'retired')),
    constraint pk_users primary key (id),
    constraint fk_users_organization_id_organizations
        foreign key (organization_id) references organizations(id) deferrable initially deferred
);
create index ix_users_email on users (email_canonical, created_at) where (email_canonical is not null);
create index ix_users_inactive on users (created_at) where (status in ('pending', 'retired'));
create index ix_users_organization_id on users (organization_id) where (organization_id is not null);
create index ix_users_phone on users (phone, created_at) where (phone is not null);
create unique index uq_users_active_email on users (email_canonical) where (email_verified_at is not null);
create unique index uq_users_active_phone on users (phone) where (phone_verified_at is not null);

-- What an activation, a password reset or a change of address can be proven with. The code is derived from the
-- id and a secret
-- key (`key_id`); no row contains it. Purpose `decoy`: its code activates nothing, since the address is taken.
create table tokens (
    id uuid not null,
    user_id uuid,
    purpose text not null,
    channel text not null,
    key_id text not null,
    attempts_left smallint not null,
    created_at timestamptz default now() not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    address_id uuid,
    new_address text,
    constraint ck_tokens_attempts_left check (attempts_left >= 0),
    constraint ck_tokens_channel check (channel in ('email', 'sms')),
    constraint ck_tokens_has_owner
        check ((user_id is not null)
            or ((purpose = 'decoy')
            and (address_id is not null))),
    constraint ck_tokens_is_about_an_address check ((address_id is not null) or (purpose in ('activation', 'decoy'))),
    constraint ck_tokens_new_address check ((new_address is not null) = (purpose = 'address_change')),
    constraint ck_tokens_purpose check (purpose in ('activation', 'decoy', 'password_reset', 'address_change')),
    constraint pk_tokens primary key (id),
    constraint fk_tokens_user_id_users foreign key (user_id) references users(id) on delete cascade
);
create index ix_tokens_address_id on tokens (address_id, created_at) where (address_id is not null);
create index ix_tokens_expires_at on tokens (expires_at) where (address_id is not null);
create index ix_tokens_user_id on tokens (user_id, created_at);

-- Sign-in sessions; a row for each family of refresh tokens.
create table sessions (
    id uuid not null,
    user_id uuid not null,
    family_hash bytea not null,
    refresh_hash bytea not null,
    user_agent text,
    created_at timestamptz default now() not null,
    last_used_at timestamptz default now() not null,
    expires_at timestamptz not null,
    constraint ck_sessions_family_hash check (octet_length(family_hash) = 32),
    constraint ck_sessions_refresh_hash check (octet_length(refresh_hash) = 32),
    constraint pk_sessions primary key (id),
    constraint uq_sessions_family_hash unique (family_hash),
    constraint fk_sessions_user_id_users foreign key (user_id) references users(id) on delete cascade
);
create index ix_sessions_expires_at on sessions (expires_at);
create index ix_sessions_user_id on sessions (user_id, last_used_at);

-- Responses to requests with an Idempotency-Key, for a day.
create table idempotency_keys (
    id bytea not null,
    fingerprint bytea not null,
    status smallint not null,
    headers jsonb not null,
    body text not null,
    created_at timestamptz default now() not null,
    user_id uuid,
    constraint pk_idempotency_keys primary key (id),
    constraint fk_idempotency_keys_user_id_users foreign key (user_id) references users(id) on delete cascade
);
create index ix_idempotency_keys_created_at on idempotency_keys (created_at);
create index ix_idempotency_keys_user_id on idempotency_keys (user_id) where (user_id is not null);

-- Counters of limits. Unlogged: a crash of the server resets them.
create unlogged table rate_limits (
    key text not null,
    amount integer not null,
    period interval not null,
    hits timestamptz[] not null,
    is_admitted boolean default true not null,
    ends_at timestamptz not null,
    constraint pk_rate_limits primary key (key)
)
with (fillfactor = 50);

-- The outbox. `attempt` counts deliveries, `lost_leases` leases that ended without an outcome. Rows are
-- partitioned by the time in
-- their id.
create table outbox_messages (
    id uuid not null,
    template text not null,
    channel text not null,
    recipient text not null,
    locale text not null,
    payload jsonb not null,
    user_id uuid,
    token_id uuid,
    status text default 'pending' not null,
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
    priority text default 'high' not null,
    fallback_channel text,
    fallback_lifetime interval,
    fallback_at timestamptz,
    fallback_of uuid,
    constraint ck_outbox_messages_channel check (channel in ('email', 'sms', 'provision')),
    constraint ck_outbox_messages_dead_has_reason check ((status = 'dead') = (dead_reason is not null)),
    constraint ck_outbox_messages_fallback_is_whole
        check ((fallback_at is null)
            or ((fallback_channel in ('email', 'sms'))
            and (fallback_channel <> channel)
            and (fallback_lifetime is not null) and isfinite(fallback_at))),
    constraint ck_outbox_messages_finite_times
        check ((due_at >= timestamptz '0001-01-02 00:00:00+00')
            and (due_at < timestamptz '9999-01-01 00:00:00+00')
            and (created_at >= timestamptz '0001-01-02 00:00:00+00')
            and (created_at < timestamptz '9999-01-01 00:00:00+00')
            and (expires_at >= timestamptz '0001-01-02 00:00:00+00')
            and (expires_at < timestamptz '9999-01-01 00:00:00+00')),
    constraint ck_outbox_messages_lease_has_end check ((lease_token is null) = (leased_until is null)),
    constraint ck_outbox_messages_settled_has_time check ((status = 'pending') = (settled_at is null)),
    constraint ck_outbox_messages_status check (status in ('pending', 'sent', 'dead')),
    constraint ck_outbox_messages_priority check (priority in ('high', 'low')),
    constraint pk_outbox_messages primary key (id)
)
partition by range (id);
create index ix_outbox_messages_cause on outbox_messages (signpost_cause(dead_reason, provider, last_error), id)
    include (settled_at, dead_reason, provider, last_error)
    where (status = 'dead');
create index ix_outbox_messages_dead on outbox_messages (settled_at, id) where (status = 'dead');
create index ix_outbox_messages_dead_id on outbox_messages (id) where (status = 'dead');
create index ix_outbox_messages_due on outbox_messages (channel, priority, due_at, id) where (status = 'pending');
create index ix_outbox_messages_fallback_at on outbox_messages (fallback_at)
    where ((fallback_at is not null) and (status <> 'sent'));
create index ix_outbox_messages_suspect on outbox_messages (due_at, id)
    where ((status = 'pending') and (lost_leases >= 1));
create index ix_outbox_messages_user_id on outbox_messages (user_id, created_at);

-- Rows that a wrong clock puts outside the partitions that exist. A row is updated twice, at the claim and at the
-- settlement; the fill factor leaves room for a second version of each on its page, so that no index changes.
create table outbox_messages_default partition of outbox_messages default with (fillfactor = 45);

-- Failed attempts to deliver.
create table delivery_attempts (
    id bigint generated always as identity,
    message_id uuid not null,
    attempt smallint not null,
    outcome text not null,
    provider text,
    error_class text,
    error text,
    due_at timestamptz,
    ended_at timestamptz default now() not null,
    constraint pk_delivery_attempts primary key (id)
);
create index ix_delivery_attempts_message_id on delivery_attempts (message_id, id);

-- Settled messages per hour, for the console.
create table hourly_stats (
    hour timestamptz not null,
    channel text not null,
    status text not null,
    messages bigint not null,
    constraint ck_hourly_stats_status check (status in ('sent', 'dead')),
    constraint pk_hourly_stats primary key (hour, channel, status)
);

-- Circuit breakers and token buckets, shared by all relays.
create table providers (
    name text not null,
    rate text,
    tokens double precision default 0 not null,
    refilled_at timestamptz,
    consecutive_opens integer default 0 not null,
    open_until timestamptz,
    probe_by uuid,
    probe_until timestamptz,
    since timestamptz default now() not null,
    last_failure_class text,
    last_failed_at timestamptz,
    seen_at timestamptz default now() not null,
    constraint ck_providers_open_has_end check ((consecutive_opens = 0) = (open_until is null)),
    constraint pk_providers primary key (name)
);

-- How many fallbacks were sent today, in all and for each network.
create table fallback_budgets (
    day date not null,
    scope text not null,
    spent integer not null,
    constraint pk_fallback_budgets primary key (day, scope)
);

-- Relays that are running, by their heartbeat.
create table relays (
    id uuid not null,
    host text not null,
    version text not null,
    channels text[] not null,
    batch_size integer not null,
    connections integer not null,
    started_at timestamptz default now() not null,
    seen_at timestamptz default now() not null,
    constraint pk_relays primary key (id)
);

-- One row: the relay that does the maintenance.
create table leader_lease (
    id smallint default 1 not null,
    holder uuid,
    leased_until timestamptz default now() not null,
    constraint ck_leader_lease_only_one check (id = 1),
    constraint pk_leader_lease primary key (id)
);
insert into leader_lease (id) values (1);

-- When operators were last notified of a cause.
create table reported_causes (
    cause text not null,
    reported_at timestamptz default now() not null,
    constraint pk_reported_causes primary key (cause)
);

-- How far provisioning has come.
create table organization_steps (
    organization_id uuid not null,
    step text not null,
    started_at timestamptz default now() not null,
    done_at timestamptz,
    error_class text,
    error text,
    constraint pk_organization_steps primary key (organization_id, step),
    constraint fk_organization_steps_organization_id_organizations
        foreign key (organization_id) references organizations(id) on delete cascade
);

-- Databases of organizations that health checks found missing.
create table organization_losses (
    id uuid not null,
    organization_id uuid not null,
    found_at timestamptz default now() not null,
    healthy_at timestamptz,
    revision text,
    tables integer,
    size_bytes bigint,
    restored_at timestamptz,
    constraint pk_organization_losses primary key (id),
    constraint fk_organization_losses_organization_id_organizations
        foreign key (organization_id) references organizations(id) on delete cascade
);
create index ix_organization_losses_organization_id on organization_losses (organization_id);
create unique index uq_organization_losses_organization_id on organization_losses (organization_id)
    where (restored_at is null);

-- Tokens of operators, as SHA-256.
create table operator_tokens (
    id uuid not null,
    name text not null,
    token_hash bytea not null,
    scopes text[] not null,
    created_at timestamptz default now() not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    last_used_at timestamptz,
    constraint ck_operator_tokens_scopes
        check ((cardinality(scopes) > 0)
            and (scopes <@ array['read', 'act', 'reveal'])),
    constraint ck_operator_tokens_token_hash check (octet_length(token_hash) = 32),
    constraint pk_operator_tokens primary key (id),
    constraint uq_operator_tokens_token_hash unique (token_hash)
);

-- Browser sessions of operators.
create table console_sessions (
    id bytea not null,
    token_id uuid not null,
    started_at timestamptz default now() not null,
    used_at timestamptz default now() not null,
    constraint ck_console_sessions_id check (octet_length(id) = 32),
    constraint pk_console_sessions primary key (id),
    constraint fk_console_sessions_token_id_operator_tokens
        foreign key (token_id) references operator_tokens(id) on delete cascade
);

-- Audit log: what operators did by hand.
create table operator_actions (
    id bigint generated always as identity,
    operator text not null,
    action text not null,
    message_id uuid,
    reason text not null,
    before jsonb not null,
    acted_at timestamptz default now() not null,
    after jsonb,
    bulk_id uuid,
    constraint pk_operator_actions primary key (id)
);
create index ix_operator_actions_message_id on operator_actions (message_id, id);

-- Actions on many messages, with their progress, so that they resume after a restart.
create table bulk_actions (
    id uuid not null,
    action text not null,
    operator text not null,
    reason text not null,
    wanted jsonb not null,
    per_minute integer,
    status text default 'running' not null,
    found integer not null,
    acted integer default 0 not null,
    skipped integer default 0 not null,
    cursor uuid,
    created_at timestamptz default now() not null,
    next_step_at timestamptz default now() not null,
    ended_at timestamptz,
    constraint ck_bulk_actions_action check (action in ('requeue', 'discard')),
    constraint ck_bulk_actions_per_minute check (per_minute > 0),
    constraint ck_bulk_actions_status check (status in ('running', 'stopped', 'done')),
    constraint pk_bulk_actions primary key (id)
);
