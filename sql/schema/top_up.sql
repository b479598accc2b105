-- Top-ups, and the replies that are kept so that a repeated request is one.

-- transaction_id is that of the ledger transaction that sent it. The voucher is part of the row: each
-- top-up has at most one, and what goes to a recipient counts as redeemed at once.
create table topup.top_up (
    tenant_id       uuid not null,
    environment     topup.environment not null,
    transaction_id  uuid not null,
    key_id          uuid not null,
    -- pending, delivered, failed or cancelled.
    status          text not null,
    platform        text not null,
    amount_cents    bigint not null,
    cost_cents      bigint not null,
    discount_bps    integer not null,
    recipient_email text,
    metadata        jsonb,
    voucher_code    text,
    -- Whose account the amount went to; null while it waits in the voucher.
    account_id      uuid,
    failure_reason  text,
    -- Staging's own ending: a pending top-up that fails by itself at this time.
    fails_at        timestamptz,
    created_at      timestamptz not null default clock_timestamp(),
    ended_at        timestamptz,
    primary key (tenant_id, environment, transaction_id)
);
create unique index top_up_voucher on topup.top_up (tenant_id, environment, voucher_code) where voucher_code is not null;
create index top_up_fails on topup.top_up (fails_at) where fails_at is not null and status = 'pending';
comment on table topup.top_up is 'Credit sent for a platform: list price, cost, state, recipient and voucher.';

create table topup.idempotency (
    tenant_id    uuid not null,
    environment  topup.environment not null,
    -- key: the caller's Idempotency-Key. The others: the caller's transaction_id of that operation; a charge's is
    -- among the adjustments'.
    namespace    text not null check (namespace in ('key', 'fund', 'adjust', 'refund', 'hold')),
    key          text not null,
    request_hash bytea not null,
    http_status  smallint not null,
    reply        text not null,
    -- null: for good.
    expires_at   timestamptz,
    -- The API key that asked. null: an administrator.
    key_id       uuid,
    primary key (tenant_id, environment, namespace, key)
);
create index idempotency_expires on topup.idempotency (expires_at) where expires_at is not null;
comment on table topup.idempotency is 'The first reply to a request under its key, given again byte for byte when the same request comes again.';

select pg_extension_config_dump('topup.top_up', '');
select pg_extension_config_dump('topup.idempotency', '');
