-- Delivery reports: what mail servers, mobile networks and providers say about a message after it was accepted.

-- Receivers only insert. A relay matches a report to its message, applies it, and writes the columns from applied_at on.
-- Reports arrive in any order, more than once, and before the relay has written that the message was sent.
create table delivery_reports (
    id uuid primary key,
    -- The same report has the same key, so a repetition changes nothing.
    deduplication_key bytea not null unique check (octet_length(deduplication_key) = 32),
    -- Either the message, from an address or URL with a MAC, or the provider's name and its id of the message.
    message_id uuid,
    -- A keyed hash of the recipient, from the same address: a bounce of a former recipient does not count.
    recipient_tag text check (length(recipient_tag) <= 64),
    provider text check (length(provider) <= 200),
    provider_message_id text check (length(provider_message_id) <= 200),
    kind text not null check (kind in ('delivered', 'bounced', 'delayed', 'complained')),
    -- Whose failure a bounce is: only those of the recipient count against the address.
    cause text check (cause in ('recipient', 'mailbox_full', 'content', 'policy', 'other')),
    is_permanent boolean default false not null,
    status_code text check (length(status_code) <= 40),
    diagnostic text check (length(diagnostic) <= 1000),
    source text not null check (source in ('lmtp', 'imap', 'twilio', 'kannel', 'json', 'smpp')),
    occurred_at timestamptz,
    received_at timestamptz default now() not null,
    applied_at timestamptz,
    check (message_id is not null or provider_message_id is not null)
);
create index ix_delivery_reports_unapplied on delivery_reports (received_at) where applied_at is null;
create index ix_delivery_reports_message_id on delivery_reports (message_id);
create index ix_delivery_reports_provider_message_id on delivery_reports (provider_message_id)
    where message_id is null;
