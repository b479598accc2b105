-- Top-ups that tenants send.

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

select pg_extension_config_dump('topup.top_up', '');
