-- Payments: money that a provider is to take from a payer, and the credit that it buys. Nothing is credited
-- before the provider says that it has the money, and then exactly once.

-- A card that may be charged without its holder. Rows are never changed but for their end: a charge that is
-- repeated must name the same card.
create table topup.payment_method (
    tenant_id            uuid not null,
    environment          topup.environment not null,
    method_id            uuid not null,
    -- null: the tenant's own.
    customer_id          uuid,
    provider             text not null,
    provider_customer_id text not null,
    provider_method_id   text not null,
    brand                text,
    last4                text,
    exp_month            integer,
    exp_year             integer,
    created_at           timestamptz not null default clock_timestamp(),
    replaced_at          timestamptz,
    primary key (tenant_id, environment, method_id),
    foreign key (tenant_id, environment) references topup.tenant_environment
);
create unique index payment_method_current on topup.payment_method (tenant_id, environment, customer_id)
    nulls not distinct where replaced_at is null;
comment on table topup.payment_method is
    'A saved card of a payer, known by the provider''s ids. A payer has one at a time; number and CVC are never here.';

-- Under which id a provider knows a payer: a customer, or the tenant itself (payer_id is its own id).
create table topup.payer (
    tenant_id            uuid not null,
    environment          topup.environment not null,
    payer_id             uuid not null,
    provider             text not null,
    provider_customer_id text not null,
    primary key (tenant_id, environment, payer_id, provider),
    foreign key (tenant_id, environment) references topup.tenant_environment
);
comment on table topup.payer is
    'Who pays, as a payment provider knows them; replaced where the provider has them no longer.';

create table topup.payment (
    tenant_id           uuid not null,
    environment         topup.environment not null,
    payment_id          uuid not null,
    -- Who pays, and whose account is credited. null: the tenant, for its own wallet.
    customer_id         uuid,
    account_id          uuid not null,
    account_name        text not null,
    asset               text not null,
    -- What is charged, and what it buys: amount × exchange_rate, rounded once to the asset's precision.
    currency            text not null,
    amount              numeric not null check (amount > 0),
    credit              numeric not null check (credit > 0),
    exchange_rate       numeric not null check (exchange_rate > 0),
    -- checkout: on a page, by the payer. off_session: a saved card, without the payer.
    method              text not null check (method in ('checkout', 'off_session')),
    origin              text not null check (origin in ('manual', 'auto')),
    status              text not null check (status in ('initiated', 'pending', 'succeeded', 'failed', 'expired')),
    description         text,
    metadata            jsonb,
    credit_expires_at   timestamptz,
    return_url          text,
    failure_url         text,
    provider            text not null,
    -- The card that is charged off-session.
    method_id           uuid,
    -- The provider's own id of the charge, or of its checkout while that is open.
    provider_payment_id text,
    -- Why the last attempt did not succeed.
    failure_code        text,
    failure_message     text,
    -- The SHA-256 of what stands in the checkout's address.
    token_hash          bytea check (length(token_hash) = 32),
    created_at          timestamptz not null default clock_timestamp(),
    expires_at          timestamptz,
    ended_at            timestamptz,
    -- The ledger's transaction that credited it.
    transaction_id      uuid,
    -- When the provider is to be asked; leased by raising it. fence rises with each claim.
    due_at              timestamptz,
    fence               bigint not null default 0,
    attempts            integer not null default 0,
    first_claimed_at    timestamptz,
    -- All that the provider has ever called refunded, in the payment's currency; booked once the payment succeeded.
    refunded_told       numeric not null default 0 check (refunded_told >= 0),
    primary key (tenant_id, environment, payment_id),
    foreign key (tenant_id, environment) references topup.tenant_environment,
    foreign key (tenant_id, environment, method_id) references topup.payment_method,
    check ((status = 'succeeded') = (transaction_id is not null)),
    check ((status in ('initiated', 'pending')) = (ended_at is null)),
    check ((method = 'checkout') = (token_hash is not null)),
    check ((method = 'checkout') = (expires_at is not null)),
    check ((method = 'off_session') = (method_id is not null)),
    check (due_at is null or status = 'pending'),
    -- Nobody else will ask for a charge that is under way.
    check (method <> 'off_session' or status <> 'pending' or (due_at is not null and isfinite(due_at)))
) with (fillfactor = 80);
create index payment_of_payer on topup.payment (tenant_id, environment, customer_id, payment_id);
-- Money of the provider's is credited once.
create unique index payment_paid_by on topup.payment (tenant_id, environment, provider, provider_payment_id)
    where status = 'succeeded';
-- What comes from outside names a payment by its id, by the provider's, or by its token, and no tenant.
create index payment_by_id on topup.payment (payment_id);
create index payment_by_provider on topup.payment (provider_payment_id) where provider_payment_id is not null;
create unique index payment_by_token on topup.payment (token_hash) where token_hash is not null;
create index payment_due on topup.payment (due_at) where due_at is not null;
create index payment_expiring on topup.payment (expires_at)
    where status in ('initiated', 'pending') and due_at is null;
create index payment_open on topup.payment (tenant_id, account_id) where status in ('initiated', 'pending');
comment on table topup.payment is
    'A top-up that is paid for (top_… by a customer, in_… by the tenant for its own wallet). One that the provider calls paid is credited, even after it failed or expired here: the money was taken.';

create table topup.provider_event (
    tenant_id   uuid not null,
    environment topup.environment not null,
    provider    text not null,
    event_id    text not null,
    payment_id  uuid not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, environment, provider, event_id)
);
comment on table topup.provider_event is 'What the provider has told already, so that each of its events counts once.';

select pg_extension_config_dump('topup.payment_method', '');
select pg_extension_config_dump('topup.payer', '');
select pg_extension_config_dump('topup.payment', '');
select pg_extension_config_dump('topup.provider_event', '');
